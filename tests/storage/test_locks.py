"""The image locks: which bytes, in which order conflicts are found, and between whom."""

import os
import subprocess
import sys

import pytest

from qmpd.storage import locks
from tests.machine.snapshot import held_locks

CONSISTENT_READ, WRITE, WRITE_UNCHANGED, RESIZE = 1, 2, 4, 8
ALL = 15


@pytest.fixture
def two(tmp_path):
    """Two open file descriptions of one file."""
    path = tmp_path / "image"
    path.touch()
    fds = [os.open(path, os.O_RDWR) for _ in range(2)]
    yield fds
    for fd in fds:
        os.close(fd)


def hold(fd, used, unshared):
    locks.take(fd, locks.byte_set(used, unshared))


@pytest.mark.parametrize(
    ("used", "unshared", "bytes_"),
    [
        (0, 0, []),
        (CONSISTENT_READ, 0, [100]),
        (WRITE, 0, [101]),
        (WRITE_UNCHANGED, 0, [102]),
        (RESIZE, 0, [103]),
        (0, CONSISTENT_READ, [200]),
        (0, WRITE, [201]),
        (0, WRITE_UNCHANGED, [202]),
        (0, RESIZE, [203]),
        # An unused writable qcow2 node, and a read-only one (observed on QEMU 7.2).
        (CONSISTENT_READ | WRITE | RESIZE, WRITE | RESIZE, [100, 101, 103, 201, 203]),
        (CONSISTENT_READ, WRITE | RESIZE, [100, 201, 203]),
        (ALL, ALL, [100, 101, 102, 103, 200, 201, 202, 203]),
    ],
)
def test_bytes(two, used, unshared, bytes_):
    """100 + i for what is used, 200 + i for what is not shared, all of them read locks."""
    hold(two[0], used, unshared)
    assert held_locks(two[0]) == [("READ", byte) for byte in bytes_]
    assert held_locks(two[1]) == []


def test_release_gives_back_only_what_it_names(two):
    hold(two[0], ALL, ALL)
    locks.release(two[0], locks.byte_set(WRITE | RESIZE, CONSISTENT_READ))
    assert [byte for _, byte in held_locks(two[0])] == [100, 102, 201, 202, 203]


def test_closing_releases(two):
    third = os.open(f"/proc/self/fd/{two[0]}", os.O_RDWR)
    hold(third, WRITE, ALL)
    assert locks.conflict(two[0], WRITE, 0) == ("used", 1)
    os.close(third)
    assert locks.conflict(two[0], ALL, ALL) is None


@pytest.mark.parametrize("bit", range(4))
def test_each_permission_conflicts_with_its_own_byte_only(two, bit):
    """Using is refused by who does not share, not sharing by who uses; nothing else."""
    hold(two[0], 1 << bit, 0)
    assert locks.conflict(two[1], ALL, ALL & ~(1 << bit)) is None
    assert locks.conflict(two[1], 0, ALL) == ("shared", bit)
    locks.release(two[0], ALL)
    hold(two[0], 0, 1 << bit)
    assert locks.conflict(two[1], ALL & ~(1 << bit), ALL) is None
    assert locks.conflict(two[1], ALL, 0) == ("used", bit)


def test_order_of_conflicts(two):
    """What is needed comes before what is not shared, and lower bits before higher ones."""
    hold(two[0], ALL, ALL)
    assert locks.conflict(two[1], WRITE | RESIZE, ALL) == ("used", 1)
    assert locks.conflict(two[1], RESIZE, ALL) == ("used", 3)
    assert locks.conflict(two[1], 0, WRITE_UNCHANGED | RESIZE) == ("shared", 2)


def test_own_locks_are_no_conflict(two):
    hold(two[0], ALL, ALL)
    assert locks.conflict(two[0], ALL, ALL) is None


def test_many_may_hold_the_same_byte(two):
    """Locks are shared: two readers live together, and the second one's leave the first's."""
    hold(two[0], CONSISTENT_READ, WRITE)
    hold(two[1], CONSISTENT_READ, WRITE)
    os.close(two[1])
    two[1] = os.open(f"/proc/self/fd/{two[0]}", os.O_RDWR)
    assert locks.conflict(two[1], WRITE, 0) == ("used", 1)


def test_read_only_descriptors_can_lock(tmp_path):
    """A node that only reads holds locks as well."""
    path = tmp_path / "image"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        hold(fd, ALL, ALL)
        assert len(held_locks(fd)) == 8
    finally:
        os.close(fd)


def test_foreign_exclusive_lock_is_reported_with_its_byte(two):
    """Somebody who does not play by the rules makes taking fail; the byte is known."""
    import fcntl
    import struct

    exclusive = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 103, 1, 0)
    fcntl.fcntl(two[0], fcntl.F_OFD_SETLK, exclusive)
    with pytest.raises(locks.LockError) as caught:
        hold(two[1], ALL, 0)
    assert caught.value.byte == 103
    assert [byte for _, byte in held_locks(two[1])] == [100, 101, 102]


OTHER = """
import os, sys
from qmpd.storage import locks
fd = os.open(sys.argv[1], os.O_RDWR)
locks.take(fd, locks.byte_set(int(sys.argv[2]), int(sys.argv[3])))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process(tmp_path):
    """Locks of another process count until it is gone, even if it is killed."""
    path = tmp_path / "image"
    path.touch()
    fd = os.open(path, os.O_RDWR)
    words = [sys.executable, "-c", OTHER, str(path), str(WRITE), str(RESIZE)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert locks.conflict(fd, RESIZE, 0) == ("used", 3)
        assert locks.conflict(fd, WRITE, WRITE) == ("shared", 1)
        assert locks.conflict(fd, WRITE, ALL & ~WRITE) is None
        other.kill()
        other.wait()
        assert locks.conflict(fd, ALL, ALL) is None
    os.close(fd)

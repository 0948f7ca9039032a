"""Images in RAM behave as files do."""

import fcntl
import os

import pytest

from qmpd.errors import QmpError
from qmpd.scenario import Scenario
from qmpd.storage import locks
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy
from tests.machine.snapshot import descriptors


@pytest.fixture
def storage():
    made = MemoryStorage(AccessPolicy())
    yield made
    made.close()


def mode(fd):
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE


@pytest.mark.parametrize("wanted", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
def test_each_open_has_the_access_mode_it_asked_for(storage, wanted):
    storage.create("a")
    fd = storage.open("a", wanted)
    assert mode(fd) == wanted
    os.close(fd)


def test_an_image_that_is_not_there_can_be_made_by_opening(storage):
    """Nothing springs up instead, and it stays when the descriptor is closed."""
    storage.on_demand = storage.create
    fd = storage.open("a", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"new", 0)
    os.close(fd)
    fd = storage.open("a", os.O_RDWR | os.O_CREAT)
    assert os.read(fd, 9) == b"new"
    os.close(fd)
    storage.remove("a")
    assert storage.paths() == []


def test_a_read_only_descriptor_cannot_write(storage):
    storage.create("a")
    fd = storage.open("a", os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(fd, b"x", 0)
    os.close(fd)


def test_all_opens_see_the_same_bytes(storage):
    storage.create("a")
    one, other = storage.open("a", os.O_RDWR), storage.open("a", os.O_RDONLY)
    os.pwrite(one, b"hello", 3)
    assert os.pread(other, 100, 0) == b"\0\0\0hello"
    os.close(one)
    assert os.fstat(other).st_size == 8
    os.close(other)


def test_the_bytes_live_as_long_as_the_storage(storage):
    storage.create("a")
    fd = storage.open("a", os.O_RDWR)
    os.pwrite(fd, b"kept", 0)
    os.close(fd)
    fd = storage.open("a", os.O_RDONLY)
    assert os.read(fd, 9) == b"kept"
    os.close(fd)


def test_each_open_has_its_own_locks(storage):
    """Two nodes on one image exclude each other, as on a real file."""
    storage.create("a")
    one, other = storage.open("a", os.O_RDWR), storage.open("a", os.O_RDWR)
    locks.take(one, locks.byte_set(2, 0))
    assert locks.conflict(other, 0, 2) == ("shared", 1)
    assert locks.conflict(one, 0, 2) is None
    os.close(one)
    os.close(other)


def test_descriptors_are_closed_on_exec(storage):
    storage.create("a")
    fd = storage.open("a", os.O_RDONLY)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_direct_is_accepted(storage):
    """RAM knows no O_DIRECT; a definition that asks for it works all the same."""
    storage.create("a")
    fd = storage.open("a", os.O_RDWR | os.O_DIRECT)
    assert mode(fd) == os.O_RDWR
    os.close(fd)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR])
def test_an_unknown_image_is_enoent(storage, flags):
    with pytest.raises(FileNotFoundError) as caught:
        storage.open("nope", flags)
    assert caught.value.filename == "nope"
    assert "nope" not in storage


def test_a_name_is_taken_once(storage):
    storage.create("a")
    with pytest.raises(FileExistsError):
        storage.create("a")
    assert storage.paths() == ["a"]


def test_closing_leaves_no_descriptor(storage):
    before = descriptors()
    for number in range(20):
        storage.create(str(number))
    assert len(descriptors()) == len(before) + 20
    storage.close()
    assert descriptors() == before
    assert storage.paths() == []


def test_on_demand_is_asked_once_for_each_image(storage):
    asked = []

    def make(path):
        asked.append(path)
        os.write(storage.create(path), b"made")

    storage.on_demand = make
    for _ in range(2):
        fd = storage.open("a", os.O_RDONLY)
        assert os.read(fd, 9) == b"made"
        os.close(fd)
    assert asked == ["a"]


def test_on_demand_may_decline(storage):
    storage.on_demand = lambda _path: None
    with pytest.raises(FileNotFoundError):
        storage.open("a", os.O_RDONLY)


def test_the_policy_comes_before_on_demand(storage):
    """What must not be opened is not made either."""
    asked = []
    storage.on_demand = asked.append
    storage.policy.deny_write("a")
    with pytest.raises(PermissionError):
        storage.open("a", os.O_RDWR)
    assert asked == []


def test_a_scenario_makes_images_on_demand():
    """The default of a scenario says what an image looks like that nobody named."""
    storage = Scenario({"on-demand": True, "default": {"size": "3M"}}).storage("memory")
    fd = storage.open("new.raw", os.O_RDONLY)
    assert os.fstat(fd).st_size == 3 << 20
    os.close(fd)
    storage.close()


@pytest.mark.parametrize(
    ("default", "flags"), [({"writable": False}, os.O_RDWR), ({"readable": False}, os.O_RDONLY)]
)
def test_the_default_access_holds_for_images_on_demand(default, flags):
    storage = Scenario({"on-demand": True, "default": default}).storage("memory")
    try:
        with pytest.raises(PermissionError):
            os.close(storage.open("new.raw", flags))
    finally:
        storage.close()


def test_an_image_that_cannot_be_made_does_not_exist():
    """A description that makes no sense fails each time, not only the first."""
    storage = Scenario({"on-demand": True, "default": {"backing": "x" * 2000}}).storage("memory")
    try:
        for _ in range(2):
            with pytest.raises(QmpError):
                os.close(storage.open("new.qcow2", os.O_RDONLY))
        assert storage.paths() == []
    finally:
        storage.close()

"""Who may open what, changed while images are in use."""

import errno
import os

import pytest

from qmpd.storage.host import HostStorage
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy


@pytest.fixture(params=["host", "memory"])
def place(request, tmp_path):
    """A storage and the path of an image in it."""
    policy = AccessPolicy()
    path = str(tmp_path / "image")
    if request.param == "host":
        storage = HostStorage(policy)
        (tmp_path / "image").write_bytes(b"data")
    else:
        storage = MemoryStorage(policy)
        os.write(storage.create(path), b"data")
    yield storage, path
    storage.close()


def opens(storage, path, flags):
    """Whether an open works; anything but EACCES is an error of the test."""
    try:
        fd = storage.open(path, flags)
    except PermissionError:
        return False
    os.close(fd)
    return True


def can(storage, path):
    modes = (("r", os.O_RDONLY), ("w", os.O_WRONLY), ("u", os.O_RDWR))
    return "".join(letter for letter, flags in modes if opens(storage, path, flags))


def test_nothing_is_refused_by_default(place):
    assert can(*place) == "rwu"


def test_denying_writing_leaves_reading(place):
    storage, path = place
    storage.policy.deny_write(path)
    assert can(storage, path) == "r"


def test_denying_reading_denies_everything(place):
    storage, path = place
    storage.policy.deny_read(path)
    assert can(storage, path) == ""


def test_allowing_takes_back_both(place):
    storage, path = place
    storage.policy.deny_read(path)
    storage.policy.deny_write(path)
    storage.policy.allow(path)
    assert can(storage, path) == "rwu"


def test_other_flags_do_not_matter(place):
    storage, path = place
    storage.policy.deny_write(path)
    assert opens(storage, path, os.O_RDONLY | os.O_NONBLOCK)
    assert not opens(storage, path, os.O_RDWR | os.O_NONBLOCK)


def test_other_images_are_not_touched(place):
    storage, path = place
    storage.policy.deny_write(path + "2")
    assert can(storage, path) == "rwu"


def test_descriptors_that_are_open_stay_usable(place):
    """Like a label on a file: what was opened before keeps its access."""
    storage, path = place
    fd = storage.open(path, os.O_RDWR)
    storage.policy.deny_read(path)
    assert os.pwrite(fd, b"D", 0) == 1
    assert os.pread(fd, 4, 0) == b"Data"
    os.close(fd)


def test_paths_are_compared_as_places(place, monkeypatch):
    """A detour by ``..`` or a relative path leads to the same rule."""
    storage, path = place
    monkeypatch.chdir(os.path.dirname(path))
    storage.policy.deny_write("image")
    with pytest.raises(PermissionError):
        storage.open(f"{os.path.dirname(path)}/x/../image", os.O_RDWR)


def test_hooks_see_every_open_and_may_refuse(place):
    storage, path = place
    seen = []

    def hook(where, flags):
        seen.append((where, flags & os.O_ACCMODE))
        if len(seen) == 2:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    storage.policy.hooks.append(hook)
    os.close(storage.open(path, os.O_RDONLY))
    with pytest.raises(OSError, match="Read-only file system"):
        storage.open(path, os.O_RDWR)
    assert seen == [(path, os.O_RDONLY), (path, os.O_RDWR)]


def test_the_message_does_not_tell_the_policy_from_the_kernel(place):
    """The error is the kernel's own, so that nobody above can tell the difference."""
    storage, path = place
    storage.policy.deny_write(path)
    with pytest.raises(PermissionError) as caught:
        storage.open(path, os.O_RDWR)
    error = caught.value
    assert (error.errno, error.strerror) == (errno.EACCES, os.strerror(errno.EACCES))
    assert error.filename == path

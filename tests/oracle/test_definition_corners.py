"""Definitions that few clients write: external data files, huge caches, windows that cut images."""

import struct
from itertools import product

import pytest

from qmpd.testing.oracle import Step, call, compare, image, qemu_img

pytestmark = pytest.mark.oracle


def file(name, **options):
    return {"driver": "file", "filename": name, **options}


def images(directory):
    for name in ("a", "b", "snapshot"):
        image(directory, name, writes=["write 0 64k"])
    qemu_img(directory, "snapshot", "-c", "s", "snapshot")
    data = bytearray((directory / "snapshot").read_bytes())
    (table,) = struct.unpack_from(">Q", data, 64)
    data[table + 16 : table + 24] = bytes(8)  # the same date for both
    (directory / "snapshot").write_bytes(data)
    (directory / "dir").mkdir()


def attempt(**definition):
    """Try a definition, look at what is there, and close it again."""
    request = call("blockdev-add", node_name="n") | {}
    request["arguments"] |= definition

    def run(server):
        lines = []
        for one in (request, call("query-named-block-nodes"), call("blockdev-del", node_name="n")):
            server.send(one)
            lines += server.lines_until_reply()
        return lines

    return Step(str(request), run)


def compare_all(definitions):
    known = call("blockdev-add", node_name="f", **file("a"))
    compare([known, *(attempt(**definition) for definition in definitions)], images)


def test_data_files_for_images_that_have_none():
    """The child is opened and attached before the complaint, and fails in its own way."""
    children = ("n", "f", "none", file("a"), file("b"), file("none"), {"driver": "null-co"})
    compare_all(
        {"driver": "qcow2", "file": "f", "data-file": child, "read-only": read_only} | more
        for child in children
        for read_only in (False, True)
        for more in ({}, {"backing": "none"})
    )


@pytest.mark.parametrize("option", ["cache-size", "l2-cache-size", "refcount-cache-size"])
def test_caches_beyond_all_memory(option):
    """The memory is asked for when the image is opened; too many tables are refused before."""
    sizes = (1 << 26, 1 << 44, 1 << 46, 1 << 47, 1 << 50, (1 << 63) - 1)
    compare_all(
        {"driver": "qcow2", "file": "f", option: size} | more
        for size, more in product(sizes, ({}, {"l2-cache-entry-size": 512}))
    )


def test_windows_that_cut_an_image():
    """Tables behind the end of a window read as zeros, but not a snapshot without a name."""
    sizes = (512, 1024, 65536, 66048, 262144, 327680, 328192)
    compare_all(
        {
            "driver": "qcow2",
            "file": {"driver": "raw", "size": size, "file": file(name)},
            "read-only": read_only,
        }
        for size, name, read_only in product(sizes, ("a", "snapshot"), (False, True))
    )


def test_around_the_cache_of_the_host():
    """cache.direct over files, directories, images and windows, in both formats."""
    below = (
        *("f", file("b"), file("dir"), file("none"), file("/dev/null"), {"driver": "null-co"}),
        *({"driver": driver, "file": file("b")} for driver in ("raw", "qcow2")),
        {"driver": "raw", "file": file("b"), "offset": 512},
    )
    compare_all(
        {"driver": driver, "cache": {"direct": True}, "file": child, "read-only": read_only}
        for driver, child, read_only in product(("raw", "qcow2"), below, (False, True))
    )


def test_managers_of_reservations():
    """There are none; an object of another type is not one either."""
    steps = [
        call("object-add", **{"qom-type": "secret", "id": "secret", "data": "x"}),
        *(
            attempt(**file(name, **{"pr-manager": manager}))
            for name in ("b", "none")
            for manager in ("", "none", "secret")
        ),
    ]
    compare(steps, images)

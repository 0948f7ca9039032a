"""Backing file names in headers that are JSON: which options count, and what is complained of."""

import pytest

from qmpd.testing.oracle import Step, call, compare, image, qemu_img

JSON_NAMES = {
    "no-list": "json:[",
    "no-object": "json:5",
    "empty": "json:{}",
    "other-driver": "json:{'driver': 'null-co', 'size': 65536}",
    "protocol": "json:{'driver': 'file', 'filename': 'IMG'}",
    "format": "json:{'driver': 'qcow2', 'file': {'driver': 'file', 'filename': 'IMG'}}",
    "file": "json:{'file': {'driver': 'file', 'filename': 'IMG'}}",
    "dotted": "json:{'file.filename': 'IMG'}",
    "bogus": "json:{'driver': 'bogus'}",
    "unknown": "json:{'driver': 'qcow2', 'foo': 1, 'file.filename': 'IMG'}",
    "unknown-below": "json:{'file.foo': 1, 'file': {'driver': 'file', 'filename': 'IMG'}}",
}


@pytest.mark.oracle
@pytest.mark.parametrize("name", JSON_NAMES)
def test_json_names_in_headers(name):
    """The format that the header gives counts more than a driver inside the name."""

    def images(directory):
        image(directory, "img")
        text = JSON_NAMES[name].replace("IMG", str(directory / "img"))
        words = ("create", "-u", "-f", "qcow2", "-b", text, "-F", "qcow2", "top", "1M")
        qemu_img(directory, *words)

    def attempt(server):
        file = {"driver": "file", "filename": "top"}
        server.send(call("blockdev-add", driver="qcow2", node_name="top", file=file))
        return server.lines_until_reply()

    compare([Step("add", attempt), call("query-named-block-nodes")], images)

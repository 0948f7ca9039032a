"""A reopen decides anew whether refcounts may be late."""

import pytest

from qmpd.testing.oracle import Program, call, compare, image

pytestmark = pytest.mark.oracle

LAZY = {"on": {"lazy-refcounts": True}, "off": {"lazy-refcounts": False}, "default": {}}
NODE = {"driver": "qcow2", "node-name": "q", "file": "f"}
QUERY = call("query-named-block-nodes")


@pytest.mark.parametrize("after", LAZY)
@pytest.mark.parametrize("before", LAZY)
@pytest.mark.parametrize("own", ["on", "off"])
def test_the_option_counts_or_else_the_image(own, before, after):
    """Without late refcounts the image is clean at once; with them the next write makes it dirty."""
    compare(
        [
            call("blockdev-add", driver="file", node_name="f", filename="img"),
            call("blockdev-add") | {"arguments": NODE | LAZY[before]},
            call("human-monitor-command", command_line='qemu-io q "write 0 64k"'),
            QUERY,
            call("blockdev-reopen", options=[NODE | LAZY[after]]),
            QUERY,
            call("human-monitor-command", command_line='qemu-io q "write 128k 64k"'),
            QUERY,
        ],
        lambda directory: image(directory, "img", options={"lazy_refcounts": own}),
        program=Program.SYSTEM,
    )

"""Where qmpd knowingly does not do what the original does; docs/divergences.md has the list.

Each entry of that list names the test here that pins qmpd's side of it.
"""

import json
import subprocess

import pytest

from qmpd.testing.oracle import Program, ServerGoneError, call, chain, image, info, qemu_img
from tests.oracle.building import header_with, separate

NAMES = ("c0", "c1", "c2", "c3")
FILE = {"driver": "file", "filename": "c0", "node-name": "s"}


def commit(server, **options):
    """Commit f1 into f0 below the overlay f2 and wait for the end; return the last events."""
    middle = {"job-id": "j", "device": "f3", "top-node": "f1", "base-node": "f0"}
    server.execute("block-commit", **middle, auto_dismiss=False, **options)
    server.wait_job("j", "concluded")
    return [event for event in server.events if event["event"] != "JOB_STATUS_CHANGE"]


def check_failed_finalize(server, error):
    """The job failed with this error; the graph is already the new one, nobody writes."""
    assert server.statuses("j") == [
        *("created", "running", "waiting", "pending", "aborting", "concluded")
    ]
    assert server.execute("query-jobs")[0]["error"] == error
    backing = {(edge.parent, edge.child) for edge in server.graph() if edge.name == "backing"}
    assert ("f2", "f0") in backing
    assert {server.descriptor(name).mode for name in ("c0", "c1", "c2")} == {"ro"}
    assert info(server.dir / "c2")["backing-filename"] == "c1"
    server.execute("job-dismiss", id="j")


@pytest.mark.only_qmpd("the original dies of SIGSEGV after 'aborting'")
def test_finalize_cannot_open_the_overlay(start_server):
    chain(start_server.dir, *NAMES)
    server = start_server(unprivileged=True)
    server.run(separate(*NAMES))
    (server.dir / "c2").chmod(0o444)
    (completed,) = commit(server)
    assert completed["data"]["error"] == "Operation not permitted"
    check_failed_finalize(server, "Operation not permitted")
    assert "Could not open 'c2': Permission denied" in server.stderr


@pytest.mark.only_qmpd("the original dies of SIGSEGV after 'aborting'")
def test_finalize_cannot_write_the_backing_string(server):
    chain(server.dir, *NAMES)
    server.run(separate(*NAMES))
    (completed,) = commit(server, backing_file="x" * 1024)
    assert completed["data"]["error"] == "Invalid argument"
    check_failed_finalize(server, "Invalid argument")


@pytest.mark.only_qmpd("the original dies of an assertion (SIGABRT)")
def test_many_mistakes_with_out_of_band_execution(start_server):
    """One byte ends a number and is wrong itself: two answers, maybe with no room for them."""
    server = start_server(negotiate=False)
    server.execute("qmp_capabilities", enable=["oob"])
    server.send(b"{}5\xff" * 1000)
    texts = [json.loads(server.read_line())["error"]["desc"] for _ in range(3000)]
    assert texts[:3] == texts[-3:]
    assert texts[0] == "QMP input lacks member 'execute'"
    assert texts[1] == "QMP input must be a JSON object"
    assert texts[2] == "JSON parse error, stray '\ufffd'"


@pytest.mark.only_qmpd("the original dies of an assertion (SIGABRT)")
def test_reopen_of_nothing(server):
    server.execute("blockdev-reopen", options=[])
    assert server.execute("query-jobs") == []


@pytest.mark.only_qmpd("the original uses the node after it is gone (SIGSEGV)")
def test_reopen_of_a_node_that_is_let_go_of(server):
    """The owner takes another file; its old one has been changed and closed."""
    chain(server.dir, "c0", "c1")
    raw = {"driver": "raw", "node-name": "r"}
    server.execute("blockdev-add", **raw, file=FILE)
    server.execute("blockdev-add", driver="file", filename="c1", node_name="t")
    server.execute("blockdev-reopen", options=[raw | {"file": "t"}, FILE])
    assert set(server.nodes()) == {"r", "t"}
    assert [found.path for found in server.descriptors()] == ["c1"]


@pytest.mark.only_qmpd("the original takes the old file for an external data file, then dies")
def test_refused_change_of_the_file_below_qcow2(server):
    """A refused reopen leaves no trace: the image is what it was, and can be written."""
    image(server.dir, "c0")
    server.execute("blockdev-add", **FILE)
    server.execute("blockdev-add", driver="raw", node_name="r", file="s")
    qcow2 = {"driver": "qcow2", "node-name": "q"}
    server.execute("blockdev-add", **qcow2, file="s")
    refused = {"driver": "raw", "node-name": "r", "file": "s", "size": 1 << 40}
    before = server.nodes()
    assert server.refusal("blockdev-reopen", options=[qcow2 | {"file": "r"}, refused])
    assert server.nodes() == before
    assert "data-file-raw" not in before["q"]["image"]["format-specific"]["data"]
    server.execute("blockdev-reopen", options=[qcow2 | {"file": "s", "read-only": True}])


@pytest.mark.only_qmpd("the original dies of an unexpected error (SIGABRT)")
@pytest.mark.parametrize("driver", ["null-co", "null-aio"])
def test_null_device_of_negative_size(server, driver):
    assert server.refusal("blockdev-add", driver=driver, node_name="n", size=-1)
    assert server.nodes() == {}


@pytest.mark.only_qmpd("the original dies of an unexpected error (SIGABRT)")
@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("'size': 'x'", "Parameter 'size' expects a non-negative number below 2^64"),
        ("'latency-ns': 1.5", "Parameter 'latency-ns' expects a number"),
        ("'read-zeroes': 2", "Parameter 'read-zeroes' expects 'on' or 'off'"),
    ],
)
def test_null_device_in_a_header_with_wrong_options(server, option, complaint):
    header_with(image(server.dir, "c0"), f"json:{{'driver': 'null-co', {option}}}")
    assert server.refusal("blockdev-add", driver="qcow2", node_name="q", file=FILE) == (
        f"Could not open backing file: {complaint}"
    )


@pytest.mark.only_qmpd("the original forgets that the bitmaps are in memory still")
def test_bitmaps_after_a_refused_reopen(server):
    image(server.dir, "c0")
    qemu_img(server.dir, "bitmap", "--add", "c0", "b0")
    server.execute("blockdev-add", driver="qcow2", node_name="q", file=FILE)
    top = {"driver": "raw", "node-name": "r", "file": "q"}
    server.execute("blockdev-add", **top)
    change = {"driver": "qcow2", "node-name": "q", "file": "s", "read-only": True}
    more = {"driver": "raw", "node-name": "r", "file": "q", "offset": -1}
    server.refusal("blockdev-reopen", options=[change, more])
    data = server.nodes()["q"]["image"]["format-specific"]["data"]
    assert data["bitmaps"] == [{"name": "b0", "granularity": 65536, "flags": ["in-use", "auto"]}]
    assert info(server.dir / "c0")["format-specific"]["data"]["bitmaps"] == data["bitmaps"]
    server.execute("blockdev-del", node_name="r")
    server.execute("blockdev-del", node_name="q")
    (saved,) = info(server.dir / "c0")["format-specific"]["data"]["bitmaps"]
    assert saved["flags"] == ["auto"]


@pytest.mark.only_qmpd("the original goes by a name that the next query changes")
def test_top_by_a_name_that_was_never_shown(server):
    chain(server.dir, "c0", "c1")
    image(server.dir, "other")
    base = {"driver": "file", "filename": "other"}
    server.execute("blockdev-add", driver="qcow2", node_name="f0", file=base, read_only=True)
    top = {"driver": "file", "filename": "c1"}
    server.execute("blockdev-add", driver="qcow2", node_name="f1", file=top, backing="f0")
    refusal = server.refusal("block-commit", job_id="j", device="f1", top="c1")
    assert refusal == "Top image file c1 not found"


@pytest.mark.only_qmpd("qmpd has no external data files")
def test_images_with_an_external_data_file(server):
    """Such an image is refused, and the sentence says why."""
    qemu_img(server.dir, "create", "-f", "qcow2", "-o", "data_file=d0", "c0", "1M")
    node = {"driver": "qcow2", "node-name": "q", "file": {"driver": "file", "filename": "c0"}}
    assert server.refusal("blockdev-add", **node) == (
        "qmpd does not support qcow2 images with an external data file"
    )


@pytest.mark.only_qmpd("qmpd does not decrypt")
def test_encrypted_images_with_their_key(server):
    """Even with the right secret an encrypted image is refused; without it as by the original."""
    secret = ("--object", "secret,id=k,data=123456")
    options = "encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10"
    for attempt in range(20):
        try:
            qemu_img(server.dir, "create", "-f", "qcow2", *secret, "-o", options, "c0", "1M")
            break
        except RuntimeError:  # it measures the processor, and gives up when others use it
            if attempt == 19:
                raise
    server.execute("object-add", qom_type="secret", id="k", data="123456")
    file = {"driver": "file", "filename": "c0"}
    node = {"driver": "qcow2", "node-name": "q", "file": file}
    key = {"format": "luks", "key-secret": "k"}
    assert server.refusal("blockdev-add", **node, encrypt=key) == (
        "qmpd does not have encryption; the image cannot be read"
    )


@pytest.mark.only_qmpd("the original aborts: the link below the filter is frozen")
def test_reopen_of_an_overlay_below_which_a_job_runs(server):
    """The filter that the user has named cannot be replaced under the job."""
    chain(server.dir, "c0", "c1", "c2", "c3")
    for step in separate("c0", "c1", "c2", "c3"):
        server.request(step)
    server.execute(
        "block-commit",
        job_id="j",
        device="f3",
        top_node="f2",
        base_node="f0",
        auto_finalize=False,
        filter_node_name="flt",
    )
    server.wait_event("BLOCK_JOB_PENDING")
    graph = server.graph()
    again = {"driver": "qcow2", "node-name": "f3", "file": "s3", "backing": "f0"}
    desc = "Cannot change frozen 'backing' link from 'f3' to 'flt'"
    assert server.refusal("blockdev-reopen", options=[again]) == desc
    assert server.graph() == graph
    server.execute("job-finalize", id="j")


def image_map(directory, name):
    return json.loads(qemu_img(directory, "map", "--output=json", name))


@pytest.mark.only_qmpd("the original dies of SIGABRT")
def test_mirror_of_clusters_through_a_small_buffer(server):
    """A target that cannot fill up its clusters yet is given whole ones."""
    writes = {"c0": ["write -P 1 0 1M"], "c1": ["write -P 2 100k 300k"]}
    chain(server.dir, "c0", "c1", writes=writes)
    image(server.dir, "t", size=1 << 20, backing="c0")
    for step in separate("c0", "c1"):
        server.request(step)
    target = {"driver": "file", "filename": "t"}
    server.execute("blockdev-add", driver="qcow2", node_name="t", file=target, backing=None)
    small = {"granularity": 4096, "buf-size": 100000}
    server.execute("blockdev-mirror", job_id="j", device="f1", target="t", sync="top", **small)
    server.wait_event("BLOCK_JOB_READY")
    server.execute("job-complete", id="j")
    server.wait_job("j", "null")
    server.close()
    assert qemu_img(server.dir, "compare", "t", "c1").startswith("Images are identical")


@pytest.mark.only_qmpd("the original hangs")
def test_write_to_a_pending_mirror(start_server):
    """What was written now would be lost; the job can be finalized afterwards."""
    chain(start_server.dir, "c0", "c1")
    words = [
        word
        for each in separate("c0", "c1")
        for word in ("-blockdev", json.dumps(each["arguments"]))
    ]
    device = ("-device", "virtio-blk-pci,drive=f1,id=vda")
    server = start_server(*words, *device, program=Program.SYSTEM)
    server.execute("block-commit", job_id="j", device="f1", auto_finalize=False)
    server.wait_event("BLOCK_JOB_READY")
    server.execute("job-complete", id="j")
    server.wait_event("BLOCK_JOB_PENDING")
    line = 'qemu-io -d /machine/peripheral/vda/virtio-backend "write -P 7 0 64k"'
    server.execute("human-monitor-command", command_line=line)
    server.execute("job-finalize", id="j")
    server.wait_job("j", "null")
    server.close()
    assert not any(extent["present"] for extent in image_map(server.dir, "c0"))


@pytest.mark.only_qmpd("the original dies of SIGSEGV")
def test_filter_of_a_concluded_stream(server):
    """It has no child any more: nobody can use it, and it is not listed."""
    chain(server.dir, "c0", "c1")
    for step in separate("c0", "c1"):
        server.request(step)
    nodes = {node["node-name"] for node in server.execute("query-named-block-nodes")}
    stream = {"job-id": "j", "device": "f1", "filter-node-name": "flt", "auto-dismiss": False}
    server.execute("block-stream", **stream)
    server.wait_job("j", "concluded")
    for arguments in ({}, {"flat": True}):
        listed = server.execute("query-named-block-nodes", **arguments)
        assert {node["node-name"] for node in listed} == nodes
    desc = server.refusal("blockdev-add", driver="raw", node_name="r", file="flt")
    assert desc == "Could not refresh total sector count: No medium found"
    server.execute("job-dismiss", id="j")


@pytest.mark.only_qmpd("the original leaves the job's backend on the device, for good")
def test_refused_stream_leaves_no_backend(start_server):
    """Somebody writes to a layer that the job would hold still."""
    chain(start_server.dir, "c0", "c1")
    writable = [
        call("blockdev-add", driver="qcow2", node_name=f"f{n}", backing=below, file=file)
        for n, below, file in (
            (0, None, {"driver": "file", "filename": "c0"}),
            (1, "f0", {"driver": "file", "filename": "c1"}),
        )
    ]
    words = [word for each in writable for word in ("-blockdev", json.dumps(each["arguments"]))]
    device = ("-device", "virtio-blk-pci,drive=f0,id=vda")
    server = start_server(*words, *device, program=Program.SYSTEM)
    graph = server.graph()
    desc = server.refusal("block-stream", job_id="j", device="f1")
    assert desc.startswith("Permission conflict on node 'f0': permissions 'write' are both")
    assert server.graph() == graph


@pytest.mark.only_qmpd("the original loses data")
def test_stream_through_a_raw_node(server):
    """What a format below a raw node has below it is copied too."""
    chain(server.dir, "c0", "c1", "c2", writes={"c0": ["write -P 7 0 64k"]})
    for step in separate("c0", "c1", last_writable=False):
        server.request(step)
    server.execute("blockdev-add", driver="raw", node_name="r", file="f1", read_only=True)
    file = {"driver": "file", "filename": "c2"}
    server.execute("blockdev-add", driver="qcow2", node_name="f2", file=file, backing="r")
    server.execute("block-stream", job_id="j", device="f2")
    server.wait_job("j", "null")
    for name in ("f2", "r", "f1", "f0"):
        server.execute("blockdev-del", node_name=name)
    qemu_img(server.dir, "compare", "-f", "qcow2", "-F", "qcow2", "c0", "c2")


@pytest.mark.only_qmpd("the original leaves a nameless backend on the node, for ever")
def test_refused_stream_lets_go_of_its_node(server):
    """The node that would have been streamed can be deleted."""
    chain(server.dir, "c0", "c1")
    server.run(separate("c0"))
    server.execute("blockdev-add", driver="file", node_name="s", filename="c1")
    server.execute("blockdev-add", driver="qcow2", node_name="q", file="s", backing="s0")
    assert "child" in server.refusal("block-stream", job_id="j", device="q")
    server.execute("blockdev-del", node_name="q")


@pytest.mark.only_qmpd("the original calls the bitmaps saved while it goes on writing")
def test_refused_reopen_keeps_bitmaps_in_use(server):
    """Who finds the image after a crash has to know that its bitmaps are not up to date."""
    chain(server.dir, "c0", "c1")
    qemu_img(server.dir, "bitmap", "--add", "c1", "b")
    node = {"driver": "qcow2", "node-name": "q", "file": FILE | {"filename": "c1"}}
    server.execute("blockdev-add", **node, backing=None)
    reopened = {**node, "file": "s", "read-only": True}
    assert "backing" in server.refusal("blockdev-reopen", options=[reopened])
    (bitmap,) = info(server.dir / "c1")["format-specific"]["data"]["bitmaps"]
    assert bitmap["flags"] == ["in-use", "auto"]


@pytest.mark.only_qmpd("the original refuses them")
def test_values_of_properties_are_not_looked_at(server):
    server.execute("object-add", **{"qom-type": "secret", "id": "s", "file": "no-such-file"})


@pytest.mark.only_qmpd("the original has them")
def test_drivers_that_were_not_built(server):
    assert server.refusal("blockdev-add", driver="quorum", node_name="q") == (
        "Parameter 'driver' does not accept value 'quorum'"
    )
    assert server.refusal("object-add", **{"qom-type": "can-bus", "id": "c"}) == (
        "Parameter 'qom-type' does not accept value 'can-bus'"
    )


@pytest.mark.only_qmpd("the original has them")
@pytest.mark.parametrize(
    ("text", "fmt", "complaint"),
    [
        ("fat:dir", "raw", "Unknown protocol 'fat'"),
        ("nbd://localhost:1/x", "qcow2", "Unknown protocol 'nbd'"),
        ("img", "vmdk", "Unknown driver 'vmdk'"),
        ("/dev/null", "raw", "'file' driver requires '/dev/null' to be a regular file"),
    ],
)
def test_names_in_headers_of_drivers_that_were_not_built(server, text, fmt, complaint):
    image(server.dir, "img")
    header_with(image(server.dir, "c0"), text, fmt)
    assert server.refusal("blockdev-add", driver="qcow2", node_name="q", file=FILE) == (
        f"Could not open backing file: {complaint}"
    )


@pytest.mark.only_qmpd("the original waits as the limit says, for hours here")
def test_nothing_is_throttled(server):
    chain(server.dir, "c0", "c1", writes={"c1": ["write -q -P 7 0 1M"]})
    limits = {"bps-total": 100}
    server.execute("object-add", **{"qom-type": "throttle-group", "id": "t", "limits": limits})
    file = {"driver": "throttle", "throttle-group": "t", "file": {**FILE, "filename": "c1"}}
    below = {"driver": "qcow2", "node-name": "f0", "file": {"driver": "file", "filename": "c0"}}
    server.execute("blockdev-add", driver="qcow2", node_name="f1", file=file, backing=below)
    server.execute("block-commit", job_id="j", device="f1")
    server.wait_job("j", "ready")


@pytest.mark.only_qmpd("the original never answers again")
def test_bottom_that_is_not_below(server):
    image(server.dir, "c0")
    server.execute("blockdev-add", driver="null-co", node_name="n")
    asked = {"driver": "copy-on-read", "node-name": "x", "bottom": "n"}
    assert server.refusal("blockdev-add", **asked, file={"driver": "qcow2", "file": FILE}) == (
        "Bottom node 'n' not found"
    )


@pytest.mark.only_qmpd("the original aborts where nothing is allocated in the whole chain")
def test_bottom_that_is_the_child_itself(start_server):
    chain(start_server.dir, "c0", "c1")
    server = start_server(program=Program.SYSTEM)
    below = {"driver": "qcow2", "node-name": "q", "file": {**FILE, "filename": "c1"}}
    server.execute("blockdev-add", driver="copy-on-read", node_name="x", bottom="q", file=below)
    line = 'qemu-io x "read -q 0 1M"'
    assert server.execute("human-monitor-command", command_line=line) == ""


def add_bitmap(server, node, name, **options):
    server.execute("block-dirty-bitmap-add", node=node, name=name, **options)


def bitmap_counts(server, node):
    (found,) = [
        each
        for each in server.execute("query-named-block-nodes", flat=True)
        if each["node-name"] == node
    ]
    return {each["name"]: each["count"] for each in found["dirty-bitmaps"]}


@pytest.mark.only_qmpd("the original dies")
def test_merging_nothing(server):
    server.execute("blockdev-add", driver="null-co", node_name="n")
    add_bitmap(server, "n", "b")
    server.execute("block-dirty-bitmap-merge", node="n", target="b", bitmaps=[])
    assert bitmap_counts(server, "n") == {"b": 0}


@pytest.mark.only_qmpd("the original dies")
def test_enabling_what_is_not_there(server):
    server.execute("blockdev-add", driver="null-co", node_name="n")
    actions = [
        {"type": f"block-dirty-bitmap-{verb}", "data": {"node": "n", "name": name}}
        for verb, name in (("add", "b"), ("enable", "c"))
    ]
    assert server.refusal("transaction", actions=actions) == "Dirty bitmap 'c' not found"
    assert "dirty-bitmaps" not in server.execute("query-named-block-nodes", flat=True)[0]


@pytest.mark.only_qmpd("the original writes its metadata at other times")
def test_bitmap_of_a_file_node(start_server):
    image(start_server.dir, "c0")
    server = start_server(program=Program.SYSTEM)
    file = FILE | {"node-name": "f"}
    server.execute("blockdev-add", driver="qcow2", node_name="x", file=file)
    add_bitmap(server, "f", "b", granularity=65536)
    server.execute("human-monitor-command", command_line='qemu-io x "write -q 0 128k"')
    assert bitmap_counts(server, "f")["b"] >= 128 << 10


@pytest.mark.only_qmpd("the original has them")
def test_exports_that_were_not_built(server):
    address = {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}
    assert server.refusal("nbd-server-start", addr=address) == (
        "Parameter 'type' does not accept value 'inet'"
    )
    address = {"type": "unix", "data": {"path": "n"}}
    assert server.refusal("nbd-server-start", addr=address, tls_creds="t") == (
        "No TLS credentials with id 't'"
    )
    server.execute("blockdev-add", driver="null-co", node_name="x")
    fuse = {"type": "fuse", "id": "e", "node-name": "x", "mountpoint": "m"}
    assert server.refusal("block-export-add", **fuse) == (
        "Parameter 'type' does not accept value 'fuse'"
    )
    server.execute("nbd-server-start", addr=address)
    server.execute("block-export-add", type="nbd", id="e", node_name="x", writable=True)
    listed = subprocess.run(
        ["qemu-nbd", "-L", "-k", str(server.dir / "n")], check=True, capture_output=True, text=True
    ).stdout
    assert "( flush fua zeroes df multi cache )" in listed


@pytest.mark.only_qmpd("the original announces it")
def test_events_that_never_come(start_server):
    image(start_server.dir, "c0")
    server = start_server(program=Program.SYSTEM)
    rules = [{"event": "refblock_alloc_hookup"}]
    file = {"driver": "blkdebug", "image": FILE, "inject-error": rules, "max-transfer": 512}
    server.execute("blockdev-add", driver="qcow2", node_name="x", file=file)
    line = 'qemu-io x "write -q 0 1M"'
    assert server.execute("human-monitor-command", command_line=line) == ""
    server.execute("blockdev-del", node_name="x")
    qemu_img(server.dir, "check", "c0")


@pytest.mark.only_qmpd("the original compresses with zstd too")
def test_nothing_is_compressed_with_zstd(start_server):
    image(start_server.dir, "c0", options={"compression_type": "zstd"})
    server = start_server(program=Program.SYSTEM)
    below = {"driver": "qcow2", "file": FILE}
    server.execute("blockdev-add", driver="compress", node_name="x", file=below)
    server.execute("human-monitor-command", command_line='qemu-io x "write -q 0 64k"')
    server.execute("blockdev-del", node_name="x")
    assert not qemu_img(server.dir, "map", "--output=json", "c0").count('"compressed": true')


@pytest.mark.only_qmpd("there is only the plain protocol, and only on local sockets")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path=s,telnet=on", "qmpd does not have telnet sockets; use a plain one"),
        ("path=s,websocket=on", "qmpd does not have websocket sockets; use a plain one"),
        ("path=s,tn3270=on", "qmpd does not have tn3270 sockets; use a plain one"),
        ("host=localhost,port=0", "qmpd has no TCP sockets; use path= or fd="),
    ],
)
def test_monitors_on_other_sockets(start_server, text, reason):
    device = f"socket,id=c,server=on,wait=off,{text}"
    ended = start_server.refused("--chardev", device, "--monitor", "chardev=c")
    assert ended.last_line == f"PROG: --chardev {device}: {reason}"


@pytest.mark.only_qmpd("the original binds it without the zero byte that ends a path")
def test_socket_path_that_fills_the_kernels_structure(start_server):
    path = "x" * 108
    device = f"socket,id=c,server=on,wait=off,path={path}"
    ended = start_server.refused("--chardev", device, "--monitor", "chardev=c")
    first, second = ended.stderr.splitlines()
    assert first.endswith(f"UNIX socket path '{path}' is too long")
    assert second == "Path must be less than 108 bytes"


@pytest.mark.only_qmpd("the original dies of an assertion (SIGABRT)")
def test_failed_transaction_with_a_snapshot_of_what_it_has_opened(server):
    """Both overlays are taken off again, in the reverse order; the image that was made stays."""
    chain(server.dir, "c0")
    image(server.dir, "o")
    server.run([*separate("c0"), call("blockdev-add", driver="raw", node_name="user", file="f0")])
    overlay = {"driver": "file", "filename": "o", "node-name": "so"}
    server.execute("blockdev-add", driver="qcow2", node_name="o", file=overlay)
    before = server.graph(), server.descriptors()
    data = {"node-name": "f0", "snapshot-file": "n", "snapshot-node-name": "n"}
    actions = [
        {"type": "blockdev-snapshot-sync", "data": data},
        {"type": "blockdev-snapshot", "data": {"node": "n", "overlay": "o"}},
        {"type": "abort", "data": {}},
    ]
    refusal = server.refusal("transaction", actions=actions)
    assert refusal == "Transaction aborted using Abort action"
    assert (server.graph(), server.descriptors()) == before
    assert (server.dir / "n").exists()


@pytest.mark.only_qmpd("the original notices that there is no such bus, or no such device")
def test_buses_of_devices_are_not_looked_at(start_server):
    """A command line of another machine is taken: it names buses and places of its own."""
    words = ["-blockdev", "null-co,node-name=n,read-only=on", "-device"]
    for text in ("scsi-hd,drive=n", "virtio-blk,drive=n,bus=nowhere.7,addr=1", "nothing,bus=x"):
        start_server(*words, text, program=Program.SYSTEM)


@pytest.mark.only_qmpd("there are bytes that the original has not read: ECONNRESET")
def test_requests_behind_quit(start_server):
    """The client reads the end of the file behind the last reply."""
    server = start_server()
    server.send(b'{"execute": "quit"}' + b'{"execute": "query-version"}' * 10)
    assert b'"return"' in server.read_line()
    with pytest.raises(ServerGoneError):
        server.read_line()
    assert server.ended() == 0


@pytest.mark.only_qmpd("they are about what qmpd lacks: networks, guests, snapshots")
def test_other_commands_of_the_human_monitor(start_server):
    server = start_server(program=Program.SYSTEM)
    for line in ("migrate x", "savevm", "help", "info snapshots"):
        name = line.removesuffix(" x")
        said = server.execute("human-monitor-command", command_line=line)
        assert said == f"qmpd does not have '{name}'\r\n"
    said = server.execute("human-monitor-command", command_line="info blo\t")
    assert said == "unknown command: 'info blo'\r\n"


@pytest.mark.only_qmpd("the original frees the clusters one by one")
def test_commit_keeps_an_image_that_cannot_be_emptied(start_server):
    image(start_server.dir, "base")
    image(
        start_server.dir, "top", backing="base", options={"compat": "0.10"}, writes=["write 0 64k"]
    )
    words = ("-drive", "if=none,id=d,file=top,format=qcow2")
    server = start_server(*words, program=Program.SYSTEM)
    assert server.execute("human-monitor-command", command_line="commit d") == ""
    assert server.execute("human-monitor-command", command_line='qemu-io d "map"') == ""
    server.close()
    compared = qemu_img(server.dir, "compare", "top", "base")
    assert "identical" in compared


@pytest.mark.only_qmpd(
    "the original finds out that a name without a prefix is a device of the host"
)
def test_overlays_on_devices_of_the_host(server):
    server.execute("blockdev-add", driver="null-co", node_name="n")
    overlay = {"node-name": "n", "snapshot-node-name": "o", "mode": "existing"}
    assert server.refusal("blockdev-snapshot-sync", snapshot_file="/dev/null", **overlay) == (
        "'file' driver requires '/dev/null' to be a regular file"
    )


@pytest.mark.only_qmpd("the original says what the driver lacks that is not asked for a file")
@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        ("throttle", 'A block device must be specified for "file"'),
        ("blkdebug", "blkdebug requires both config file and image path"),
    ],
)
def test_overlays_of_drivers_that_are_no_formats(server, driver, reason):
    image(server.dir, "c0")
    server.execute("blockdev-add", driver="null-co", node_name="n")
    overlay = {"node-name": "n", "snapshot-node-name": "o", "mode": "existing", "format": driver}
    assert server.refusal("blockdev-snapshot-sync", snapshot_file="c0", **overlay) == reason


@pytest.mark.only_qmpd("the original lets a device copy what it reads, without a node for that")
def test_drives_that_copy_on_read(start_server):
    image(start_server.dir, "c0")
    words = ["-drive", "if=none,file=c0,copy-on-read=on"]
    ended = start_server.refused(*words, program=Program.SYSTEM)
    assert ended.last_line == f"PROG: {' '.join(words)}: qmpd does not have copy-on-read for drives"


@pytest.mark.only_qmpd("the original listens somewhere that nobody can find")
def test_monitor_on_a_socket_without_an_address(start_server):
    device = "socket,id=c,server=on,wait=off"
    ended = start_server.refused("--chardev", device, "--monitor", "chardev=c")
    assert ended.last_line == f"PROG: --chardev {device}: Unable to parse FD number "


@pytest.mark.only_qmpd("the original leaves its listening socket behind")
def test_nothing_is_left_of_a_failed_start(start_server):
    path = start_server.dir / "left"
    device = f"socket,id=other,path={path},server=on,wait=off"
    words = ["--chardev", device, "--monitor", "chardev=other", "--blockdev", "file,filename=none"]
    start_server.refused(*words)
    assert not path.exists()


@pytest.mark.only_qmpd("the original completes the option's name")
def test_shortened_options_of_both_programs(start_server):
    """Which program is meant is read from whole words: a short one belongs to the other."""
    assert start_server.refused("--d").last_line == "PROG: --d: requires an argument"

"""Filters that users open: throttle, copy-on-read, compress; and devices of the host.

The definitions, their children and permissions, what queries tell of them, what a reopen
changes, and commits through and below them.
"""

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    chain,
    compare,
    image,
    show_descriptors,
    show_graph,
    wait_job,
)
from tests.oracle.building import either, separate
from tests.oracle.machine.steps import ask

pytestmark = pytest.mark.oracle

BUS = {"bus": "s.0"}
GROUP = call("object-add", **{"qom-type": "throttle-group", "id": "tg"})
LOOK = (
    ask(call("query-named-block-nodes")),
    ask(call("query-named-block-nodes", flat=True)),
    ask(call("query-blockstats", query_nodes=True)),
    show_graph(),
    show_descriptors(),
)


def images(directory):
    writes = {f"c{n}": [f"write -q -P {n + 1} {n * 128}k 192k"] for n in range(4)}
    chain(directory, "c0", "c1", "c2", "c3", writes=writes | {"c1": ["write -q -z 64k 64k"]})
    image(directory, "base", writes=["write -q -P 1 0 256k"])
    image(directory, "top", backing="base", writes=["write -q -P 2 64k 64k"])
    image(directory, "raw", fmt="raw")
    image(directory, "packed")


def file(name, **options):
    return {"driver": "file", "filename": name} | options


def qcow2(name, **options):
    return {"driver": "qcow2", "file": file(name)} | options


def throttle(below, **options):
    return {"driver": "throttle", "throttle-group": "tg", "file": below} | options


def cor(below, **options):
    return {"driver": "copy-on-read", "file": below} | options


def compress(below, **options):
    return {"driver": "compress", "file": below} | options


def add(name, definition):
    return ask(call("blockdev-add", node_name=name, **definition))


def reopen(name, definition):
    return ask(call("blockdev-reopen", options=[definition | {"node-name": name}]))


def delete(name):
    return ask(call("blockdev-del", node_name=name))


DEFINITIONS = {
    "throttled file": throttle(file("raw")),
    "throttled image": throttle(qcow2("top")),
    "group that is not there": throttle(file("raw"), **{"throttle-group": "none"}),
    "group of another type": throttle(file("raw"), **{"throttle-group": "io"}),
    "group and file that are not there": throttle(file("none"), **{"throttle-group": "none"}),
    "read-only throttle": throttle(file("raw"), **{"read-only": True}),
    "auto-read-only throttle": throttle(file("raw"), **{"auto-read-only": True}),
    "throttle below an image": {"driver": "qcow2", "file": throttle(file("top"))},
    "throttle below raw": {"driver": "raw", "file": throttle(file("raw"))},
    "throttle twice": throttle(throttle(qcow2("base"))),
    "copies of a file": cor(file("raw")),
    "copies of an image": cor(qcow2("top")),
    "read-only copies": cor(qcow2("top"), **{"read-only": True}),
    "copies into what is read-only": cor(qcow2("top", **{"read-only": True})),
    "copies below an image": {"driver": "qcow2", "file": cor(file("top"))},
    "copies with everything else": throttle({"driver": "raw", "file": cor(cor(qcow2("top")))}),
    "bottom that is not there": cor(qcow2("top"), bottom="none"),
    "bottom that is a filter": cor("t", bottom="t"),
    "bottom that is the child": cor("q", bottom="q"),
    "compressed null device": compress({"driver": "null-co"}),
    "compressed file": compress(file("raw")),
    "compressed image in raw": compress({"driver": "raw", "file": qcow2("base")}),
    "compressed image": compress(qcow2("top")),
    "compressed image that is read-only": compress(qcow2("top"), **{"read-only": True}),
    "compressed throttle": compress(throttle(qcow2("base"))),
    "compressed throttled file": compress(throttle(file("raw"))),
    "compressed copies of a file": compress(cor(file("raw"))),
    "compressed compression": compress(compress(qcow2("base"))),
    "compressed errors": compress({"driver": "blkdebug", "image": qcow2("base")}),
    "child that is not there": throttle("none"),
    "child that is inside itself": throttle("x"),
    "unknown option": throttle(file("raw"), limits=1),
    "device that is a file": {"driver": "host_device", "filename": "raw"},
    "device that is not there": {"driver": "host_device", "filename": "none"},
    "device that is a directory": {"driver": "host_device", "filename": "/dev"},
    "device without a name": {"driver": "host_device", "filename": ""},
    "device": {"driver": "host_device", "filename": "/dev/null"},
    "device to read": {"driver": "host_device", "filename": "/dev/zero", "read-only": True},
    "device below raw": {
        "driver": "raw",
        "file": {"driver": "host_device", "filename": "/dev/full"},
    },
    "file that is a device": {"driver": "file", "filename": "/dev/null"},
    "native device": {"driver": "host_device", "filename": "/dev/null", "aio": "native"},
}


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
def test_definitions(definition):
    compare(
        [
            GROUP,
            call("object-add", **{"qom-type": "iothread", "id": "io"}),
            *(add("q", qcow2("c1")), add("t", throttle("q"))),
            *(add("x", definition), *LOOK),
            *(add("above", {"driver": "raw", "file": "x", "read-only": True}), *LOOK),
            *(delete("above"), delete("x"), delete("t"), delete("q"), *LOOK),
        ],
        images,
    )


NUMBERS = [-2, 0, 1, 2, 9, 10**15, 10**15 + 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1]


@pytest.mark.parametrize("prefix", ["", "x-"])
def test_limits(prefix):
    """Which limits are refused, alone and together, and why."""
    given = [{"iops-size": number} for number in NUMBERS]
    given += [{"iops-size": number, "iops-read": 5} for number in NUMBERS]
    for number in NUMBERS:
        given += [
            *({"bps-total": number}, {"bps-total-max": number}),
            *({"bps-total": 2, "bps-read": number}, {"iops-total": number, "iops-write-max": 1}),
            {"iops-total": 5, "iops-total-max": number},
            {"iops-total": 5, "iops-total-max-length": number},
            {"bps-read": 5, "bps-read-max": 9, "bps-read-max-length": number},
            {"bps-read": 5, "bps-read-max": 5 * 10**14, "bps-read-max-length": number},
        ]
    requests = []
    for number, one in enumerate(given):
        limits = {f"{prefix}{name}": value for name, value in one.items()}
        properties = limits if prefix else {"limits": limits}
        name = {"qom-type": "throttle-group", "id": f"t{number}"}
        requests.append(either(call("object-add", **name, **properties)))
    compare(requests)


def test_limits_of_both_kinds():
    """First those in ``limits``, then the others, then the name, then all together."""
    name = {"qom-type": "throttle-group", "id": "t"}
    wrong = {"iops-total": 5, "iops-read": 6}
    compare(
        [
            either(call("object-add", **name, limits=wrong, **{"x-bps-total": -1})),
            either(call("object-add", **name, limits={"iops-total": 5}, **{"x-iops-read": 7})),
            call("object-add", **name, limits={"iops-total": 5}, **{"x-iops-total": 7}),
            either(call("object-add", **name, limits=wrong)),
            either(call("object-add", **name, **{"x-bps-total": -1})),
            either(call("object-add", **name, limits={"iops-total": 5}, **{"x-iops-read": 7})),
            either(call("object-add", **name, limits={})),
        ]
    )


def test_group_is_held_by_its_nodes():
    """A group cannot be deleted while a node is in it, by whatever way it came there."""
    members = throttle(qcow2("base"))
    compare(
        [
            *(GROUP, call("object-add", **{"qom-type": "throttle-group", "id": "other"})),
            *(add("t", members), ask(call("object-del", id="tg"))),
            *(reopen("t", members | {"throttle-group": "none"}), ask(call("object-del", id="tg"))),
            reopen("t", members | {"throttle-group": "other"}),
            *(ask(call("object-del", id="other")), call("object-del", id="tg")),
            reopen("t", members),
            *(delete("t"), ask(call("object-del", id="other")), *LOOK),
        ],
        images,
    )


REOPENS = {
    "nothing": {},
    "read-only": {"read-only": True},
    "cache": {"cache": {"direct": True}},
    "child as it is": {"file": "below"},
    "child by another name": {"file": "other"},
    "child that is not there": {"file": "none"},
    "no child": {"file": None},
    "itself": {"file": "x"},
    "backing file": {"backing": "below"},
    "another driver": {"driver": "raw"},
    "detect zeroes": {"detect-zeroes": "on"},
}


@pytest.mark.parametrize("change", REOPENS.values(), ids=REOPENS)
@pytest.mark.parametrize("driver", ["throttle", "copy-on-read", "compress"])
def test_reopens(driver, change):
    more = {"throttle-group": "tg"} if driver == "throttle" else {}
    definition = {"driver": driver, **more}
    inline = qcow2("base", **{"node-name": "inner"})
    compare(
        [
            *(GROUP, add("below", qcow2("c0")), add("other", qcow2("c1", backing=None))),
            add("x", definition | {"file": "below"}),
            add("y", definition | {"file": inline}),
            *(reopen("x", definition | {"file": "below"} | change), *LOOK),
            *(reopen("y", definition | {"file": inline} | change), *LOOK),
            *(delete("x"), delete("below"), *LOOK),
        ],
        images,
    )


def test_filter_is_put_below_a_node_and_taken_out_again():
    """What `blockdev-reopen` is for: a filter between an image and its file."""
    top = {"driver": "qcow2", "node-name": "q", "backing": None}
    compare(
        [
            *(GROUP, add("s", file("base")), add("t", throttle("s"))),
            call("blockdev-add", **top, file="s"),
            *(call("blockdev-reopen", options=[top | {"file": "t"}]), *LOOK),
            *(call("blockdev-reopen", options=[top | {"file": "s"}]), *LOOK),
        ],
        images,
    )


def test_names_in_headers_are_found_through_filters():
    """A relative backing name starts from the file, whatever lies between it and the image."""
    compare(
        [
            GROUP,
            add("a", {"driver": "qcow2", "file": throttle(file("{dir}/top"))}),
            *LOOK,
            delete("a"),
            add("b", {"driver": "qcow2", "file": cor(throttle(file("{dir}/top")))}),
            *LOOK,
        ],
        images,
    )


# -- commits ---------------------------------------------------------------------------------

LAYERS = [
    *(GROUP, *separate("c0", "c1")),
    call("blockdev-add", node_name="below", read_only=True, **throttle("f1")),
    *separate("c0", "c1", "c2", "c3")[4:5],
    call("blockdev-add", node_name="f2", read_only=True, **qcow2("c2", file="s2", backing="below")),
    call("blockdev-add", driver="file", node_name="s3", filename="c3"),
    call("blockdev-add", node_name="f3", **qcow2("c3", file="s3", backing="f2")),
    call("blockdev-add", node_name="above", **throttle("f3")),
]
COMMITS = {
    "through a filter": {"top-node": "f2", "base-node": "f0"},
    "onto what a filter shows": {"top-node": "f2", "base-node": "f1"},
    "onto a filter": {"top-node": "f2", "base-node": "below"},
    "from a filter": {"top-node": "below", "base-node": "f0"},
    "from a filter to its own child": {"top-node": "below", "base-node": "f1"},
    "below a filter": {"top-node": "f1", "base-node": "f0"},
    "all": {},
    "the active layer without its filter": {"top-node": "f3", "base-node": "f2"},
    "the filter and the active layer": {"base-node": "f2"},
    "the active layer onto a filter": {"top-node": "f3", "base-node": "below"},
    "the filter onto its child": {"base-node": "f3"},
    "base by a file name": {"top-node": "f2", "base": "{dir}/c0"},
    "top by a file name": {"top": "c2", "base-node": "f0"},
    "another root": {"device": "f3", "top-node": "f2"},
}


@pytest.mark.parametrize("arguments", COMMITS.values(), ids=COMMITS)
def test_commits(arguments):
    """What counts as a chain, who holds what meanwhile, and what is left of it."""
    given = {"device": "above", "job-id": "j", "auto-dismiss": False, "auto-finalize": False}
    compare(
        [
            *(*LAYERS, ask(call("block-commit", **given | {"speed": 1} | arguments)), show_graph()),
            *(ask(call("query-block-jobs")), ask(call("job-cancel", id="j")), *LOOK),
        ],
        images,
        layout=False,
    )


@pytest.mark.parametrize("name", ["through a filter", "onto what a filter shows", "below a filter"])
def test_commits_that_are_done(name):
    """The data is in the base, and a filter between them is gone with the layers."""
    given = {"device": "above", "job-id": "j"}
    compare(
        [
            *(*LAYERS, call("block-commit", **given | COMMITS[name])),
            *(wait_job("j", "null"), *LOOK),
        ],
        images,
    )


@pytest.mark.parametrize(
    "name", ["the active layer without its filter", "the filter and the active layer"]
)
def test_active_commits_that_are_done(name):
    """A filter above the layer stays or goes, as the top was given."""
    compare(
        [
            *(*LAYERS, call("block-commit", device="above", job_id="j", **COMMITS[name])),
            *(wait_job("j", "ready"), show_graph(), call("job-complete", id="j")),
            *(wait_job("j", "null"), show_graph(), show_descriptors()),
        ],
        images,
        layout=False,
    )


def test_links_that_copies_need_stay():
    """Down to the bottom of a copy-on-read filter nothing is changed, by whatever command."""
    commit = {"device": "x", "job-id": "j"}
    top = qcow2("c1", **{"node-name": "top"})
    compare(
        [
            *(add("low", qcow2("c0")), add("top", qcow2("c1", backing="low"))),
            *(add("x", cor("top", bottom="low")), *LOOK),
            ask(call("blockdev-reopen", options=[top | {"backing": None}])),
            ask(call("blockdev-reopen", options=[top | {"backing": "low", "read-only": True}])),
            ask(call("blockdev-reopen", options=[top | {"backing": "low"}])),
            *(delete("low"), delete("top")),
            ask(call("block-commit", **commit, **{"top-node": "top"})),
            ask(call("block-commit", **commit, **{"base-node": "low"})),
            *(*LOOK, delete("x"), *LOOK),
            ask(call("blockdev-reopen", options=[top | {"backing": None}])),
        ],
        images,
    )


def test_links_that_a_job_needs_cannot_be_kept_for_copies():
    """That is told even if the bottom would not be found, and of the job's filter first."""
    flt = {"filter-node-name": "flt"}
    compare(
        [
            *(add("low", qcow2("c0")), add("top", qcow2("c1", backing="low"))),
            *(add("other", qcow2("base")), add("above", {"driver": "raw", "file": "other"})),
            call("block-stream", device="top", job_id="j", auto_finalize=False, **flt),
            wait_job("j", "pending"),
            *(add("x", cor("top", bottom="low")), add("x", cor("top", bottom="other")), *LOOK),
            *(add("x", cor("flt", bottom="top")), add("x", cor("flt", bottom="other"))),
            *(call("job-cancel", id="j"), *LOOK),
        ],
        images,
        layout=False,
    )


# -- requests --------------------------------------------------------------------------------


def io(node, line):
    return ask(call("human-monitor-command", command_line=f'qemu-io {node} "{line}"'))


READS = ["read -q 0 4k", "read -q 300k 10k", "read -q 0 64M"]


@pytest.mark.parametrize("last", range(1, len(READS) + 1))
@pytest.mark.parametrize("bottom", [None, "f1", "f0"])
def test_what_is_read_is_kept(bottom, last):
    """The same clusters are copied, as data or as zeros."""
    layers = [*separate("c0", "c1"), *separate("c0", "c1", "c2")[4:]]
    size = 1 * MIB
    compare(
        [
            *(*layers, add("x", cor("f2", **({"bottom": bottom} if bottom else {})))),
            *(io("x", line.replace("64M", str(size))) for line in READS[:last]),
        ],
        images,
        program=Program.SYSTEM,
    )


def test_what_is_read_by_a_commit_is_kept():
    compare(
        [
            *separate("c0", "c1", last_writable=False),
            *(add("m", qcow2("c2", backing="f1")), add("x", cor("m"))),
            add("top", qcow2("c3", backing="x")),
            call("block-commit", device="top", job_id="j", base_node="f0", top_node="x"),
            *(wait_job("j", "null"), *LOOK),
        ],
        images,
    )


WRITES = {
    "a cluster": ["write -q -P 7 64k 64k"],
    "a part of a cluster": ["write -q -P 7 64k 64k", "write -q -P 8 130k 4k"],
    "several behind each other": [f"write -q -P {n} {n * 64}k 64k" for n in range(1, 9)],
    "the same cluster twice": ["write -q -P 7 64k 64k", "write -q -P 9 64k 64k"],
    "zeros that have a place": ["write -q -z 0 64k", "write -q -P 7 0 64k"],
    "zeros": ["write -q -z 64k 64k", "write -q -P 0 256k 64k"],
    "what has a place": ["write -q -P 7 0 64k"],
}


@pytest.mark.parametrize("lines", WRITES.values(), ids=WRITES)
def test_what_is_written_is_compressed(lines):
    """Clusters lie at the same bytes; what cannot be compressed any more is refused."""
    compare(
        [
            *(add("q", qcow2("packed")), io("q", "write -q -P 5 0 64k"), add("x", compress("q"))),
            *(io("x", line) for line in lines),
            *(io("q", "read -q -P 7 64k 64k"), delete("x"), delete("q")),
        ],
        images,
        program=Program.SYSTEM,
    )


def test_compression_that_nobody_does():
    """A filter takes compressed data for a format that has none."""
    below = throttle({"driver": "raw", "file": file("raw")})
    compare(
        [GROUP, add("x", compress(below)), io("x", "write -q -P 5 0 64k"), delete("x")],
        images,
        program=Program.SYSTEM,
    )


def test_zeros_are_given_back():
    """A guest's wish to free what it zeroes does not depend on the options of the node."""
    line = "write -q -z -u 0 128k"
    compare(
        [
            *(add("q", qcow2("c0")), add("r", {"driver": "raw", "file": qcow2("base")})),
            *(io("q", line), io("r", line), delete("r"), delete("q")),
        ],
        images,
        program=Program.SYSTEM,
    )


def test_images_change_their_files():
    """Tables are read anew from the file that an image has now."""
    one = {"driver": "qcow2", "node-name": "one", "backing": None}
    two = {"driver": "qcow2", "node-name": "two", "backing": None}
    compare(
        [
            *(add("s0", file("c0")), add("s1", file("base"))),
            *(call("blockdev-add", **one, file="s0"), call("blockdev-add", **two, file="s1")),
            *(io("one", "write -q -P 7 900k 1k"), io("two", "write -q -P 8 600k 1k")),
            call("blockdev-reopen", options=[one | {"file": "s1"}, two | {"file": "s0"}]),
            *(io("one", "write -q -P 9 600k 512"), io("two", "write -q -P 10 900k 512")),
            call("blockdev-reopen", options=[one | {"file": "s0"}, two | {"file": "s1"}]),
            *(delete("one"), delete("two")),
        ],
        lambda directory: [
            image(
                directory, name, writes=["write -q -P 1 600k 64k", "write -q -P 2 900k 60k"][::step]
            )
            for name, step in (("c0", 1), ("base", -1))
        ],
        program=Program.SYSTEM,
    )


def test_device_on_a_filter():
    """A device sees the filter's node, statistics tell what lies below it."""
    compare(
        [
            *(GROUP, add("low", qcow2("c0")), add("q", qcow2("c1", backing="low"))),
            add("x", throttle("q")),
            ask(call("device_add", driver="virtio-blk-pci", drive="x", id="d")),
            *(ask(call("query-block")), ask(call("query-blockstats"))),
            *(delete("x"), ask(call("object-del", id="tg")), *LOOK),
        ],
        images,
        program=Program.SYSTEM,
    )


def test_stream_of_a_short_image_behind_a_filter():
    """Behind the end of what a filter shows nothing is left to copy, as without the filter."""

    def layers(directory):
        image(directory, "short", size=MIB // 2, writes=["write -P 1 0 512k"])
        image(directory, "long")

    compare(
        [
            *(add("low", qcow2("short")), add("x", cor("low"))),
            *(add("top", qcow2("long", backing="x")), ask(call("block-stream", device="top"))),
            *(call("block-stream", device="top", job_id="j"), wait_job("j", "null"), *LOOK),
        ],
        layers,
    )


def test_disks_look_at_their_first_sector():
    """Whoever has copies made finds a cluster there; unless the disk was told its geometry."""
    kinds = {
        "a": ("virtio-blk-pci", {}),
        "b": ("scsi-hd", BUS),
        "c": ("usb-storage", {}),
        "d": ("scsi-cd", BUS),
        "e": ("scsi-hd", BUS | {"cyls": 9, "heads": 2, "secs": 8}),
    }

    def layers(directory):
        image(directory, "base", writes=["write -P 1 0 1M"])
        for name in kinds:
            image(directory, name, backing="base")

    script = []
    for name, (driver, more) in kinds.items():
        script += [
            add(f"q-{name}", qcow2(name)),
            add(f"x-{name}", cor(f"q-{name}")),
            ask(call("device_add", driver=driver, drive=f"x-{name}", id=name, **more)),
        ]
    compare(
        [
            *script,
            *(
                ask(call("device_add", driver=driver, drive="", id=driver, **BUS))
                for driver in ("scsi-hd", "scsi-cd")
            ),
        ],
        layers,
        program=Program.SYSTEM,
        arguments=("-device", "virtio-scsi-pci,id=s", "-device", "qemu-xhci"),
    )


def test_sizes_of_filters_on_a_file_that_grows():
    """Some look at it anew, some only once; what is written through a filter it knows."""

    def write(node, offset):
        return call("human-monitor-command", command_line=f'qemu-io {node} "write {offset} 64k"')

    def add(name, below, driver="raw", **options):
        return call("blockdev-add", driver=driver, node_name=name, **{"file": below} | options)

    def blkdebug(name, below):
        return call("blockdev-add", driver="blkdebug", node_name=name, image=below)

    grown = call("query-named-block-nodes")
    own = [
        *(call("blockdev-add", node_name="p", **file("packed")), GROUP),
        *(add("t", "p", "throttle", throttle_group="tg"), blkdebug("b", "p")),
        *(add("c", "p", "copy-on-read"), add("rc", "c"), add("rt", "t"), add("rb", "b")),
        *(add("q", "p", "qcow2"), write("q", 0), write("q", "64k"), grown),
    ]
    through = [
        call("blockdev-add", node_name="p2", **file("base")),
        *(add("t2", "p2", "throttle", throttle_group="tg"), blkdebug("b2", "t2")),
        *(add("q2", "b2", "qcow2"), write("q2", "512k"), write("q2", "832k"), grown),
    ]
    compare([*own, *through], images, program=Program.SYSTEM)

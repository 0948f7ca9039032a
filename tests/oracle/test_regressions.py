"""Differences that random sequences have found, each as small as it could be made."""

import pytest

from qmpd.testing.oracle import Program, call, chain, compare
from tests.oracle.machine.sets import SETS
from tests.oracle.machine.steps import ask, hide, look

pytestmark = pytest.mark.oracle


def add(driver, name, **options):
    return ask(call("blockdev-add", driver=driver, node_name=name, **options))


def delete(name):
    return ask(call("blockdev-del", node_name=name))


def reopen(*options):
    return ask(call("blockdev-reopen", options=list(options)))


def commit(device, **options):
    return ask(call("block-commit", job_id="j", device=device, **options))


def file(name):
    return {"driver": "file", "filename": name}


def separate(last, **options):
    """Chain of separate file nodes, all but the last read-only."""
    steps = []
    for number in range(last + 1):
        node = {"file": f"s{number}", "read_only": number < last} | options
        steps += [
            add("file", f"s{number}", filename=f"c{number}", auto_read_only=True),
            add("qcow2", f"f{number}", backing=f"f{number - 1}" if number else None, **node),
        ]
    return steps


def run(family, *steps, **options):
    compare(steps, SETS[family], **options)


def test_raw_over_a_format_shows_its_clusters():
    run("full", add("qcow2", "f", file=file("c0"), backing=None), add("raw", "r", file="f"))


@pytest.mark.parametrize("driver", ["null-co", "null-aio"])
def test_size_of_a_null_device_is_rounded_up(driver):
    run("full", add(driver, "n", size=1000))


@pytest.mark.parametrize("speed", [{"speed": -1}, {"filter_node_name": "f"}], ids=str)
def test_active_commit_that_cannot_start(speed):
    """The base is read-only again and the chain as it was."""
    run("full", add("qcow2", "f", file=file("c4")), commit("f", **speed), layout=False)


def test_active_commit_that_cannot_get_hold_of_its_base():
    run(
        "full",
        *(add("file", "m", filename="c4"), add("qcow2", "f4", file="m", backing=None)),
        *(add("qcow2", "f0", file=file("c2"), backing="m"), commit("f0")),
        layout=False,
    )


@pytest.mark.parametrize("family", ["full", "sparse"])
def test_active_commit_with_a_speed(family):
    """It sleeps after all that is dirty in one piece, and only then looks whether it is ready."""
    run(family, add("qcow2", "f", file=file("c4")), commit("f", speed=1), layout=False)


def test_empty_cache_object():
    run(
        "full",
        add("file", "s", filename="c0", cache={}),
        add("qcow2", "f", file=file("c0"), backing=None, cache={}),
        add("raw", "r", file=file("c0"), cache={}),
    )


def test_empty_cache_object_in_a_reopen():
    node = file("c0") | {"node-name": "s"}
    run("full", ask(call("blockdev-add", **node)), reopen(node | {"cache": {}}))


@pytest.mark.parametrize("value", [True, False])
def test_force_share_in_a_reopen_is_refused(value):
    node = file("c0") | {"node-name": "s", "read-only": True, "force-share": value}
    run("full", ask(call("blockdev-add", **node)), reopen(node))


def test_raw_node_with_an_offset_of_zero():
    run("full", add("raw", "r", file=file("c4"), offset=0))


@pytest.mark.parametrize(
    ("first", "second"),
    [({}, {"size": 512}), ({}, {"offset": 512}), ({"size": 512}, {})],
    ids=["size", "offset", "none"],
)
def test_role_of_a_raw_nodes_child_is_decided_once(first, second):
    """A window that comes or goes with a reopen does not change what the node asks for."""
    node = {"driver": "raw", "node-name": "r", "file": "s", "read-only": True}
    run(
        "sizes",
        *(add("file", "s", filename="c0"), ask(call("blockdev-add", **(node | first)))),
        add("qcow2", "q", file=file("c1"), backing="r", read_only=True),
        *(reopen(node | second), delete("q")),
    )


@pytest.mark.parametrize("layers", [{"base": "c0"}, {"top": "c0", "base": "c0"}], ids=str)
def test_name_of_a_file_that_is_gone(layers):
    run("full", *separate(1), hide("c0"), commit("f1", **layers), layout=False)


def test_names_of_files_after_a_commit():
    """The header's string is another one now; the layers are found all the same."""
    run(
        "deep",
        *separate(4),
        commit("f4", top_node="f2", base_node="f1", backing_file="c0"),
        commit("f4", top_node="f3", base="c1", filter_node_name="0bad"),
    )


def test_two_file_nodes_on_one_file():
    """Only the node that wrote knows that the file has grown."""
    run(
        "full",
        *separate(2),
        add("file", "other", filename="c0"),
        commit("f2", top_node="f1", base_node="f0", backing_file="c0"),
    )


@pytest.mark.parametrize("family", ["full", "deep", "shapes"])
def test_reopen_wakes_a_sleeping_commit_once(family):
    last = len(SETS[family].layers) - 1
    node = file(f"c{last - 1}") | {"node-name": f"s{last - 1}", "auto-read-only": True}
    run(
        family,
        *separate(last),
        commit(f"f{last}", top_node=f"f{last - 1}", speed=1),
        *(reopen(node), reopen(node), ask(call("job-cancel", id="j"))),
    )


def test_what_a_drain_ends_has_ended_before_the_reply():
    """Nothing is left to copy: the second of two drains sees the job to its end."""
    run(
        "sparse",
        *separate(5),
        commit("f5", top_node="f3", base_node="f0", speed=1),
        add("raw", "f1", file="f5"),
    )


@pytest.mark.parametrize("family", ["full", "deep", "shapes"])
def test_reference_wakes_a_sleeping_commit_twice(family):
    last = len(SETS[family].layers) - 1
    run(
        family,
        *separate(last),
        commit(f"f{last}", top_node=f"f{last - 1}", speed=1),
        add("raw", "x", file=f"f{last - 1}", read_only=True),
        *(delete("x"), ask(call("job-cancel", id="j"))),
    )


@pytest.mark.parametrize(
    "disk",
    [
        "virtio-blk-pci",
        "scsi-hd",
        "ide-hd",
    ],
)
def test_name_of_a_disk_in_the_graph(disk):
    words = ["-blockdev", "driver=file,node-name=s,filename=c0"]
    words += ["-device", "virtio-scsi-pci", "-device", f"{disk},drive=s,id=vda"]
    run("full", look(), program=Program.SYSTEM, arguments=words)


def test_woken_job_without_work_ends_before_the_reply():
    resume, pause = call("job-resume", id="j"), call("job-pause", id="j")
    slow = commit("f2", top_node="f1", speed=1)
    run("full", *separate(2), slow, ask(pause), ask(resume), ask(pause), ask(resume))


def test_job_that_fails_at_once_fails_before_the_reply():
    run(
        "sizes",
        add("raw", "f0", file=file("c0"), size=65536, read_only=True),
        add("qcow2", "f1", file=file("c1"), backing="f0", read_only=True),
        *(add("qcow2", "f2", file=file("c3"), backing="f1"), commit("f2", top_node="f1")),
    )


def test_length_of_an_active_commit_of_odd_size():
    def images(directory):
        sizes = {"c0": 786944, "c1": 786944}
        chain(directory, "c0", "c1", size=sizes, writes={"c1": ["write -P 1 128k 655872"]})

    nodes = [add("qcow2", "f", file=file("c1")), commit("f", speed=1)]
    compare(nodes, images, layout=False)


def test_first_failure_of_several_reopened_nodes():
    nodes = [file(name) | {"node-name": node} for name, node in (("c0", "s0"), ("c1", "s1"))]
    raw = {"driver": "raw", "node-name": "r", "file": "s0"}
    run(
        "sizes",
        add("raw", "r", file=nodes[0], auto_read_only=True),
        add("file", "s1", filename="c1"),
        add("qcow2", "q", file="s1"),
        hide("c0", by_directory=True),
        reopen(raw, nodes[0], nodes[1] | {"read-only": True}),
    )


@pytest.mark.parametrize("name", ["x", "s0"])
def test_job_woken_twice_without_work_ends_before_the_reply(name):
    """What it has copied is on disk already, since it had to wait for its speed."""
    run(
        "sparse",
        *separate(5),
        commit("f5", top_node="f3", base_node="f0", speed=1),
        add("raw", name, file="f5", read_only=True),
    )


@pytest.mark.parametrize(
    "twice",
    [
        ({"read-only": True, "file": "s"}, {"file": "s"}),
        ({"read-only": True, "file": "s"}, {"read-only": False, "file": "s"}),
        ({"file": "s", "size": 512}, {"file": "s", "offset": 512}),
        ({"file": "s", "discard": "unmap"}, {"file": "s", "detect-zeroes": "unmap"}),
        ({"file": "t"}, {"file": "s"}),
        ({"file": "s"}, {"file": "t"}),
        ({"file": file("c1") | {"read-only": True}}, {"file": file("c1")}),
        ({"file": "s"}, {"file": file("c1")}),
        ({"file": file("c1")}, {"file": "s"}),
        ({"file": "s", "size": 100}, {"file": "s", "size": 512}),
    ],
    ids=str,
)
@pytest.mark.parametrize("inline", [False, True])
def test_the_same_node_twice_in_one_reopen(twice, inline):
    """The second options complete the first."""
    if inline and {"file": "t"} in twice:
        pytest.skip("the original crashes when a queued node is let go of")
    node = {"node-name": "s"} | file("c1")
    options = [{"driver": "raw", "node-name": "r"} | given for given in twice]
    run(
        "sizes",
        add("file", "t", filename="c0"),
        *([] if inline else [add("file", "s", filename="c1")]),
        add("raw", "r", file=node if inline else "s"),
        *(reopen(*options), reopen(*options, node), reopen(node, options[0], node)),
    )


REFUSED = {
    "name taken": add("file", "s0", filename="c4"),
    "name taken by a user of the top": add("raw", "s0", file="f2", read_only=True),
    "nobody has that name": add("raw", "x", file="nobody"),
    "conflict": add("qcow2", "x", file="s2"),
    "read-only": add("qcow2", "x", file="f2"),
    "no window": add("raw", "x", file="f2", offset=1 << 40, read_only=True),
    "wrong format": add("qcow2", "x", file="f2", read_only=True),
    "cycle": add("qcow2", "x", file=file("c4"), backing="x"),
    "conflict with the backing file": add("qcow2", "x", file=file("c4"), backing="f2"),
    "conflict inside": add("raw", "x", file={"driver": "qcow2", "file": "s2"}),
    "name taken outside": add("raw", "s0", file={"driver": "raw", "file": "f2", "read-only": True}),
}


@pytest.mark.parametrize("definition", REFUSED.values(), ids=REFUSED)
def test_refused_definition_wakes_whom_it_would_have_used(definition):
    """What is refused before it is attached to anything drains nothing."""
    run("full", *separate(3), commit("f3", top_node="f2", speed=1), definition)


def test_zeroes_through_a_raw_node():
    run(
        "full",
        *separate(1),
        add("raw", "r", file="f1", read_only=True),
        add("qcow2", "f3", file=file("c3"), backing="r"),
        *(commit("f3"), ask(call("job-complete", id="j"))),
        layout=False,
    )


def test_active_commit_with_a_speed_sleeps_after_zeroes():
    nodes = [add("qcow2", "f2", file=file("c2"), read_only=True)]
    nodes += [add("qcow2", "f3", file=file("c3"), backing="f2")]
    run("sizes", *nodes, commit("f3", base_node="f2", speed=1), layout=False)

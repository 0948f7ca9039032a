"""transaction: several snapshots happen together, or none of them."""

import pytest

from qmpd.testing.oracle import MIB, Program, call, compare, image, wait_job, wait_progress
from tests.oracle.building import either
from tests.oracle.overlays import (
    CHAIN,
    DISK,
    LOOK,
    MORE,
    OVERLAY,
    commit,
    delete,
    file,
    images,
    qcow2,
    raw,
)

pytestmark = pytest.mark.oracle

USER = raw("user", "f1")
ABORT = {"type": "abort", "data": {}}


def transaction(*actions, **properties):
    arguments = {"actions": list(actions)}
    return call("transaction", **arguments, **({"properties": properties} if properties else {}))


def grouped(*actions):
    return transaction(*actions, **{"completion-mode": "grouped"})


def snapshot(node, overlay):
    return {"type": "blockdev-snapshot", "data": {"node": node, "overlay": overlay}}


def sync(node, filename, name="new", **options):
    data = {"node-name": node, "snapshot-file": filename, "snapshot-node-name": name}
    return {"type": "blockdev-snapshot-sync", "data": data | options}


NOBODY = snapshot("nobody", "o")


@pytest.mark.parametrize("program", Program)
def test_what_is_no_transaction(program):
    """What is wrong with the arguments, or with grouping, is told in the original's order."""
    properties = [{}, {"completion-mode": "individual"}, {"completion-mode": "x"}, {"x": 1}]
    lists = [
        *[
            {"type": "abort"},
            {"type": "nothing"},
            {"data": {}},
            {"type": "abort", "data": {"x": 1}},
        ],
        *[
            {"type": "abort", "data": {}, "x": 1},
            {"type": "blockdev-snapshot", "data": {"node": ""}},
        ],
    ]
    compare(
        [
            *CHAIN,
            *OVERLAY,
            *map(either, [call("transaction"), call("transaction", actions={}), transaction()]),
            *[either(call("transaction", actions=[], properties=given)) for given in properties],
            *[either(transaction(action)) for action in lists],
            *map(either, [grouped(), transaction(ABORT), grouped(ABORT)]),
            *[either(grouped(*pair)) for pair in [(NOBODY, ABORT), (ABORT, NOBODY)]],
            *[either(grouped(sync("f1", "n"))), either(grouped(snapshot("f1", "o"), ABORT))],
            *[either(transaction(*pair)) for pair in [(NOBODY, ABORT), (ABORT, NOBODY)]],
            *LOOK,
        ],
        images,
        program=program,
    )


@pytest.mark.parametrize("program", Program)
@pytest.mark.parametrize(
    "actions",
    [
        [snapshot("f1", "o")],
        [snapshot("f1", "o"), snapshot("o", "more")],
        [snapshot("f1", "o"), sync("o", "more", mode="existing")],
        [snapshot("f1", "o"), snapshot("f0", "more")],
        [snapshot("f1", "o"), snapshot("f1", "more")],
        [snapshot("f1", "o"), snapshot("other", "more")],
        [snapshot("s1", "o"), snapshot("sm", "other"), snapshot("f1", "more")],
        [sync("f1", "new"), sync("other", "new2")],
        [sync("f1", "new"), sync("other", "new", "new2")],
        [sync("f1", "new", "other"), snapshot("f1", "o")],
    ],
    ids=range(10),
)
def test_all_or_nothing(program, actions):
    """First with a failure at the end, then without; images that were made for nothing stay."""
    compare(
        [
            *CHAIN,
            *OVERLAY,
            *MORE,
            file("sb", "big"),
            qcow2("other", "sb"),
            *([DISK] if program is Program.SYSTEM else [USER]),
            either(transaction(*actions, ABORT)),
            *LOOK,
            either(transaction(*actions)),
            *LOOK,
            *delete("more", "o", "user", "f1", "other"),
            *LOOK,
        ],
        images,
        program=program,
    )


@pytest.mark.parametrize("program", Program)
def test_a_snapshot_of_what_the_same_transaction_opens(program):
    """It succeeds; one that fails then kills the original (docs/divergences.md)."""
    actions = [sync("f1", "new"), snapshot("new", "o"), sync("o", "new2", "new2")]
    compare([*CHAIN, *OVERLAY, USER, transaction(*actions), *LOOK], images, program=program)


def test_a_job_elsewhere_goes_on():
    """It takes one step for the transaction, and one more for each node that is its own."""
    step = MIB // 2

    def filled(directory):
        images(directory)
        image(directory, "c0", size=16 * MIB)
        image(directory, "c1", size=16 * MIB, backing="c0", writes=["write -P 9 0 16M"])

    options = {"driver": "qcow2", "node-name": "f1", "file": "s1", "backing": "f0"}
    compare(
        [
            *CHAIN,
            *OVERLAY,
            *MORE,
            file("sb", "big"),
            qcow2("f2", "sb", backing="f1"),
            call("blockdev-reopen", options=[options | {"read-only": True}]),
            commit(device="f2", top_node="f1", base_node="f0", speed=1),
            wait_progress("j", step),
            transaction(),
            wait_progress("j", 2 * step),
            either(transaction(ABORT)),
            wait_progress("j", 3 * step),
            either(transaction(snapshot("o", "more"), snapshot("f2", "o"))),
            wait_progress("j", 5 * step),
            transaction(snapshot("o", "more")),
            wait_progress("j", 6 * step),
            call("query-block-jobs"),
            call("block-job-set-speed", device="j", speed=0),
            wait_job("j", "null"),
            *LOOK,
        ],
        filled,
    )

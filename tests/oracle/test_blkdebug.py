"""``blkdebug``: its options, what it asks of its child, and the errors that it makes of requests."""

import pytest

from qmpd.testing.oracle import (
    Program,
    call,
    chain,
    compare,
    image,
    show_descriptors,
    show_graph,
)
from tests.oracle.machine.steps import ask

pytestmark = pytest.mark.oracle

LOOK = (
    ask(call("query-named-block-nodes")),
    ask(call("query-named-block-nodes", flat=True)),
    ask(call("query-blockstats", query_nodes=True)),
    show_graph(),
    show_descriptors(),
)


def images(directory):
    writes = {
        "base": ["write -q -P 1 0 256k"],
        "mid": ["write -q -P 2 0 512k"],
        "top": ["write -q -P 3 0 512k"],
    }
    chain(directory, "base", "mid", "top", writes=writes)
    image(directory, "raw", fmt="raw")
    (directory / "empty").write_text("")


def file(name, **options):
    return {"driver": "file", "filename": name} | options


def debug(below, **options):
    given = {name.replace("_", "-"): value for name, value in options.items()}
    return {"driver": "blkdebug", "image": below} | given


def rule(event, **options):
    return {"event": event} | options


def add(name, definition):
    return ask(call("blockdev-add", node_name=name, **definition))


def reopen(name, definition):
    return ask(call("blockdev-reopen", options=[definition | {"node-name": name}]))


SIZES = ["max-transfer", "opt-write-zero", "max-write-zero", "opt-discard", "max-discard"]
IMAGE = {"driver": "qcow2", "file": file("top")}
RULES = {
    "inject_error": [
        rule("l2_load", state=1, iotype="read", errno=5, sector=1, once=True, immediately=False),
        rule("write_aio", iotype="flush", errno=6, immediately=True),
    ],
    "set_state": [rule("none", new_state=1), rule("none", state=1, new_state=3)],
}
DEFINITIONS = {
    "nothing": debug(file("raw")),
    "empty configuration": debug(file("raw"), config="empty"),
    "configuration that is not there": debug(file("raw"), config="none"),
    "configuration and image that are not there": debug(file("none"), config="none"),
    "image that is not there": debug(file("none"), align=3),
    "unknown image": debug("none", align=3),
    "itself": debug("x"),
    "everything in a rule": debug(
        file("raw"),
        inject_error=[
            rule("read_aio", state=2, iotype="read", errno=28, sector=5, once=True),
            rule("none", immediately=True),
        ],
        set_state=[rule("write_aio", new_state=2), rule("none", state=1, new_state=3)],
    ),
    "several rules": debug(file("raw"), **RULES),
    "several rules below raw": {"driver": "raw", "file": debug(file("raw"), **RULES)},
    "several rules below an image": {
        "driver": "qcow2",
        "file": file("top"),
        "backing": {"driver": "raw", "file": debug(file("raw"), **RULES)},
    },
    "strange numbers": debug(
        file("raw"), inject_error=[rule("read_aio", state=-1, errno=-5, sector=-7)]
    ),
    "no rules": debug(file("raw"), inject_error=[]),
    "no permissions": debug(file("raw"), take_child_perms=[], unshare_child_perms=["write"]),
    "permissions": debug(file("raw"), take_child_perms=["write"], unshare_child_perms=["resize"]),
    "permissions that are refused": debug(
        file("raw"), read_only=True, take_child_perms=["write-unchanged"]
    ),
    "read-only": debug(file("raw"), read_only=True),
    "negative limits": debug(file("none"), align=-1, max_discard=-1),
    "large limit": debug(file("raw"), max_transfer=1 << 31),
    "large limit and no image": debug(file("none"), max_transfer=1 << 31),
    "limits that contradict": debug(file("raw"), align=4096, max_transfer=512, max_discard=100),
    "best and longest": debug(file("raw"), opt_write_zero=1024, max_write_zero=1536),
    "best and longest of discards": debug(file("raw"), opt_discard=512, max_discard=1536),
    "all limits": debug(file("raw"), align=512, **dict.fromkeys(SIZES, 4096)),
    "zeros": debug(file("raw"), align=0, **dict.fromkeys(SIZES, 0)),
    "no power of two": debug(file("raw"), align=1536),
    "an image": debug(IMAGE),
    "an image with limits": debug(IMAGE, align=65536),
    "twice": debug(debug(file("raw")), config="empty"),
    "null device": debug({"driver": "null-co"}),
    "null device of a size": debug({"driver": "null-co", "size": 1024}),
    "below an image": {"driver": "qcow2", "file": debug(file("{dir}/top"))},
    "below an image with limits": {"driver": "qcow2", "file": debug(file("top"), align=512)},
    "below an image without a backing file": {
        "driver": "qcow2",
        "file": debug(file("top")),
        "backing": None,
    },
    "below raw": {"driver": "raw", "file": debug(file("raw"))},
    "unaligned": {"driver": "raw", "size": 512, "file": debug(file("raw"), align=4096)},
}


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
def test_definitions(definition):
    compare(
        [
            *(add("x", definition), *LOOK),
            *(add("above", {"driver": "raw", "file": "x", "read-only": True}), *LOOK),
            *(ask(call("blockdev-del", node_name=name)) for name in ("above", "x")),
            *LOOK,
        ],
        images,
    )


@pytest.mark.parametrize("name", ["align", *SIZES])
def test_limits(name):
    """Which sizes are taken, one at a time."""
    sizes = [-1, 0, 1, 100, 512, 4096, 1536, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 62]
    requests = []
    for size in sizes:
        requests += [
            add("x", debug(file("raw"), **{name: size})),
            ask(call("query-named-block-nodes", flat=True)),
            ask(call("blockdev-del", node_name="x")),
        ]
    compare(requests, images)


REOPENS = {
    "nothing": {},
    "read-only": {"read-only": True},
    "image as it is": {"image": "below"},
    "another image": {"image": "other"},
    "image that is not there": {"image": "none"},
    "image given inline": {"image": file("mid")},
    "file": {"file": "other"},
    "alignment": {"align": 4096},
    "configuration": {"config": "empty"},
    "other rules": {"inject-error": [rule("read_aio", sector=2)]},
    "more rules": {"inject-error": [rule("read_aio", sector=1), rule("write_aio")]},
    "permissions": {"take-child-perms": ["write"]},
}
RULES = {"inject-error": [rule("read_aio", sector=1)]}


@pytest.mark.parametrize("change", REOPENS.values(), ids=REOPENS)
def test_reopens(change):
    inner = file("mid", **{"node-name": "inner"})
    compare(
        [
            *(add("below", file("raw")), add("other", file("base"))),
            *(add("x", debug("below") | RULES), add("y", debug(inner) | RULES)),
            *(reopen("x", debug("below") | RULES | change), *LOOK),
            *(reopen("y", debug(inner) | RULES | change), *LOOK),
            *(reopen("x", debug("below")), *LOOK),
        ],
        images,
    )


# -- errors in jobs --------------------------------------------------------------------------


def layer(name, fmt, below, rules, **options):
    """Requests for one layer, with rules below the format or, for ``above``, on top of it."""
    inner = debug(below, inject_error=rules) if rules else below
    return add(f"{name}", {"driver": fmt, "file": inner} | options)


def once(event, sector=1024, **options):
    return [rule(event, sector=sector, once=True, **options)]


def layers(base=None, mid=None, top=None):
    return [
        layer("b", "qcow2", file("base"), base),
        layer("m", "qcow2", file("mid"), mid, backing="b"),
        layer("t", "qcow2", file("top"), top, backing="m"),
    ]


ERRORS = {
    "read error in the middle": {"mid": once("read_aio")},
    "read error that stays": {"mid": [rule("read_aio", sector=1024)]},
    "write error in the base": {"base": once("write_aio", 900)},
    "no space in the base": {"base": once("write_aio", 900, errno=28)},
    "strange error in the base": {"base": once("write_aio", 900, errno=5000)},
    "error when tables are read": {"mid": [rule("l2_load", once=True)]},
    "error at any write": {"base": [rule("none", iotype="write", once=True)]},
    "error at any read": {"mid": [rule("none", iotype="read", once=True)]},
    "flush error in the base": {"base": [rule("none", iotype="flush", once=True)]},
}


COMMIT = {"device": "t", "job-id": "j", "top-node": "m", "base-node": "b"}
RESUME = ask(call("block-job-resume", device="j"))


@pytest.mark.parametrize("policy", ["report", "ignore", "stop", "enospc"])
@pytest.mark.parametrize("name", ERRORS)
def test_commit_with_an_error(name, policy):
    """The policy decides; what fails once is tried again where the job goes on."""
    if policy in {"ignore", "stop"} and "stays" in name:
        policy = "report"  # tried again for ever, or as often as somebody says
    commit = call("block-commit", **COMMIT | {"on-error": policy})
    compare(
        [
            *(*layers(**ERRORS[name]), ask(commit), ask(call("query-block-jobs")), RESUME),
            *(RESUME, ask(call("job-cancel", id="j")), *LOOK),
        ],
        images,
    )


ACTIVE = {
    "read error in the top": {"top": once("read_aio")},
    "write error in the base": {"mid": once("write_aio")},
    "flush error in the base": {"mid": [rule("write_aio", iotype="flush", once=True)]},
}


@pytest.mark.parametrize("policy", ["report", "ignore", "stop"])
@pytest.mark.parametrize("name", ACTIVE)
def test_active_commit_with_an_error(name, policy):
    commit = call("block-commit", device="t", job_id="j", base_node="m", on_error=policy)
    compare(
        [
            *(*layers(**ACTIVE[name]), ask(commit), ask(call("query-block-jobs")), RESUME),
            *(ask(call("job-complete", id="j")), show_graph(), show_descriptors()),
        ],
        images,
        layout=False,
    )


def test_filter_in_the_chain():
    """A rule on a node above a format strikes what is read through it."""
    rules = [rule("none", iotype="read", sector=1, once=True)]
    commit = call("block-commit", device="t", job_id="j", top_node="d", base_node="b")
    compare(
        [
            *(add("b", {"driver": "qcow2", "file": file("base")}),),
            add("m", {"driver": "qcow2", "file": file("mid"), "backing": "b"}),
            add("d", debug("m", inject_error=rules)),
            add("t", {"driver": "qcow2", "file": file("top"), "backing": "d"}),
            *(ask(commit), *LOOK, ask(commit), *LOOK),
        ],
        images,
    )


# -- events ----------------------------------------------------------------------------------


def io(node, *lines):
    return [
        ask(call("human-monitor-command", command_line=f'qemu-io {node} "{line}"'))
        for line in lines
    ]


EVENTS = [
    "read_aio",
    "write_aio",
    "l2_load",
    "cluster_alloc",
    "pwritev",
    "cow_read",
    "flush_to_disk",
]


@pytest.mark.parametrize("event", EVENTS)
def test_events(event):
    """An event arms a rule, whatever the request is that comes next."""
    definition = debug(file("top"), inject_error=[rule(event, once=True)])
    compare(
        [
            add("x", {"driver": "qcow2", "file": definition, "backing": None}),
            *io("x", "read -q 0 4k", "write -q -P 8 0 64k", "write -q -P 9 640k 64k", "flush"),
            *io("x", "read -q 0 1M", "write -q -P 9 768k 64k"),
        ],
        images,
        program=Program.SYSTEM,
    )


def test_states():
    """A rule waits for its state, which events of its own set."""
    rules = {
        "inject_error": [rule("read_aio", state=3, sector=1)],
        "set_state": [
            rule("write_aio", state=1, new_state=2),
            rule("write_aio", state=2, new_state=3),
        ],
    }
    compare(
        [
            add("x", {"driver": "raw", "file": debug(file("raw"), **rules)}),
            *io("x", "read -q 0 4k", "write -q 0 4k", "read -q 0 4k", "write -q 0 4k"),
            *io("x", "read -q 0 4k", "read -q 4k 4k"),
        ],
        images,
        program=Program.SYSTEM,
    )


@pytest.mark.parametrize(
    "name", ["blkdebug:", "blkdebug:x", "blkdebug::", "blkdebug::{dir}/none", "blkdebug:none:top"]
)
def test_bad_names(name, start_server):
    """What is wrong with a name in front of the image's own."""
    ended = start_server.refused(
        "-drive", f"if=none,format=qcow2,file={name}", program=Program.SYSTEM
    )
    assert ended.last_line.startswith("PROG: -drive if=none,format=qcow2,file=blkdebug:")


EVENT = 'event = "none"'
CONFIGURATIONS = [
    ["[inject-error]"],
    ["[inject-error]", 'state = "1"', "[set-state]"],
    ["[set-state]", 'event = "x"', "[inject-error]", 'event = "y"'],
    ["[foo]", "[]"],
    ["[]"],
    ["[ ]"],
    ["[[x]"],
    ["[inject-error"],
    ["inject-error]"],
    ["[inject-error ", 'x = "1"'],
    ["  [inject-error]", EVENT],
    ["[inject-error]x", EVENT],
    ['[  inject-error  "a"x', EVENT],
    ['[inject-error "a b"]', EVENT],
    ['[inject-error "1a"]', EVENT],
    ['[inject-error""]', EVENT],
    ['[inject-error"a"]', EVENT],
    ['[inject-error "a"]', EVENT, '[set-state "a"]', EVENT, '[inject-error "a"]', EVENT],
    ['[inject-error "a"]', EVENT, 'id = "b"', '[inject-error "b"]', EVENT],
    ["[foo]", "[inject-error]", 'state = "x"'],
    ["[inject-error]", 'state = "x"', "[foo]"],
    ["[inject-error]", 'state = "x"', "[]"],
    ["[inject-error]", 'iotype = "x"', 'event = "x"'],
    ["[inject-error]", 'iotype = "x"', EVENT],
    ["[inject-error]", 'event = "n\u00f6"'],
    ["[set-state]", EVENT],
    ["[set-state]", EVENT, 'new_state = "x"'],
    ["[set-state]", EVENT, 'iotype = "read"'],
    ["", "# x", "[inject-error]", EVENT, "", 'errno = "5" # x', "#"],
    *(
        ["[inject-error]", EVENT, *lines]
        for lines in (
            [" # x"],
            ["   "],
            ["\r"],
            ["\v"],
            ["junk"],
            ["="],
            ["errno=5"],
            ['errno= "5"'],
            ['errno ="x"'],
            ['errno = "x'],
            ["errno = '5'"],
            ["errno = 5"],
            ["event = none"],
            ['errno = ""'],
            ['errno = "0x5"\r', 'state = "010"'],
            ['errno = " 5"'],
            ['errno = "5 "'],
            ['errno = "5k"'],
            ['errno = "0b1"'],
            ['errno = "5" errno = "x"'],
            ['errno = "x"', 'errno = "5"'],
            ['state = "-18446744073709551615"', 'errno = "4294967296"', 'sector = "-2"'],
            ['state = "-18446744073709551616"'],
            ['state = "18446744073709551616"'],
            ['once = "maybe"'],
            ['once = ""'],
            ['once = "y"', 'immediately = "no"'],
            ['errno = "x"', 'state = "y"', 'foo = "z"'],
            ['foo = "z"', 'once = "z"', 'sector = "z"', 'immediately = "z"'],
            ['zoo = "1"', 'id = "1a"'],
            ['x\0y = "z"'],
            ["a" * 70 + ' = "1"'],
            [f'errno = "{"1" * 1100}"'],
            [f'errno = "{" " * 960}5"'],
            *(["#" * length + 'a = "1"'] for length in (1021, 1022, 1023)),
        )
    ),
]


def test_configurations():
    """What counts as a rule in a file, and the first mistake that is found in it."""

    def files(directory):
        for number, lines in enumerate(CONFIGURATIONS):
            (directory / f"c{number}").write_text("\n".join(lines) + "\n")

    null = {"driver": "null-co"}
    compare(
        [
            *(add(f"x{n}", debug(null, config=f"c{n}")) for n in range(len(CONFIGURATIONS))),
            add("y", debug(null, config=".")),
        ],
        files,
    )


MANY_RULES = [
    [rule("read_aio", errno=28), rule("read_aio", errno=13, sector=3)],
    [rule("read_aio", errno=13, sector=3), rule("read_aio", errno=28)],
    [rule("read_aio", errno=number, once=True) for number in (28, 28, 13, 12)],
    [rule("read_aio", errno=28, state=2), rule("read_aio", errno=13, state=1)],
]
MANY_STATES = [
    [],
    [rule("read_aio", new_state=2)],
    [rule("read_aio", new_state=2), rule("read_aio", new_state=1)],
    [rule("read_aio", state=1, new_state=2), rule("read_aio", state=2, new_state=1)],
]


def test_many_rules():
    """Which of several rules for one event counts, of a file's and of the definition's."""
    config = '[inject-error]\nevent = "read_aio"\nerrno = "22"\nonce = "on"\n'
    script = []
    for errors in MANY_RULES:
        for changes in MANY_STATES:
            rules = {"inject_error": errors} | ({"set_state": changes} if changes else {})
            if len(changes) == 1:
                rules["config"] = "rules"
            below = debug({"driver": "null-co", "read-zeroes": True}, **rules)
            script += [
                add("x", {"driver": "raw", "file": below}),
                *io("x", *["read -q 0 512", "read -q 1536 512"] * 3),
                ask(call("blockdev-del", node_name="x")),
            ]
    compare(
        script,
        lambda directory: (directory / "rules").write_text(config),
        program=Program.SYSTEM,
    )

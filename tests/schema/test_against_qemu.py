"""Mutated arguments get the same error sentence from qmpd's visitor and from the real QEMU."""

import random
import subprocess
from typing import Any

import pytest

from qmpd.errors import QmpError
from qmpd.schema import scalars
from qmpd.schema.visitor import visit_arguments
from tests.schema.real import ask

pytestmark = pytest.mark.oracle

FILE = {"driver": "file", "node-name": "f", "filename": "/nonexistent/image", "aio": "threads"}
QCOW2 = {
    "driver": "qcow2",
    "node-name": "q",
    "discard": "unmap",
    "cache": {"direct": False, "no-flush": False},
    "read-only": True,
    "detect-zeroes": "off",
    "file": FILE,
    "backing": None,
    "lazy-refcounts": True,
    "overlap-check": {"template": "all", "active-l1": True},
    "l2-cache-size": 1048576,
    "encrypt": {"format": "luks", "key-secret": "s"},
    "data-file": "none",
}
# Definitions that cannot be carried out, so that nothing a seed leaves whole has effects.
SEEDS: list[tuple[str, dict[str, Any]]] = [
    ("blockdev-add", QCOW2),
    ("blockdev-add", {**QCOW2, "overlap-check": "cached", "backing": {**FILE, "locking": "off"}}),
    ("blockdev-add", {"driver": "raw", "node-name": "r", "offset": 0, "size": 512, "file": FILE}),
    ("blockdev-add", {"driver": "raw", "file": {"driver": "raw", "file": "nosuch"}}),
    (
        "blockdev-add",
        {"driver": "raw", "file": {"driver": "null-co", "latency-ns": 1, "read-zeroes": False}},
    ),
    ("blockdev-reopen", {"options": [FILE, {"driver": "raw", "node-name": "x", "file": "f"}]}),
    ("blockdev-del", {"node-name": "nosuch"}),
    (
        "block-commit",
        {
            "job-id": "j",
            "device": "nosuch",
            "top-node": "t",
            "base": "b",
            "speed": 5,
            "on-error": "stop",
            "auto-finalize": True,
        },
    ),
    ("blockdev-snapshot", {"node": "nosuch", "overlay": "nosuch"}),
    (
        "blockdev-snapshot-sync",
        {
            "node-name": "nosuch",
            "snapshot-file": "/nonexistent/image",
            "snapshot-node-name": "1",
            "format": "qcow2",
            "mode": "absolute-paths",
        },
    ),
    ("change-backing-file", {"device": "nosuch", "image-node-name": "x", "backing-file": "y"}),
    (
        "transaction",
        {
            "actions": [
                {"type": "blockdev-snapshot", "data": {"node": "nosuch", "overlay": "x"}},
                {"type": "abort", "data": {}},
                {"type": "blockdev-snapshot-sync", "data": {"snapshot-file": "/nonexistent/x"}},
            ],
            "properties": {"completion-mode": "grouped"},
        },
    ),
    ("block-job-set-speed", {"device": "nosuch", "speed": 7}),
    ("block-job-cancel", {"device": "nosuch", "force": True}),
    ("job-finalize", {"id": "nosuch"}),
    ("query-named-block-nodes", {"flat": True}),
    ("query-blockstats", {"query-nodes": False}),
    ("object-del", {"id": "nosuch"}),
    ("object-add", {"qom-type": "throttle-group", "id": "1", "limits": {"iops-total": 5}}),
    (
        "object-add",
        {
            "qom-type": "memory-backend-ram",
            "id": "1",
            "size": 4096,
            "host-nodes": [0, 1],
            "policy": "bind",
            "prealloc-threads": 2,
        },
    ),
    ("object-add", {"qom-type": "secret_keyring", "id": "1", "serial": 5, "format": "raw"}),
]

ODD_VALUES = [
    None, True, False, 0, -1, 1.5, 1e3, 65536, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63,
    (1 << 64) - 1, -(1 << 63), "", "x", "null", [], ["a"], [1], {}, {"a": 1},
]  # fmt: skip
ODD_NAMES = ["bogus", "Node-Name", "a.b", "file.driver", "x" * 40, "é", "zz", "0", "driver2"]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a value, at any depth."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], (dict, list)):
            found += places(value[key])
    return found


def copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, list) else value


def mutate(dice: random.Random, arguments: dict[str, Any]) -> dict[str, Any]:
    mutant = copy(arguments)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        found = places(mutant)
        if not found:
            break
        container, key = dice.choice(found)
        action = dice.randrange(4)
        if action == 0:
            del container[key]
        elif action == 1 and isinstance(container, dict):
            for name in dice.sample(ODD_NAMES, dice.choice([1, 1, 2, 4, 8])):
                container[name] = copy(dice.choice(ODD_VALUES))
        else:
            container[key] = copy(dice.choice(ODD_VALUES))
    return mutant


def our_fault(command: str, arguments: dict[str, Any]) -> str | None:
    try:
        visit_arguments(command, arguments)
    except QmpError as error:
        return error.desc
    return None


def is_visit_fault(text: str) -> bool:
    """Whether a sentence can only come from the check of arguments."""
    return text.startswith("Invalid parameter type") or (
        (
            text.startswith("Parameter '")
            and ("' is missing" in text or "' is unexpected" in text or "' does not acc" in text)
        )
        or (" expects " in text and not text.endswith(" an identifier"))
    )


def has_fatal_definition(value: Any) -> bool:
    """Whether the real QEMU would abort on it: an empty reopen list, a negative null size."""
    if isinstance(value, dict):
        if value.get("options") == []:
            return True
        size = value.get("size", 0)
        if "null-co" in value.values() and isinstance(size, int) and size < 0:
            return True
        return any(map(has_fatal_definition, value.values()))
    return isinstance(value, list) and any(map(has_fatal_definition, value))


@pytest.mark.parametrize("seed", range(6))
def test_mutated_arguments_get_the_same_sentence(seed):
    dice = random.Random(seed)  # noqa: S311 - a repeatable test, not a secret
    cases = []
    for _ in range(400):
        command, arguments = dice.choice(SEEDS)
        mutant = mutate(dice, arguments)
        if not has_fatal_definition(mutant):
            cases.append((command, mutant))
    requests = [{"execute": c, "arguments": a} for c, a in cases]
    replies = ask("storage-daemon", requests)
    assert len(replies) == len(cases)
    faults = 0
    for (command, arguments), reply in zip(cases, replies, strict=True):
        real = reply.get("error", {}).get("desc", "")
        mine = our_fault(command, arguments)
        faults += mine is not None
        if mine is not None or is_visit_fault(real):
            assert mine == real, f"{command} {arguments}"
    assert faults > len(cases) / 2


@pytest.mark.parametrize("count", [2, 3, 5, 7, 8, 9, 16, 30, 60])
def test_of_several_unknown_members_the_same_one_is_named(count):
    dice = random.Random(count)  # noqa: S311 - a repeatable test, not a secret
    cases = []
    for _ in range(40):
        names = {"".join(dice.choices("abcxyz-_09é", k=dice.randint(1, 12))) for _ in range(count)}
        cases.append({**QCOW2, **dict.fromkeys(names - set(QCOW2), 1)})
    replies = ask("storage-daemon", [{"execute": "blockdev-add", "arguments": c} for c in cases])
    for case, reply in zip(cases, replies, strict=True):
        assert our_fault("blockdev-add", case) == reply["error"]["desc"], case


SIZES = [
    "1", "1.5", "0x10", "0x10k", "0x1b", "1e3", "1KB", "1K", "1B", "1 ", "-1", " 1", "+1", "1.5B",
    ".5k", "1.k", "", "18446744073709551615", "18446744073709551616", "16E", "15E", "0x", "1.5E",
    "0.1k", "1.0", "1.", "010", "1_0", "0x1.8k", "inf", "nan", "1e1k", "- 1", "+-1",
]  # fmt: skip
INTEGERS = [
    "1", "-1", "0x", "0x10", "-0x10", "+-1", " -1", "1 ", "", "18446744073709551615",
    "18446744073709551616", "-18446744073709551615", "-9223372036854775809",
    "9223372036854775807", "08", "0b1", "0o1", "1l", "0xg", "0x0x1", "\t1", "- 1",
]  # fmt: skip


def starts(option: str, text: str) -> bool:
    """Whether the storage daemon takes a number; it fails in any case, as nothing can be made."""
    words = ["qemu-storage-daemon", option, text]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    return not any(f" expects {what}" in done.stderr for what in ("size", "integer"))


@pytest.mark.parametrize("text", SIZES)
def test_the_same_sizes_can_be_spelled(text):
    real = starts("--object", f"memory-backend-epc,id=1,size={text}")
    assert (scalars.KEYVAL[scalars.SIZE](text, None) is not scalars.WRONG) == real


@pytest.mark.parametrize("text", INTEGERS)
@pytest.mark.parametrize(
    ("member", "kind"), [("size", scalars.INT), ("latency-ns", scalars.UINT64)]
)
def test_the_same_integers_can_be_spelled(text, member, kind):
    real = starts("--blockdev", f"null-co,node-name=1,{member}={text}")
    assert (scalars.KEYVAL[kind](text, None) is not scalars.WRONG) == real

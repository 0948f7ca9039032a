"""The visitor checks in QEMU's order and says what QEMU says."""

import pytest

from qmpd.errors import QmpError
from qmpd.schema import contract
from qmpd.schema.visitor import keywords, visit, visit_arguments

FILE = {"driver": "file", "filename": "/tmp/a"}


def fault(command, arguments):
    with pytest.raises(QmpError) as caught:
        visit_arguments(command, arguments)
    return caught.value.desc


def keyval_fault(value, type_name="BlockdevOptions"):
    with pytest.raises(QmpError) as caught:
        visit(type_name, value, keyval=True)
    return caught.value.desc


def test_members_come_back_in_schema_order_and_only_those_that_are_present():
    given = {"auto-dismiss": False, "device": "d", "job-id": "j"}
    visited = visit_arguments("block-commit", given)
    assert list(visited.items()) == [("job-id", "j"), ("device", "d"), ("auto-dismiss", False)]


def test_absent_arguments_are_no_arguments():
    assert visit_arguments("query-block", None) == {}
    assert fault("job-pause", None) == "Parameter 'id' is missing"


def test_keywords_are_the_names_in_python():
    visited = visit_arguments("block-commit", {"device": "d", "top-node": "t"})
    assert keywords("block-commit", visited) == {"device": "d", "top_node": "t"}
    visited = visit_arguments("blockdev-add", {**FILE, "aio-max-batch": 3})
    assert keywords("blockdev-add", visited)["aio_max_batch"] == 3


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        ("blockdev-add", {}, "Parameter 'driver' is missing"),
        ("blockdev-add", {"driver": "x"}, "Parameter 'driver' does not accept value 'x'"),
        ("blockdev-add", {"driver": "file"}, "Parameter 'filename' is missing"),
        ("blockdev-add", {**FILE, "x": 1}, "Parameter 'x' is unexpected"),
        (
            "blockdev-add",
            {"driver": "raw", "file": {"driver": "file"}},
            "Parameter 'file.filename' is missing",
        ),
        (
            "blockdev-add",
            {"driver": "raw", "file": {"driver": "x"}},
            "Parameter 'driver' does not accept value 'x'",
        ),
        (
            "blockdev-add",
            {"driver": "raw", "file": 1},
            "Invalid parameter type for 'file', expected: BlockdevRef",
        ),
        (
            "blockdev-add",
            {"driver": "raw", "file": None},
            "Invalid parameter type for 'file', expected: BlockdevRef",
        ),
        (
            "blockdev-reopen",
            {"options": [FILE, {"driver": "raw", "file": {**FILE, "aio": 1}}]},
            "Invalid parameter type for 'options[1].file.aio', expected: string",
        ),
        (
            "blockdev-reopen",
            {"options": {}},
            "Invalid parameter type for 'options', expected: array",
        ),
        (
            "blockdev-reopen",
            {"options": [1]},
            "Invalid parameter type for 'options[0]', expected: object",
        ),
        (
            "blockdev-add",
            {**FILE, "cache": True},
            "Invalid parameter type for 'cache', expected: object",
        ),
        (
            "block-job-set-speed",
            {"device": "j", "speed": 1 << 63},
            "Invalid parameter type for 'speed', expected: integer",
        ),
        (
            "block-job-set-speed",
            {"device": "j", "speed": 1.0},
            "Invalid parameter type for 'speed', expected: integer",
        ),
        (
            "block-job-set-speed",
            {"device": "j", "speed": True},
            "Invalid parameter type for 'speed', expected: integer",
        ),
        (
            "block-commit",
            {"device": "d", "auto-finalize": 0},
            "Invalid parameter type for 'auto-finalize', expected: boolean",
        ),
        (
            "block-commit",
            {"device": None},
            "Invalid parameter type for 'device', expected: string",
        ),
        ("qmp_capabilities", {"enable": ["x"]}, "Parameter 'null' does not accept value 'x'"),
        (
            "qmp_capabilities",
            {"enable": [1]},
            "Invalid parameter type for 'enable[0]', expected: string",
        ),
        (
            "object-add",
            {"qom-type": "memory-backend-ram", "id": "m", "size": 1, "prealloc-threads": 1 << 32},
            "Parameter 'prealloc-threads' expects uint32_t",
        ),
        (
            "object-add",
            {"qom-type": "memory-backend-ram", "id": "m", "size": "1"},
            "Parameter 'size' expects uint64",
        ),
        (
            "object-add",
            {"qom-type": "memory-backend-ram", "id": "m", "size": 1, "host-nodes": [0, 1 << 16]},
            "Parameter 'null' expects uint16_t",
        ),
        (
            "object-add",
            {"qom-type": "memory-backend-ram", "id": "m", "size": 1, "host-nodes": ["a"]},
            "Parameter 'host-nodes[0]' expects uint64",
        ),
        (
            "object-add",
            {"qom-type": "secret_keyring", "id": "m", "serial": 1 << 31},
            "Parameter 'serial' expects int32_t",
        ),
        (
            "object-add",
            {"qom-type": "secret_keyring", "id": "m", "serial": "a"},
            "Invalid parameter type for 'serial', expected: integer",
        ),
    ],
)
def test_each_fault_has_qemus_sentence(command, arguments, text):
    assert fault(command, arguments) == text


def test_known_members_are_checked_before_unknown_ones():
    assert fault("job-pause", {"bogus": 1}) == "Parameter 'id' is missing"
    assert fault("job-pause", {"bogus": 1, "id": "j"}) == "Parameter 'bogus' is unexpected"


def test_an_inner_object_is_checked_wholly_before_later_members():
    inner_first = {"driver": "qcow2", "file": {**FILE, "bogus": 1}, "backing": 5}
    assert fault("blockdev-add", inner_first) == "Parameter 'file.bogus' is unexpected"


def test_negative_numbers_wrap_in_unsigned_members():
    visited = visit_arguments("blockdev-add", {"driver": "null-co", "latency-ns": -1})
    assert visited["latency-ns"] == (1 << 64) - 1


def test_lists_and_objects_come_back_as_such():
    arguments = {"options": [{"driver": "raw", "file": FILE, "node-name": "r"}]}
    assert visit_arguments("blockdev-reopen", arguments) == arguments
    assert visit_arguments("blockdev-reopen", {"options": []}) == {"options": []}


def test_definitions_nest_as_deeply_as_the_parser_allows():
    definition = FILE
    for _ in range(1000):
        definition = {"driver": "raw", "file": definition}
    visited = visit_arguments("blockdev-add", definition)
    for _ in range(1000):
        visited = visited["file"]
    assert visited == FILE


def test_the_path_of_a_deep_fault_is_complete():
    definition = {"driver": "file"}
    for _ in range(300):
        definition = {"driver": "raw", "file": definition}
    path = "file." * 300 + "filename"
    assert fault("blockdev-add", definition) == f"Parameter '{path}' is missing"


@pytest.mark.parametrize(
    ("text", "value"),
    [("0x400", 1024), ("010", 8), ("-5", -5), (" 7", 7), ("+7", 7), ("0", 0), ("0X1f", 31)],
)
def test_keyval_integers_are_read_as_c_reads_them(text, value):
    visited = visit("BlockdevOptions", {"driver": "null-co", "size": text}, keyval=True)
    assert visited["size"] == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1k",
        "0x",
        "08",
        "1_0",
        "0o1",
        "0x0x1",
        "\uff11",
        "9" * 5000,
        "--1",
        "1 ",
        str(1 << 63),
    ],
)
def test_other_keyval_integers_are_refused(text):
    assert keyval_fault({"driver": "null-co", "size": text}) == "Parameter 'size' expects integer"


@pytest.mark.parametrize("text", ["on", "yes", "true", "y", "off", "no", "false", "n"])
def test_keyval_switches_have_four_spellings_each(text):
    visited = visit("BlockdevOptions", {**FILE, "read-only": text}, keyval=True)
    assert visited["read-only"] is (text in {"on", "yes", "true", "y"})


def test_other_keyval_switches_are_refused():
    text = "Parameter 'cache.direct' expects 'on' or 'off'"
    assert keyval_fault({**FILE, "cache": {"direct": "1"}}) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1k", 1024),
        ("1.5M", 3 << 19),
        ("2G", 2 << 30),
        ("0x10", 16),
        ("1b", 1),
        ("0x1b", 27),
        ("0x2k", 2048),
        ("1.0", 1),
        ("+1.", 1),
    ],
)
def test_keyval_sizes_take_suffixes(text, value):
    given = {"qom-type": "memory-backend-ram", "id": "m", "size": text}
    assert visit("ObjectOptions", given, keyval=True)["size"] == value


def test_keyval_lists_show_their_index_after_a_dot():
    given = {"qom-type": "memory-backend-ram", "id": "m", "size": "1", "host-nodes": ["a"]}
    text = "Parameter 'host-nodes.0' expects integer"
    assert keyval_fault(given, "ObjectOptions") == text


def test_keyval_members_of_a_scalar_are_unexpected():
    assert keyval_fault({**FILE, "aio": {"x": "1"}}) == "Parameters 'aio.*' are unexpected"


def test_oob_is_not_allowed_for_commands_of_a_block_layer():
    assert not contract.allows_oob("block-commit")
    assert not contract.has_command("query-status", "storage-daemon")
    assert not contract.has_command("nope", "system")

"""Every form of a conversation is read as what was said in it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmpd.replay import compare, printing
from qmpd.replay.messages import GONE, REQUEST
from qmpd.replay.reading import read
from tests.replay import talks

REPORT = Path(__file__).parent / "data" / "auto-read-only-series.txt"


def spoken(conversation):
    return [(message.kind, message.body or None) for message in conversation.messages]


@pytest.mark.parametrize("form", talks.FORMS.values(), ids=talks.FORMS)
@pytest.mark.parametrize("quoted", [False, True], ids=["file", "mail"])
def test_all_forms_say_the_same(form, quoted):
    talk = [*talks.WHOLE, talks.CLOSED]
    text = form(talk)
    assert spoken(read(talks.mail(text) if quoted else text)) == talk


@pytest.mark.parametrize("form", talks.FORMS.values(), ids=talks.FORMS)
def test_a_command_line_around_it_is_found(form):
    text = f"{form(talks.WHOLE)}\nThe command line:\n\n{talks.command_line()}"
    found = read(text)
    assert found.program == "system"
    assert found.words[:3] == ["-name", "guest=g", "-S"]
    assert found.words.count("-blockdev") == 2 * len(talks.LAYERS)
    assert found.words[-2:] == ["-device", "virtio-blk-pci,drive=top,id=disk0"]
    assert spoken(found) == talks.WHOLE


def test_monitors_and_what_is_of_the_host_are_left_out():
    line = (
        "qemu-storage-daemon --chardev socket,path=/m,id=c --monitor chardev=c "
        "--blockdev=driver=null-co,node-name=n --export nbd,id=e,node-name=n"
    )
    found = read(line)
    assert (found.words, found.program) == (
        ["-blockdev", "driver=null-co,node-name=n"],
        "storage-daemon",
    )


def test_text_without_anything():
    found = read("Dear all,\n\nit's broken: {it} doesn't work. See -blockdev in 'the manual.\n")
    assert (found.messages, found.words, found.program) == ([], None, "")


def test_the_report():
    """One request has no line of its own where it was queued: that part was trimmed."""
    found = read(REPORT.read_text())
    assert [m.command for m in found.messages if m.kind == REQUEST] == ["cont", "block-commit"]
    assert [m.kind for m in found.messages] == [*"CERCEEREE", GONE]
    assert found.words.count("-blockdev") == 32
    assert found.program == "system"


def test_equal_requests_count_as_often_as_they_were_made():
    """Without ids nothing else tells one from the other."""
    talk = [("C", {"execute": "query-jobs"}), ("C", {"execute": "query-jobs"})]
    assert spoken(read(talks.libvirt_log(talk))) == talk


def test_of_several_monitors_the_one_that_says_most():
    text = talks.libvirt_log(talks.START, monitor="0x1") + talks.libvirt_log(talks.WHOLE)
    assert spoken(read(text)) == talks.WHOLE


def test_what_is_no_message_is_skipped():
    lines = ['{"color": "red"}', "[1, 2]", '{"execute": "stop"', '{"execute": "stop"}', "{}"]
    assert spoken(read("\n".join(lines))) == [("C", {"execute": "stop"})]


def test_arrows_tell_whose_an_odd_message_is():
    assert spoken(read('-> {"exec": 1}\n<- {"exec": 1}\n')) == [("C", {"exec": 1})]


def test_bytes_that_were_no_json_are_kept():
    line = json.dumps({"time": 0, "dir": "C", "raw": "{]"})
    (message,) = read(line).messages
    assert (message.kind, message.raw, message.command) == (REQUEST, "{]", "")


# --- anything --------------------------------------------------------------------------

VALUES = st.sampled_from([None, 1, "x", [], {}, {"qemu": 1}, {"id": []}, [{"id": 1}], "JOB"])
BODIES = st.dictionaries(
    st.sampled_from(
        ["QMP", "event", "return", "error", "execute", "arguments", "data", "id", "dir", "msg"]
    ),
    VALUES,
    max_size=4,
)
PREFIXES = st.sampled_from(
    [
        "",
        "-> ",
        "<- ",
        "> ",
        "QEMU_MONITOR_SEND_MSG: mon=1 msg=",
        "QEMU_MONITOR_RECV_EVENT: mon=1 event=",
        "QEMU_MONITOR_IO_PROCESS: mon=1 buf=",
        "qemu -blockdev ",
    ]
)
TEXTS = st.one_of(BODIES.map(json.dumps), st.text(max_size=8), st.just("{'"), st.just("\\"))


@given(st.lists(st.tuples(PREFIXES, TEXTS)))
def test_nothing_that_can_be_read_is_too_odd_to_be_compared_and_shown(lines):
    messages = read("\n".join(prefix + text for prefix, text in lines)).messages
    found = compare.without_drains(messages)
    assert printing.side_by_side(found, found, 100)[1]

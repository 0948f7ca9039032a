"""Names in headers: protocols, formats that are none, and ``json:`` with all kinds of values."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmpd.testing.oracle import MIB, Step, call, compare, image, on_host
from tests.oracle.building import header_with
from tests.oracle.machine.names import header_names

pytestmark = pytest.mark.oracle

FORMATS = ("raw", "qcow2", None)
PLAIN = [
    ("null-co://", "qcow2"),
    ("null-co://", "raw"),
    ("null-co://", None),
    ("null-co://", "null-co"),
    ("null-aio://", "qcow2"),
    ("http://localhost:1/x", "raw"),
    ("https://localhost:1/x", "qcow2"),
    ("ssh://localhost:1/x", "raw"),
    ("iscsi://localhost:1/x/0", "raw"),
    ("rbd:x/y", "raw"),
    ("gluster://x/y", "raw"),
    ("ftp://x/y", "raw"),
    ("nfs://x/y", "raw"),
    ("vvfat:dir", "raw"),
    ("quorum:x", "raw"),
    ("sheepdog:x", "raw"),
    ("bogus:x", "raw"),
    ("bogus:x", "qcow2"),
    ("img", "file"),
    ("img", "null-co"),
    ("img", "bogus"),
    ("img", "raw"),
    ("img", "ssh"),
    ("img", "https"),
    ("img", "blkreplay"),
    ("img", "null-aio"),
    ("dir", "raw"),
    ("dir", "qcow2"),
    ("file:", "raw"),
    (":img", "raw"),
    ("/a:b", "raw"),
    ("file:file:img", "qcow2"),
    ("file:dir", "raw"),
    ("raw:img", "raw"),
    ("file://img", "raw"),
    ("file:img", "file"),
    ("null-co://", "file"),
    ("null-co://x", "raw"),
    ("null-co:", "raw"),
    ("null-co:x", "null-co"),
    ("null-aio://", "null-co"),
    ("", "raw"),
    ("img:x", "raw"),
    ("./img:x", "raw"),
    ("file:a:b", "raw"),
]
JSON = [
    '{"driver":"file","filename":"img","backing":"x"}',
    '{"driver":"file","filename":"img","backing":null}',
    '{"driver":"file","filename":"img","file":"x"}',
    '{"driver":"raw","file":{"foo":1}}',
    '{"file":{"foo":1}}',
    '{"file":"fnode"}',
    '{"file":{"driver":"null-co"}}',
    '{"file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"file":{"driver":"raw","file":{"filename":"img"}}}',
    '{"file":{"driver":"file","filename":"img"},"filename":"x"}',
    '{"file":{"driver":"file","filename":"nope"}, "read-only":"foo"}',
    '{"file":{"driver":"file","filename":"img","aio":"x","drop-cache":"y","locking":"z"}, "read-only":"foo"}',
    '{"file":{"driver":"file","filename":"img","aio":"x","drop-cache":"y","locking":"z"}}',
    '{"file":{"driver":"file","filename":"img","aio":"x","locking":"z"}}',
    '{"file":{"driver":"file","filename":"nope","aio":"x","aio-max-batch":"z"}}',
    '{"file":{"driver":"file","filename":"nope","aio":"x"}}',
    '{"file":{"driver":"file","filename":"img"},"discard":"foo","detect-zeroes":"bar","node-name":"1","size":"x"}',
    '{"file":{"driver":"file","filename":"img"},"detect-zeroes":"unmap","node-name":"1","size":"x"}',
    '{"file":{"driver":"file","filename":"img"},"size":"x","offset":"y"}',
    '{"file":{"driver":"file","filename":"img"},"cache-size":"x","lazy-refcounts":"y"}',
    '{"file":{"driver":"null-co","size":"1G"},"cache-size":"x","lazy-refcounts":"y"}',
    '{"file":{"driver":"file","filename":"img"},"overlap-check":"none","overlap-check.template":"all"}',
    '{"file":{"driver":"file","filename":"img"},"read-only":"off"}',
    '{"file":{"driver":"file","filename":"img"},"read-only":"off","auto-read-only":"on"}',
    '{"file":{"driver":"file","filename":"img"},"cache.direct":"on","cache.no-flush":"on"}',
    '{"file":{"driver":"file","filename":"img"},"cache.writeback":"on"}',
    '{"file":"fnode","file.filename":"img"}',
    '{"file.filename":"img","file":"fnode"}',
    '{"a.b":1,"a":2,"file.filename":"img"}',
    '{"a":2,"a.b":1,"file.filename":"img"}',
    '{"a":{},"a.b":1,"file.filename":"img"}',
    '{"a.b":1,"a":{},"file.filename":"img"}',
    '{"a":{"b":1},"a.b":2,"file.filename":"img"}',
    '{"a.b":2,"a":{"b":1},"file.filename":"img"}',
    '{"a":{"b":{"c":1}},"a.b":2,"file.filename":"img"}',
    '{"file":{"filename":"img"},"file.":"x"}',
    '{"":1,"file":{"filename":"img"}}',
    '{".":1,"file":{"filename":"img"}}',
    '{"file.filename":"img","file":{"driver":"file"}}',
    '{"file.filename":"img","file":{"filename":"base"}}',
    '{"file":{"filename":"base"},"file.filename":"img"}',
    '{"file":{"filename":"img","cache.direct":"off"}}',
    '{"file":{"filename":"img","cache":{"direct":"foo"}}}',
    '{"size":"0x10000","file.filename":"img"}',
    '{"size":"1.5k","file.filename":"img"}',
    '{"size":"1.3k","file.filename":"img"}',
    '{"size":" 512","file.filename":"img"}',
    '{"size":"512 ","file.filename":"img"}',
    '{"size":"+512","file.filename":"img"}',
    '{"size":512.5,"file.filename":"img"}',
    '{"size":1e3,"file.filename":"img"}',
    '{"size":-512,"file.filename":"img"}',
    '{"size":18446744073709551616,"file.filename":"img"}',
    '{"size":18446744073709551615,"file.filename":"img"}',
    '{"offset":"1k","size":"0","file.filename":"img"}',
    '{"read-only":"y","file.filename":"img"}',
    '{"read-only":"On","file.filename":"img"}',
    '{"read-only":"","file.filename":"img"}',
    '{"discard":true,"file.filename":"img"}',
    '{"detect-zeroes":true,"file.filename":"img"}',
    '{"detect-zeroes":"unmap","discard":"on","file.filename":"img"}',
    '{"discard":null,"detect-zeroes":null,"read-only":null,"node-name":null,"file.filename":"img"}',
    '{"node-name":"","file.filename":"img"}',
    '{"node-name":"q","file.filename":"img"}',
    '{"file":{"driver":"null-co","size":null}}',
    '{"file":{"driver":"null-co","size":"12345"}}',
    '{"file":{"driver":"null-co","foo":"12345"}}',
    '{"file":{"driver":"null-co"},"foo":"12345"}',
    '{"file":{"driver":"file","filename":"img","locking":"on"}}',
    '{"file":{"driver":"file","filename":"img","aio":"threads"}}',
    '{"driver":"qcow2","file":{"driver":"file","filename":"img"},"lazy-refcounts":"on"}',
    '{"driver":"raw","size":"65536","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":"64k","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":"64x","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":"","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":65536,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":65536.0,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":true,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":null,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","size":"-1","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","offset":"1k","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":"on","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":"yes","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":"true","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":true,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":false,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":"off","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":"foo","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","read-only":1,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","cache":{"direct":"off"},"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","cache.direct":"off","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","cache.no-flush":"on","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","cache.no-flush":true,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","detect-zeroes":"foo","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","detect-zeroes":1,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","detect-zeroes":"on","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","discard":"on","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","discard":"foo","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","force-share":"on","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","auto-read-only":"on","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","node-name":"nn","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","node-name":"1bad","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","node-name":5,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","file":"fnode"}',
    '{"driver":"raw","file":"nope"}',
    '{"driver":"raw","file":5}',
    '{"driver":"raw","file":null}',
    '{"driver":"raw","file":[]}',
    '{"driver":"raw","file":{}}',
    '{"driver":"raw","file":{"filename":"img"}}',
    '{"driver":"raw","file":{"filename":"null-co://"}}',
    '{"driver":"raw","file":{"filename":"bogus:x"}}',
    '{"driver":"raw","file":{"filename":"file:img"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"file:img"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","locking":"off"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","locking":"foo"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","locking":true}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","aio":"foo"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","aio":"native"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","x-check-cache-dropped":"on"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","drop-cache":"off"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","drop-cache":"foo"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","pr-manager":"x"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","foo":"x"}}',
    '{"driver":"raw","file":{"driver":"file","filename":5}}',
    '{"driver":"raw","file":{"driver":"file","filename":"img","aio-max-batch":"5"}}',
    '{"driver":"raw","file":{"driver":"null-co"}}',
    '{"driver":"raw","file":{"driver":"null-co","size":"1M"}}',
    '{"driver":"raw","file":{"driver":"null-co","size":"1M","read-zeroes":"on"}}',
    '{"driver":"raw","file":{"driver":"null-co","size":1048576,"latency-ns":"5"}}',
    '{"driver":"raw","file":{"driver":"null-co","latency-ns":"-5"}}',
    '{"driver":"raw","file":{"driver":"null-co","filename":"x"}}',
    '{"driver":"raw","foo":1,"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","foo":{"bar":1},"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","foo":{},"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","foo":[1,2],"file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","backing":"x","file":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","backing":null,"file":{"driver":"file","filename":"img"}}',
    '{"file":{"driver":"file","filename":"img"}}',
    '{"driver":"file","filename":"img"}',
    '{"driver":"file"}',
    '{"driver":"qcow2","file":{"driver":"qcow2","file":{"driver":"file","filename":"img"}}}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","backing":null}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","backing":""}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","backing":{"driver":"null-co"}}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","backing.driver":"null-co","backing.size":"64k"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","l2-cache-size":"1M"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","cache-clean-interval":"5"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","overlap-check":"all"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","overlap-check":"foo"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","overlap-check.template":"foo"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","overlap-check.main-header":"on"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","pass-discard-request":"foo"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","data-file":"x"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","encrypt.format":"luks"}',
    '{"driver":"qcow2","file.driver":"file","file.filename":"img","encrypt":{"format":"foo"}}',
    '{"driver":5}',
    '{"driver":""}',
    '{"driver":"bogus"}',
    '{"driver":null}',
    '{"driver":true}',
    '{"driver":"raw","file":{"driver":"file","filename":"img"},"size":"65536","offset":512}',
]
OTHERS = [
    ("{}", "file"),
    ('{"filename":"img"}', None),
    ('{"filename":"img"}', "file"),
    ('{"filename":"img"}', "qcow2"),
    ('{"filename":"img"}', "raw"),
    ('{"file.filename":"img"}', "file"),
    ('{"size":"1M"}', "null-co"),
]

FILTERS = [
    '{"driver":"compress","file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"compress","read-only":"off","file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"compress","foo":"off","file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"compress","file":{"driver":"raw","file":{"filename":"img"}}}',
    '{"driver":"compress"}',
    '{"driver":"compress","file":"nope"}',
    '{"driver":"compress","file":"fnode"}',
    '{"driver":"copy-on-read","file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"copy-on-read","read-only":"off","file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"copy-on-read","bottom":"x","read-only":"off","file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"copy-on-read","bottom":5,"file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"copy-on-read","bottom":null,"read-only":"no","file":{"driver":"qcow2","file":{"filename":"img"}}}',
    '{"driver":"copy-on-read"}',
    '{"driver":"copy-on-read","backing":"x","read-only":"off","file":{"driver":"raw","file":{"filename":"img"}}}',
    '{"driver":"throttle","throttle-group":"x","file":{"filename":"img"}}',
    '{"driver":"throttle","throttle-group":"x","read-only":"on","file":{"filename":"img"}}',
    '{"driver":"throttle","file":{"filename":"img"}}',
    '{"driver":"host_device","filename":"img"}',
    '{"driver":"host_device","filename":"img","aio":"x"}',
    '{"driver":"host_device","filename":""}',
    '{"driver":"host_device"}',
    '{"driver":"raw","file":{"driver":"host_device","filename":"/dev/nope"}}',
    '{"driver":"raw","file":{"driver":"host_device","filename":"/dev/nope","foo":1,"drop-cache":"z"}}',
    '{"driver":"blkdebug","image":{"driver":"file","filename":"img"}}',
    '{"driver":"raw","file":{"driver":"blkdebug","image":{"driver":"file","filename":"img"}}}',
    '{"driver":"raw","file":{"driver":"blkdebug","align":"512","image":{"driver":"file","filename":"img"}}}',
    '{"driver":"raw","file":{"driver":"blkdebug","align":512,"image":{"driver":"file","filename":"img"}}}',
    '{"driver":"raw","file":{"driver":"blkdebug"}}',
    '{"driver":"raw","file":{"driver":"blkdebug","image":"fnode","foo":1}}',
]


def images(directory):
    image(directory, "img", size=MIB)
    image(directory, "base", size=MIB)
    (directory / "dir").mkdir()


def ask(name, **arguments):
    request = call(name, **arguments)

    def run(server):
        server.send(request)
        return server.lines_until_reply()

    return Step(str(request), run)


def attempt(text, fmt):
    """Open an image with this in its header, look at what is there, and close it."""

    def write(directory):
        image(directory, "top", size=MIB)
        header_with(directory / "top", text, fmt)

    file = {"driver": "file", "filename": "top"}
    return [
        on_host(f"header {text!r}, format {fmt}", write),
        ask("blockdev-add", driver="qcow2", node_name="q", file=file),
        call("query-named-block-nodes"),
        ask("blockdev-del", node_name="q"),
    ]


def compare_all(names):
    known = {"driver": "file", "node-name": "fnode", "filename": "img", "read-only": True}
    steps = [step for text, fmt in names for step in attempt(text, fmt)]
    last = on_host("remove it", lambda directory: (directory / "top").unlink())
    compare([call("blockdev-add", **known), *steps, last], images)


def test_plain_names():
    """A protocol in the name, a protocol as the format, both, files that are none."""
    compare_all(PLAIN)


@pytest.mark.parametrize("fmt", FORMATS)
def test_json_names(fmt):
    """Options are converted as those of a command line are, and shown as they were written."""
    compare_all([(f"json:{text}", fmt) for text in JSON])


@pytest.mark.parametrize("fmt", ["qcow2", None])
def test_filters_in_json_names(fmt):
    """Filters and devices take their options from texts, too."""
    compare_all([(f"json:{text}", fmt) for text in FILTERS])


def test_json_names_with_other_formats():
    """What is complained of first, and values that only one driver knows."""
    compare_all([(f"json:{text}", fmt) for text, fmt in OTHERS])


# One example is many names, since servers are started for each.
@given(st.lists(header_names(), min_size=20, max_size=40))
@settings(
    max_examples=max(settings.default.max_examples // 20, 1),
    suppress_health_check=list(HealthCheck),
)
def test_random_json_names(names):
    """Any options, of any type, nested or dotted, right or wrong."""
    compare_all(names)

"""The picture in docs/qmp-shell.md is what is to be seen."""

import re
from pathlib import Path

from tests.show.daemon import Puller, show, until

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "qmp-shell.md").read_text()


def without_number(text):
    return re.sub(r"#block\d{3}", "#block000", text)


def test_the_picture_on_the_page_is_drawn(lab_of_page):
    (request,) = re.findall(r"^\(QEMU\) (block-commit .* job-id=j .*)$", PAGE, re.MULTILINE)
    (picture,) = re.findall(r"^```text\n(QEMU .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    words = dict(word.split("=") for word in request.split()[1:])
    words["auto-finalize"] = words["auto-finalize"] == "true"
    with Puller(lab_of_page / "client.sock") as client:
        client.execute("block-commit", **words)
        until(lambda: client.execute("query-jobs")[0]["status"] == "pending")
        seen = show(lab_of_page / "lab.sock", "--once", COLUMNS="100").stdout
        drawn = show(lab_of_page / "lab.sock", "--svg").stdout
    assert without_number(seen) == without_number(picture)
    (drawing,) = re.findall(r"^!\[.*\]\((.*\.svg)\)$", PAGE, re.MULTILINE)
    assert without_number(drawn) == without_number((DOCS / drawing).read_text())

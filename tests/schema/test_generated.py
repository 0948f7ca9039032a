"""Generated files and models cannot drift apart."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from qmpd.errors import QmpError
from qmpd.schema import __main__ as generator
from qmpd.schema.compile import Tables
from qmpd.schema.models import COMMANDS
from qmpd.schema.models.blockdev import BlockdevDriver, BlockdevOptions
from qmpd.schema.models.kinds import Empty
from qmpd.schema.models.objects import ObjectOptions, ObjectType
from qmpd.schema.visitor import visit, visit_arguments

ROOT = Path(generator.__file__).parents[2]
PACKAGE = Path(generator.__file__).parent

GOOD = {
    "driver": "qcow2",
    "node-name": "top",
    "file": {"driver": "file", "filename": "/tmp/a", "aio": "io_uring"},
    "backing": None,
    "overlap-check": {"template": "all", "active-l1": False},
    "encrypt": {"format": "luks", "key-secret": "s"},
}


def changed(**changes):
    return {k: v for k, v in {**GOOD, **changes}.items() if v is not ...}


BAD = [
    changed(driver="nope"),
    changed(driver=...),
    changed(file=...),
    changed(file=5),
    changed(file={"driver": "file"}),
    changed(encrypt={"format": "luks", "bogus": 1}),
    changed(bogus=1),
    changed(**{"cache-size": 1 << 63}),
    changed(**{"read-only": None}),
    changed(**{"read-only": 1}),
    changed(**{"overlap-check": "some"}),
]


def test_generating_again_gives_the_committed_files():
    for name, text in generator.generate().items():
        path = (ROOT if "/" in name else PACKAGE) / name
        assert path.read_text() == text, f"{path} is stale: run `make schemas`"


def test_no_stale_document_is_left():
    made = {name for name in generator.generate() if name.startswith("schemas/")}
    assert {f"schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")} == made


def test_generation_writes_all_files_and_removes_stale_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "PACKAGE", tmp_path / "package")
    (tmp_path / "package").mkdir()
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "gone.return.json").write_text("{}")
    generator.main(str(tmp_path / "schemas"))
    assert not (tmp_path / "schemas" / "gone.return.json").exists()
    assert json.loads((tmp_path / "schemas" / "quit.return.json").read_text())
    assert (tmp_path / "package" / "compiled.py").read_text().startswith('"""Generated')


def test_enums_of_variants_agree_with_the_variants():
    assert set(BlockdevDriver) == set(BlockdevOptions.variants)
    bare = {ObjectType.PEF_GUEST, ObjectType.S390_PV_GUEST}
    assert set(ObjectType) - bare == set(ObjectOptions.variants)


def test_model_and_visitor_accept_the_same_definition():
    assert visit("BlockdevOptions", GOOD) == GOOD
    BlockdevOptions.model_validate(GOOD)


@pytest.mark.parametrize("value", BAD)
def test_model_and_visitor_refuse_the_same_definitions(value):
    with pytest.raises(QmpError):
        visit_arguments("blockdev-add", value)
    with pytest.raises(ValidationError):
        BlockdevOptions.model_validate(value)


def test_every_member_of_every_model_says_what_it_is_for():
    models = [c.arguments or Empty for c in COMMANDS.values()]
    for model in models:
        assert model.__doc__
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_tables_hold_each_type_once():
    tables = Tables()
    shape = generator.Resolver().object(BlockdevOptions)
    assert tables.add_object(shape) == tables.add_object(shape) == "BlockdevOptions"
    assert set(tables.alternates) == {"BlockdevRef", "BlockdevRefOrNull", "Qcow2OverlapChecks"}

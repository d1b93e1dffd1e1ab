"""The generator: no drift, and clear refusals of what it does not understand."""

import json
import shutil
from pathlib import Path

import pytest

from contracts.codegen.sources import SourceError, load
from contracts.generate import drift, main, render

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of its own: the real schemas and what is generated from them."""
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas", ignore=shutil.ignore_patterns("examples"))
    assert main(["--root", str(tmp_path)]) == 0
    return tmp_path


def _edit(path: Path, change) -> None:
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")


def test_committed_files_are_what_the_schemas_say():
    assert drift(ROOT) == ""


def test_rendering_twice_gives_the_same_text():
    assert render(ROOT) == render(ROOT)


def test_check_fails_with_a_diff_when_a_schema_changed(checkout: Path, capsys):
    _edit(checkout / "schemas/Trade.avsc", lambda schema: schema["fields"][0].update(doc="Another meaning"))
    assert main(["--root", str(checkout), "--check"]) == 1
    said = capsys.readouterr().err
    assert "+        venue: Another meaning." in said
    assert "run: python -m contracts.generate" in said


def test_check_fails_when_the_page_was_edited_by_hand(checkout: Path, capsys):
    page = checkout / "docs/reference/topics.md"
    page.write_text(page.read_text() + "by hand\n")
    assert main(["--root", str(checkout), "--check"]) == 1
    assert "-by hand" in capsys.readouterr().err


def _no_doc(schema):
    del schema["fields"][0]["doc"]


def _float(schema):
    schema["fields"][0]["type"] = "float"


def _wide_union(schema):
    schema["fields"][0]["type"] = ["null", "long", "string"]


def _no_default(schema):
    schema["fields"].append({"name": "x", "type": ["null", "long"], "doc": "x"})


def _renamed(schema):
    schema["name"] = "Fill"


def _other_enum(schema):
    next(f for f in schema["fields"] if f["name"] == "kind")["type"]["symbols"].append("warrant")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_no_doc, "Trade.venue: no doc"),
        (_float, 'Trade.venue: type "float" is outside the subset'),
        (_wide_union, "Trade.venue: type"),
        (_no_default, 'Trade.x: a nullable field needs "default": null'),
        (_renamed, "must be a record named Trade"),
        (_other_enum, "InstrumentKind is defined differently"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_schema_outside_the_subset_is_refused_by_field(checkout: Path, capsys, change, says: str):
    _edit(checkout / "schemas/Trade.avsc", change)
    assert main(["--root", str(checkout)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("partitions: 4", "partitions: 0", "partitions 0 must be an integer of at least 1"),
        ("cleanup: delete", "cleanup: compact", "retention_bytes_per_partition"),
        ("record: Trade", "record: Fill", "record 'Fill' must be the name of an .avsc"),
        ("[normalizer]", "[tape]", "must be of collector"),
        ("key: instrument", "keys: instrument", "key is missing or not a known key"),
        ("name: market.trades", "name: market_trades", "name 'market_trades' must be the file's name"),
    ],
)
def test_a_topic_file_that_breaks_a_rule_is_refused_by_key(checkout: Path, old: str, new: str, says: str):
    path = checkout / "schemas/topics/market.trades.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SourceError, match=r"topics/market\.trades\.yaml") as refused:
        load(checkout / "schemas")
    assert says in str(refused.value)


def test_a_schema_no_topic_carries_is_refused(checkout: Path):
    (checkout / "schemas/topics/market.trades.yaml").unlink()
    with pytest.raises(SourceError, match=r"Trade\.avsc: no topic carries it"):
        load(checkout / "schemas")


def test_a_folder_without_schemas_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="--root"):
        load(tmp_path)

"""docs/silicon.md: what it marks runs in an empty folder, and its tables name what there is."""

import re
from pathlib import Path

import msgspec
import pytest

from craton.silicon.catalogue import load_catalogue
from craton.silicon.estimate import Provenance
from craton.silicon.predict import predict_line
from craton.silicon.rows import PoolRow, Row
from tests.docs.readme_blocks import marked_blocks, script_of
from tests.docs.shell import run

PAGE = Path(__file__).parents[2] / "docs" / "silicon.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_what_the_page_marks_runs_where_there_is_nothing(tmp_path: Path) -> None:
    blocks = marked_blocks(TEXT)
    assert len(blocks) == 6
    done = run(script_of(blocks, page="docs/silicon.md"), cwd=tmp_path)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    assert "ours" in done.stdout
    assert "quote-" in done.stdout
    assert '"error"' not in done.stdout
    for report in ("report.html", "training.html"):
        page = (tmp_path / report).read_text(encoding="utf-8")
        assert 'id="roofline"' in page
        assert 'id="timeline"' in page


def test_the_table_of_rows_has_every_field_and_no_other() -> None:
    table = TEXT.split("| field | of |")[1].split("\n\n")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines()[2:]]
    named = [name for first, _, _ in rows for name in re.findall(r"`(\w+)`", first)]
    assert sorted(named) == sorted(Row.__struct_fields__)
    pools = next(told for first, _, told in rows if "prefill" in first)
    assert set(re.findall(r"`(\w+)`", pools.split(":")[1])) == set(PoolRow.__struct_fields__)


@pytest.mark.parametrize("number", [0, 1], ids=["serve", "train"])
def test_the_figures_of_a_prediction_are_all_named(number: int) -> None:
    rows = re.findall(r"^\{\"id\".*\}$", TEXT, re.MULTILINE)
    made = predict_line(rows[number], load_catalogue())
    figures = {name for name in made if not name.endswith(("_low", "_high"))}
    told = TEXT.split("A serving row gives")[1].split("## ")[0].split("A training row")[number]
    assert figures - {"id", "provenance"} == set(re.findall(r"`([a-z]\w*)`", told)) - {"provenance"}


def test_every_provenance_is_explained() -> None:
    assert re.findall(r"^\| `([\w-]+)` \| (?:this|coeff|the chip)", TEXT, re.MULTILINE) == list(
        Provenance
    )


def test_the_defaults_of_a_job_are_those_of_the_page() -> None:
    row = msgspec.json.decode(re.findall(r"^\{\"id\": 2.*\}$", TEXT, re.MULTILINE)[0])
    told = {"micro_batch": 1, "vp": 1, "recompute": "none", "sharding": "zero1", "pp": 1, "cp": 1}
    catalogue = load_catalogue()
    plain = predict_line(msgspec.json.encode(row), catalogue)
    said = {"precision": "bf16", "sequence_parallel": True, **told, **row}
    assert predict_line(msgspec.json.encode(said), catalogue) == plain

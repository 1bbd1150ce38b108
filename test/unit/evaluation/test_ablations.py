"""The page of ablations: every mechanism has its row there, run or not, and readers find it."""

import json
from pathlib import Path

from training import ablate_table
from training.ablate_mechanisms import MECHANISMS

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "ablations.md"


def test_every_mechanism_has_its_row():
    text = PAGE.read_text()
    lines = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines()
             if line.startswith("| ")]
    titles = [m.title for m in MECHANISMS.values()]
    assert [t for t in titles if t not in lines] == []
    assert set(lines) - set(titles) == {"mechanism", "---"}


def test_page_is_written_from_the_numbers_beside_it():
    told = json.loads(PAGE.with_suffix(".json").read_text())
    head, _, table = PAGE.read_text().partition("\n| mechanism |")
    assert head.startswith(ablate_table.HEAD)
    assert f"| mechanism |{table}" == ablate_table.markdown(told["rows"], "").lstrip("\n")


def test_readme_and_gallery_lead_to_it():
    assert "](docs/ablations.md)" in (ROOT / "README.md").read_text()
    assert "](ablations.md)" in (ROOT / "training" / "gallery" / "wall.py").read_text()

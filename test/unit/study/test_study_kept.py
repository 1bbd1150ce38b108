"""What is kept of a table, reasons for missed limits, and what README says of both."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.lvlm.manifest import read_manifest
from eo_sim.study import definitions as defining
from eo_sim.study.__main__ import arguments
from eo_sim.study.definitions import definitions, digests
from eo_sim.study.errors import StudyError
from eo_sim.study.goals import MISSED, NOT_MEASURED, REACHED
from eo_sim.study.keep import FILE, REASONS, reasons, sources
from eo_sim.study.measured import explained
from eo_sim.study.page_kept import NO_TRACE, _limits, section
from eo_sim.study.page_measured import goals as goals_page
from eo_sim.study.trace import load_trace

ROOT = Path(__file__).parents[3]
TRACE = made_trace(chips=4)
TRACE_FILE = "sim/assets/study/trace.npz"
ROW = {"figure": "AUROC, end", "value": 0.7, "unit": "", "ci95": [0.6, 0.8],
       "limit": "at least 0.75", "outcome": MISSED, "note": ""}  # fmt: skip


def test_without_a_kept_table_the_section_says_so_and_gives_no_figure():
    assert section(None, {}) == NO_TRACE
    assert "make study" in NO_TRACE


def test_a_missed_limit_stands_with_its_reason_and_no_other_does():
    why = {"AUROC, end": "few scenes", "ECE, end": "nobody asks"}
    rows = explained([ROW, ROW | {"figure": "ECE, end", "outcome": REACHED}], why)
    assert [row.get("reason") for row in rows] == ["few scenes", None]
    page = "\n".join(goals_page({"limits": rows}))
    assert "| missed | few scenes |" in page and "nobody asks" not in page
    lines = _limits([*rows, ROW | {"outcome": NOT_MEASURED, "value": None}], why)
    assert lines[-3:] == [
        "| AUROC, end | 0.700 [0.600, 0.800] | at least 0.75 | **missed**; few scenes |",
        "| ECE, end | 0.700 [0.600, 0.800] | at least 0.75 | reached |",
        "| AUROC, end | - | at least 0.75 | not measured |",
    ]
    assert "1 missed, 1 reached, 1 not measured" in lines[0]


def test_reasons_are_texts_by_figure(tmp_path):
    path = tmp_path / "reasons.json"
    assert reasons(path) == {}
    path.write_text('{"AUROC, end": "few scenes"}')
    assert reasons(path) == {"AUROC, end": "few scenes"}
    for wrong in ('["AUROC"]', '{"AUROC": 1}', "{"):
        path.write_text(wrong)
        with pytest.raises(StudyError, match=r"reasons\.json"):
            reasons(path)


def test_sources_are_digests_of_what_a_table_is_made_from(tmp_path):
    for name in ("c", "t"):
        (tmp_path / name).write_text(name)
    found = sources(tmp_path / "c", tmp_path / "t", TRACE)
    assert found == {
        "config": hashlib.sha256(b"c").hexdigest(), "trace": hashlib.sha256(b"t").hexdigest(),
        **TRACE.digests, **digests(TRACE)}  # fmt: skip


def test_another_search_space_level_or_limit_is_another_definition(monkeypatch):
    found = definitions(TRACE)
    assert {"ours", "oracle", "ours_no_tap1", "tabi_style"} <= set(found["spaces"])
    assert found["deadlines_min"] == [10, 30, 90]
    before = digests(TRACE)
    assert digests(TRACE) == before
    for name, other in (("GAIN_SHARE", 0.8), ("LEVELS", ()), ("ablations", list)):
        with monkeypatch.context() as patch:
            patch.setattr(defining, name, other)
            after = digests(TRACE)
        assert after["definitions"] != before["definitions"], name
        assert after["rules"] == before["rules"]


@pytest.mark.parametrize("part", [
    ["--policy", "p.py"], ["--config", "c"], ["--trace", "t"], ["--no-speed"],
    ["--no-ablations"], ["--recompute", "0"],
])  # fmt: skip
def test_only_the_whole_study_of_the_tree_is_kept(part, capsys):
    assert arguments(["--keep"]).keep
    with pytest.raises(SystemExit):
        arguments(["--keep", *part])
    assert "as it stands in the tree" in capsys.readouterr().err


# -- what is committed ---------------------------------------------------------------------------


@pytest.fixture
def committed():
    return json.loads((ROOT / FILE).read_text(encoding="utf-8"))


def test_the_committed_table_is_of_the_configuration_trace_and_models_in_the_tree(committed):
    def digest(path):
        return hashlib.sha256((ROOT / path).read_bytes()).hexdigest()

    assert committed["sources"] == {
        "config": digest("config/study.yaml"), "trace": digest(TRACE_FILE),
        **{name: read_manifest(ROOT / "models" / name).digest for name in ("compact", "regular")},
        "definitions": digests(load_trace(ROOT / TRACE_FILE))["definitions"],
        "rules": committed["sources"]["rules"],  # words of these files may change
    }, "run: make study ARGS=--keep"  # fmt: skip


def test_every_limit_that_is_missed_has_a_reason_and_every_reason_a_limit(committed):
    missed = {row["figure"] for row in committed["limits"] if row["outcome"] == MISSED}
    assert set(reasons(ROOT / REASONS)) == missed, "write them into " + REASONS

"""The block of figures in README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import readme
from bench.__main__ import MODULES
from bench.figures import Figure, Outcome, as_json
from eo_nodes.contracts.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
PRESENT = {"compact": "aa", "regular": "bb"}


def content(*figures: Figure, load: float = 0.2, **weights: str) -> dict[str, Any]:
    machine = {"processor": "P", "cores": 2, "load_before": [load, 0, 0]}
    return {"machine": machine, "weights": weights, **as_json(Outcome(figures))}


def test_limits_are_shown_and_what_explains_them_and_nothing_else() -> None:
    figures = (
        Figure("graph overhead", 24.08, "%", limit=5.0, low=17.0, high=31.4, note="why"),
        Figure("  graph, a request", 17.5, "ms"),
        Figure("  scene -> request", 2.2, "ms"),
    )
    lines = readme.block({"overhead": content(*figures, **PRESENT)}, PRESENT).splitlines()
    assert lines[2:4] == [
        "| graph overhead | 24.1 % (17.0 to 31.4) | at most 5 | **missed**; why |",
        "| graph, a request | 17.5 ms |  |  |",
    ]
    assert not any("scene ->" in line for line in lines)


def test_other_weights_are_said_where_they_matter() -> None:
    speed = Figure("ours against PyTorch eager: whole answer", 1.7, "x", limit=1.5, at_least=True)
    link = Figure("link 50 Mbit/s, 0% loss", 99.9, "%", limit=97.0, at_least=True)
    found = {"link": content(link), "runtime": content(speed, compact="aa")}
    assert "earlier" not in readme.block(found, PRESENT)
    assert "| at least 1.5 | reached |" in readme.block(found, PRESENT)
    stale = readme.block(found, {**PRESENT, "compact": "cc"})
    assert [line for line in stale.splitlines() if "earlier weights" in line] == [
        line for line in stale.splitlines() if "PyTorch eager" in line
    ]


def test_a_busy_machine_and_what_was_never_measured_are_said() -> None:
    found = {"orbit": content(Figure("orbit, passes of 24 h, 12 stations", None, "s"), load=3.0)}
    text = readme.block(found, PRESENT)
    assert "not idle" in text and text.rstrip().endswith(": orbit.")
    assert "`python -m training.evaluation.twin --data DIR --twin int8`" in text
    assert "`planning`" in text and "`orbit`" not in text


@pytest.mark.parametrize(
    ("twin", "difference", "shown"),
    [
        ("float32", -1.5, "| 1.5 points (0.5 to 2) | at most 1 | **missed**;"),
        ("int8", -1.5, "| -1.5 points (-2 to -0.5) | at most 1 | reached;"),
    ],
)
def test_points_that_int8_loses_are_lost_whichever_side_it_is(
    twin: str, difference: float, shown: str, tmp_path: Path
) -> None:
    overall = {"mean_difference": difference, "ci95": [-2.0, -0.5], "cells": 3, "n": 30,
               "equal_percent": 90.0}  # fmt: skip
    content = {"model": "compact", "digests": ["aa", "zz"], "overall": overall}
    (tmp_path / f"compact-{twin}.json").write_text(json.dumps(content))
    text = readme.block(readme.measured(tmp_path, tmp_path), PRESENT)
    assert shown in text and "90.0 % of 30 answers equal" in text and "earlier" not in text


def test_the_block_is_replaced_and_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"a\n{readme.BEGIN}\nold\n{readme.END}\nb\n")
    readme.put(path, "new")
    assert path.read_text() == f"a\n{readme.BEGIN}\nnew\n{readme.END}\nb\n"
    path.write_text("nothing")
    with pytest.raises(ConfigError):
        readme.put(path, "new")


def test_every_benchmark_has_its_place_and_the_readme_its_block() -> None:
    assert set(MODULES) <= set(readme.SHOWN)
    text = (ROOT / "README.md").read_text()
    assert text.count(readme.BEGIN) == text.count(readme.END) == 1

"""What the study states of machines, policy and products is what the mission's parameters say."""

import inspect
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.decision.casework import Machine
from eo_nodes.decision.heads import read_heads
from eo_nodes.decision.product import TWO_CUTOFFS
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.imaging.coder import RegionCoder
from eo_sim.study.config import load_config
from eo_sim.study.facts import machine_of
from eo_sim.study.ours import Variant
from eo_sim.study.tables import Tables

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "config" / "study.yaml")


def parameters(segment, node):
    text = (ROOT / "config" / "params" / f"{segment}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)[f"/**/{node}"]["ros__parameters"]


def test_flight_has_the_machine_of_the_study_but_for_what_is_another_one():
    told, stated = parameters("space", "confidence"), asdict(machine_of(CONFIG))
    own = {"ground_s"}
    same = {name: value for name, value in stated.items() if name not in own}
    assert {name: told[name] for name in same} == pytest.approx(same, rel=1e-3)
    assert asdict(Machine()) == {name: told[name] for name in stated}, "defaults are what flies"
    assert told["ground_s"] > stated["ground_s"], "a queue of one model"
    overhead = Tables(made_trace(chips=4), CONFIG).overhead
    assert told["link_margin"] > 1 - 1 / overhead, "losses that nobody states beforehand"
    compute = CONFIG.compute
    energy = {"space": ("compact_lvlm", told["gmac_j"]), "ground": (
        "ground_lvlm", 2e9 / compute.ground_flops_per_s * compute.ground_active_w)}
    for segment, (node, gmac_j) in energy.items():
        assert parameters(segment, node)["gmac_j"] == pytest.approx(gmac_j), node


def test_flight_decides_by_the_policy_and_the_target_of_the_study():
    told = parameters("space", "confidence")
    assert (told["policy"], told["target"]) == ("contact", Variant().target)


def test_what_the_heads_cost_is_what_the_docs_say():
    folder = ROOT / "models" / "compact"
    said = f"{read_heads(folder).macs / 1e6:.2f} million"
    for name in ("decision", "regions"):
        assert said in (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"), name


def test_products_are_made_in_flight_as_in_the_trace():
    """``outcomes.levels_of`` leaves everything at its default: those of the mission."""
    pytest.importorskip("spaceverse.msg")
    from eo_nodes.nodes.preprocess_node import cutoffs_of, sending_of

    told = parameters("space", "preprocess")
    node = SimpleNamespace(param=told.__getitem__)
    assert sending_of(node) == SendingConfig()
    assert cutoffs_of(node) == TWO_CUTOFFS
    coder = inspect.signature(RegionCoder).parameters
    assert {"overview_px": told["sent_overview_px"], "codec": told["codec"],
            "max_error": told["max_error"]} == {
        name: coder[name].default for name in ("overview_px", "codec", "max_error")}  # fmt: skip
    assert told["zoom"] is False, "the trace shows the compact model overviews alone"
    # Flight and study both take the default; a parameter for it would have to be read by both.
    assert not {"attention", "marks", "sharpness"} & set(told)

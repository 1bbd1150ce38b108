"""Ours: the flown functions on what the replay knows; means, scores and setting from val."""

import json
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.decision.casework import means_as_plain
from eo_nodes.decision.heads import RIGHT_FROM
from eo_nodes.decision.levels import ANY
from eo_nodes.decision.routing import RoutingConfig
from eo_nodes.decision.setting import routing_as_plain
from eo_nodes.downlink.order import place
from eo_nodes.lvlm.chances import brier, ece
from eo_nodes.lvlm.lengths import COMPACT_TOKENS, REGULAR_TOKENS, TAP2_TOKENS
from eo_sim.study.bootstrap import draw_scenes
from eo_sim.study.calibration import scores_table
from eo_sim.study.config import load_config
from eo_sim.study.errors import StudyError
from eo_sim.study.facts import machine_of, means_of, put
from eo_sim.study.limits import graph_limits
from eo_sim.study.ours import Ours, Variant, ablations, ours, tuned_routing
from eo_sim.study.policies import Context
from eo_sim.study.policy import (
    ANSWER,
    BOTH,
    FIRST_RANK,
    OFFLOAD,
    PROCEED,
    REFINE_RANK,
    Setting,
)
from eo_sim.study.tables import Tables
from eo_sim.study.world import Contact, Link

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "config" / "study.yaml")
TRACE = made_trace(chips=40)
TABLES = Tables(TRACE, CONFIG)
SETTING = Setting({"accept": 1.01, "hurdle": 0.0, "early": 0.5, "mb_price": 8.0,
                   "delay_price": 0.01, "early_share": 1.0, "regions": True, "order": "fifo"})
LINK = Link([Contact("sat", "st", 3600.0, 3720.0, np.array([3600.0, 3720.0]), np.full(2, 8e6))],
            20_000.0)  # fmt: skip


class Queue:
    """A link that carries so many bytes before any pixels in time, and so many late ones."""

    link = LINK

    def __init__(self, in_time=0.0, late=0.0):
        self.waits, self.late = in_time, late

    def ahead_bytes(self, rank=FIRST_RANK):
        return self.waits + (self.late if rank >= REFINE_RANK else 0.0)

    def queued_bytes(self):
        return self.waits

    def ahead_of(self, rank):
        late = self.waits + self.late
        return self.waits, self.ahead_bytes(rank), late, self.waits


def ours_of(trace=TRACE, setting=SETTING, variant=None):
    context = Context(trace, None, Tables(trace, CONFIG), {"sat": LINK})
    return Ours(setting, context, variant or Variant())


def view(**facts):
    known = {"row": 0, "stage": 3, "now_s": 0.0, "similar": 0.5, "correct": 0.5, "gain": 0.3,
             "novelty": 0.5, "modality": "optical", "deadline_s": 7200.0, "priority": 0,
             "is_onboard": False, "raw_bytes": 200_000}
    return SimpleNamespace(**{**known, **facts})


def level(choice):
    return TRACE.levels[choice.level].name


def test_an_idle_link_sends_whole_pixels_and_a_full_one_what_is_worth_most_a_byte():
    own = ours_of()
    idle, full = own.decide(view(), Queue()), own.decide(view(), Queue(in_time=100e6))
    assert (idle.action, level(idle)) == (BOTH, "lossless")
    assert (full.action, level(full)) == (BOTH, "regions_1_20")


def test_it_decides_on_bytes_expected_from_val_not_on_those_of_the_request():
    columns = dict(TRACE.columns)
    columns["level_bytes"] = columns["level_bytes"].copy()
    test = TRACE.rows("test")
    columns["level_bytes"][test] *= 50
    other = ours_of(replace(TRACE, columns=columns))
    for queue in (Queue(), Queue(in_time=3e6), Queue(in_time=100e6)):
        asked = view(row=int(test[0]))
        assert ours_of().decide(asked, queue) == other.decide(asked, queue)


@pytest.mark.parametrize("variant", [Variant(), Variant(is_fixed=True)])
def test_what_is_used_on_board_is_decided_as_if_it_were_weighed(variant):
    gate = {"reject": 0.2, "base_mb_price": 1.0}
    own = ours_of(setting=Setting({**SETTING.values, **gate, "accept": 0.95}), variant=variant)
    seen = set()
    for stage in (1, 2, 3):
        for correct in (0.1, 0.949, 0.95, 0.99):
            for novelty in (0.5, 1.5):
                asked = view(stage=stage, correct=correct, novelty=novelty, is_onboard=True)
                found = own.decide(asked, Queue(in_time=3e6))
                assert found == own.choice(asked, *own.weigh(asked, Queue(in_time=3e6)))
                seen.add(found.action)
    assert seen == {PROCEED, ANSWER}


def test_scores_are_those_of_the_heads():
    own = ours_of(setting=Setting({**SETTING.values, "accept": 0.95}))
    assert own.decide(view(correct=0.951), Queue()).action == ANSWER
    assert own.decide(view(correct=0.949), Queue()).action == BOTH
    assert own.decide(view(correct=0.951, novelty=1.01), Queue()).action == BOTH
    assert own.decide(view(gain=-0.01), Queue()).action == ANSWER


def test_ablations_of_the_target_read_the_heads_as_the_router_does():
    # 0.85 right on the ground: less than is known to be right here.
    correct = ours_of(variant=Variant(target="correct"))
    assert correct.decide(view(correct=0.9, gain=0.9), Queue()).action == ANSWER
    assert correct.decide(view(correct=0.5, gain=-0.9), Queue()).action == BOTH
    alike = ours_of(variant=Variant(target="alike"))
    assert alike.decide(view(similar=1.0, gain=0.9), Queue()).action == ANSWER
    assert alike.decide(view(similar=0.2, gain=-0.9), Queue()).action == BOTH


def test_a_trace_that_does_not_name_the_heads_facts_is_refused():
    with pytest.raises(StudyError, match="alike_gain"):
        ours_of(replace(TRACE, meta={}))


def test_what_is_too_late_waits_behind_the_rest():
    in_time = ours_of().decide(view(priority=2), Queue())
    lost = ours_of().decide(view(priority=2, deadline_s=1800.0), Queue(late=1e6))
    assert in_time.rank == place("regions", priority=2) < FIRST_RANK
    assert lost.rank == place("regions", is_late=True, priority=2)
    # No deadline to keep: late ones go by worth per byte.
    assert (lost.action, lost.value, lost.deadline_s) == (BOTH, in_time.value, 0.0)
    assert in_time.deadline_s == 7200.0
    assert 0 < in_time.value <= 0.3, "the gain, as far as its level keeps it"
    # What is late is priced by all that waits: with a long late queue a smaller level goes.
    crowded = ours_of().decide(view(deadline_s=1800.0), Queue(late=100e6))
    assert level(crowded) == "regions_1_20"


def test_blind_to_contacts_it_goes_by_gain_alone():
    (blind,) = [p for p in ablations() if p.name == "ours_no_contacts"]
    setting = Setting({"accept": 0.95, "reject": 0.1, "hurdle": 0.06, "base_mb_price": 0.0,
                       "regions": True, "order": "fifo"})
    own = blind.make(setting, Context(TRACE, None, TABLES, {"sat": LINK}))
    for queue in (Queue(), Queue(in_time=1e12)):
        assert own(view(gain=0.1, deadline_s=1.0), queue).action == BOTH
        assert own(view(gain=0.05), queue).action == ANSWER


def test_an_early_stop_sends_pixels_alone():
    own = ours_of(setting=Setting({**SETTING.values, "early": 0.05, "early_share": 0.5}))
    choices = {own.decide(view(stage=1, correct=c), Queue()).action for c in (0.0, 0.5)}
    assert OFFLOAD in choices and BOTH not in choices


# -- means ---------------------------------------------------------------------------------------


def test_means_by_hand():
    val = TRACE.rows("val")
    found = means_of(TRACE)
    assert set(found.levels) == {ANY, *TRACE.names["modalities"]}
    facts = {f.level.name: f for f in found.levels["sar"]}
    mine = val[TRACE.names_of("modality")[val] == "sar"]
    raw = TRACE["raw_bytes"][mine].sum()
    lossy = TRACE.level("lossy")
    coded = TRACE["level_bytes"][mine, lossy].sum()
    assert facts["lossy"].bytes_share == pytest.approx(coded / raw)
    assert facts["lossless"].keeps == 1.0
    right = (TRACE["regular_quality"][val] >= RIGHT_FROM).astype(int)
    gain = right - (TRACE["compact_quality"][val] >= RIGHT_FROM)[:, None]
    everywhere = {f.level.name: f for f in found.levels[ANY]}
    assert everywhere["lossy"].keeps == pytest.approx(
        gain[:, lossy].mean() / gain[:, TRACE.level("lossless")].mean())
    flops = TRACE["compact_flops"][val]
    assert found.left_gmac[0] == pytest.approx((flops[:, 2] - flops[:, 0]).mean() / 2e9)
    assert found.answer_bytes == pytest.approx(TRACE["answer_bytes"][val].mean())


def test_a_thinned_replay_is_slower_and_costs_the_same_energy():
    one, slow = machine_of(CONFIG), machine_of(CONFIG, 4.0)
    assert slow.gmac_s == pytest.approx(4 * one.gmac_s) and slow.gmac_j == one.gmac_j
    assert slow.coding_scale * slow.coding_w == pytest.approx(one.coding_scale * one.coding_w)
    assert one.gmac_s == pytest.approx(0.004)


def test_a_folder_is_given_the_means_and_the_trace_its_new_digest(tmp_path):
    pytest.importorskip("onnxruntime")
    from made_heads import put_heads

    from eo_nodes.decision.heads import read_heads
    from eo_nodes.lvlm.manifest import read_manifest, verify_files

    folder = tmp_path / "compact"
    shutil.copytree(ROOT / "test/data/lvlm/tiny_unified", folder)
    put_heads(folder)
    with pytest.raises(StudyError, match="the trace is of"):
        put(TRACE, folder)
    digests = {**TRACE.digests, "compact": read_manifest(folder).digest}
    moved = put(replace(TRACE, digests=digests), folder)
    verify_files(folder, read_manifest(folder))
    assert moved.digests["compact"] == read_manifest(folder).digest != digests["compact"]
    assert means_as_plain(read_heads(folder).means) == means_as_plain(means_of(TRACE))
    # Again: the same means are the same folder.
    assert put(moved, folder).digests == moved.digests


# -- one definition, one setting -----------------------------------------------------------------


def test_right_is_one_thing_in_every_score():
    columns = dict(TRACE.columns)
    graded = columns["compact_quality"] * 0.4 + 0.3  # 0.3 is wrong, 0.7 is right
    columns["compact_quality"] = graded.astype(np.float32)
    draws = draw_scenes(np.ones(len(TRACE.names["scenes"]), bool), 10, 1)
    found = [t["ece"] for t in scores_table(replace(TRACE, columns=columns), 15, draws)]
    rows = scores_table(TRACE, 15, draws)
    assert found == [t["ece"] for t in rows]
    row = rows[0]
    test = TRACE.rows("test")
    said = TRACE["scores"][test, 0, 1].astype(float)
    right = (TRACE["compact_quality"][test] >= RIGHT_FROM).astype(float)
    assert row["ece"] == pytest.approx(ece(said, right, 15)), "the heads' own, nothing fitted"
    assert row["brier"] == pytest.approx(brier(said, right))


def test_training_counts_the_same_answers_as_right():
    from training.decision import rows

    assert rows.RIGHT_FROM == RIGHT_FROM


def test_a_setting_is_flown_under_the_names_of_the_node():
    plain = routing_as_plain(tuned_routing(SETTING))
    assert set(plain) == {f.name for f in fields(RoutingConfig)}
    assert plain["hurdle"] == [0.5, 0.25, 0.0] and plain["mb_price"] == 8.0
    assert "regions" in plain["kinds"]
    without = tuned_routing(Setting({**SETTING.values, "regions": False}))
    assert "regions" not in without.kinds
    assert set(plain) <= set(_confidence()), "every field is a parameter of the node"
    assert ours().space["order"] == ("fifo",)


def _confidence():
    text = (ROOT / "config" / "params" / "space.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["/**/confidence"]["ros__parameters"]


TABLE = ROOT / "sim" / "assets" / "study" / "table.json"


def test_the_mission_flies_the_setting_of_the_committed_table():
    tuned = json.loads(TABLE.read_text(encoding="utf-8"))["routing"]
    assert {name: _confidence()[name] for name in tuned} == tuned


HEADS = ROOT / "models" / "compact" / "decision.json"


def test_heads_are_trained_on_answers_as_long_as_those_that_are_flown():
    flown = graph_limits()
    assert (flown.compact_tokens, flown.regular_tokens) == (COMPACT_TOKENS, REGULAR_TOKENS)
    assert flown.tap2_tokens == TAP2_TOKENS


def test_heads_of_the_released_model_know_the_second_tap_that_is_flown():
    facts = json.loads(HEADS.read_text(encoding="utf-8"))
    assert facts["tap2_tokens"] == graph_limits().tap2_tokens

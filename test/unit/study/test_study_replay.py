"""Hand-computed replays, conservation, monotonicity, determinism. Traces here are made up."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_replay import play_out
from study_trace import made_trace

from eo_sim.study.config import load_config
from eo_sim.study.facts import means_of
from eo_sim.study.fits import fit
from eo_sim.study.flight import Asking, Flight
from eo_sim.study.metrics import Histogram, Tally, latency_s, misses, quality_within
from eo_sim.study.ours import ablations, ours
from eo_sim.study.policies import Context, baselines
from eo_sim.study.policy import (
    ANSWER,
    Choice,
    Setting,
    View,
    answer,
    both,
    offload,
    proceed,
)
from eo_sim.study.replay import GROUND, MISSED, ONBOARD, PARTS
from eo_sim.study.simulator import Replayer
from eo_sim.study.tables import Tables
from eo_sim.study.workload import Requests, make_requests
from eo_sim.study.world import Contact, Link, World

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "config" / "study.yaml")
# One byte a byte on the link, no losses, no delays: what a hand can compute.
PLAIN = replace(
    CONFIG,
    world=replace(CONFIG.world, loss=0.0, frame_bytes=1000, frame_payload_bytes=1000, delay_s=0.0),
    workload=replace(CONFIG.workload, onboard_share=0.0),
    compute=replace(CONFIG.compute, coding_scale=0.0, ground_overhead_s=0.0, ground_servers=1,
                    onboard_flops_per_s=1e9, onboard_active_w=10.0, ground_flops_per_s=1e9),
)  # fmt: skip


def link(*contacts, rate_bps=8000.0, end_s=2000.0):
    made = [Contact("sat", f"st{i}", a, b, np.array([a, b], float), np.full(2, rate_bps))
            for i, (a, b) in enumerate(contacts)]
    return Link(made, end_s)


def world(one, end_s=2000.0):
    return World({"sat": one}, end_s, end_s, {})


def requests(*captures, rows=None, onboard=False):
    n = len(captures)
    return [("sat", [Requests(
        np.array(rows if rows is not None else range(n)), np.array(captures, float),
        np.full(n, onboard),
    )])]  # fmt: skip


def simple_trace():
    """Compact: 1 s to tap 1, 2 s to tap 2, 4 s to the end; regular: 3 s; answers of 100 bytes."""
    trace = made_trace(chips=4, questions=2)
    n, levels = len(trace), len(trace.levels)
    columns = dict(trace.columns)
    columns["compact_flops"] = np.tile([1e9, 2e9, 4e9], (n, 1))
    columns["regular_flops"] = np.full((n, levels), 3e9)
    columns["answer_bytes"] = np.full(n, 100, np.int32)
    columns["level_bytes"] = np.full((n, levels), 20_000, np.int64)
    columns["level_bytes"][:, 0] = 100_000
    columns["compact_quality"] = np.full(n, 0.25, np.float32)
    columns["regular_quality"] = np.full((n, levels), 0.75, np.float32)
    columns["deadline"] = np.zeros(n, np.int8)
    return replace(trace, columns=columns)


TRACE = simple_trace()
REPLAYER = Replayer(Tables(TRACE, PLAIN))


def played(some, one, decide, **more):
    return play_out(REPLAYER, some, one, decide, **more)


# -- by hand -------------------------------------------------------------------------------------


def test_two_answers_from_on_board_meet_one_contact():
    # 1000 bytes a second from 100 s to 200 s. Captures at 0 and 1 s; 4 s of computing each.
    done = played(requests(0, 1), world(link((100, 200))), lambda v, k: answer())
    assert done.final_s == pytest.approx([100.1, 100.2])
    assert done.origin.tolist() == [ONBOARD, ONBOARD]
    # First: computed 0-4, waits to 100, sent in 0.1 s. Second: its turn at 4, done at 8.
    assert done.parts_s[0] == pytest.approx([4, 0, 96, 0.1, 0])
    assert done.parts_s[1] == pytest.approx([4, 3.1, 92, 0.1, 0])
    assert done.final_quality.tolist() == [0.25, 0.25]


def test_two_products_are_sent_one_after_the_other_and_served_in_turn():
    # Decided at once: 20 kB each, 20 s each on the link; the ground takes 3 s each.
    done = played(
        requests(0, 0), world(link((100, 200))), lambda v, k: offload(v, "lossy"), first_stage=0
    )
    assert done.final_s == pytest.approx([123, 143])
    assert done.parts_s[0] == pytest.approx([0, 0, 100, 20, 3])
    assert done.parts_s[1] == pytest.approx([0, 20, 100, 20, 3])
    assert done.sent_bytes == 40_000
    assert done.final_quality.tolist() == [0.75, 0.75]


def test_product_that_los_cuts_goes_on_in_the_next_contact():
    # 100 kB at 1 kB/s over contacts of 60 s: 60 kB, then 40 kB.
    done = played(
        requests(0), world(link((100, 160), (300, 360))), lambda v, k: offload(v, "raw"),
        first_stage=0,
    )
    assert done.final_s == pytest.approx([343])
    assert done.parts_s[0] == pytest.approx([0, 0, 240, 100, 3])


def test_early_stop_costs_only_its_stage_and_the_next_starts_sooner():
    done = played(requests(0, 0), world(link((100, 200))), lambda v, k: offload(v, "lossy"))
    assert done.stage.tolist() == [1, 1]
    # 1 s to tap 1 each: the second one is decided at 2 s.
    assert done.parts_s[:, 0] == pytest.approx([1, 1])
    assert done.parts_s[:, 1] == pytest.approx([0, 1 + 20])
    assert done.onboard_j == pytest.approx([10.0, 10.0])


def test_provisional_answer_goes_ahead_and_the_ground_writes_the_final_one():
    def decide(view, _):
        return both(view, "lossy") if view.stage == 3 else proceed()

    done = played(requests(0), world(link((100, 200))), decide)
    assert done.first_s == pytest.approx([100.1])
    assert done.final_s == pytest.approx([123.1])
    assert (done.first_quality[0], done.final_quality[0]) == (0.25, 0.75)
    assert quality_within(done, 101 / 60)[0] == 0.25
    assert quality_within(done, 124 / 60)[0] == 0.75
    assert done.origin.tolist() == [GROUND]


def test_each_question_on_a_chip_sends_its_own_pixels_as_in_the_graph():
    one = {row for row, chip in enumerate(TRACE["chip"]) if chip == TRACE["chip"][0]}
    done = played(
        requests(0, 0, rows=sorted(one)[:2]), world(link((100, 200))),
        lambda v, k: offload(v, "lossless"), first_stage=0,
    )
    assert done.sent_bytes == 40_000


@pytest.mark.parametrize("choose", [lambda v, k: answer(), lambda v, k: offload(v, "lossy"),
                                    lambda v, k: both(v, "lossy")])  # fmt: skip
def test_what_is_used_on_board_is_answered_there_whatever_the_policy(choose):
    done = played(requests(0, onboard=True), world(link((100, 121))), choose, first_stage=0)
    assert done.final_s == pytest.approx([4])
    assert (done.origin[0], done.down_bytes[0]) == (ONBOARD, 0)


def test_refinements_that_anything_may_overtake_are_not_queued_ahead():
    told = []

    def decide(view, down):
        told.append((down.queued_bytes(), down.ahead_bytes()))
        return both(view, "lossy") if view.stage == 3 else proceed()

    played(requests(0, 0, 0), world(link((100, 400))), decide, first_stage=3)
    assert told == [(0, 0), (100, 100), (200, 200)], "answers alone: pixels wait behind all"


def test_what_is_not_down_by_the_end_is_a_stated_miss():
    done = played(
        requests(0, 0), world(link((100, 130))), lambda v, k: offload(v, "lossy"), first_stage=0
    )
    assert done.origin.tolist() == [GROUND, MISSED]
    assert done.final_quality.tolist() == [0.75, 0.0]
    assert done.sent_bytes == pytest.approx(30_000)
    # Half of the second picture went over the link; what never did is no byte of anybody's.
    assert done.down_bytes == pytest.approx([20_000, 10_000])
    assert latency_s(done)[1] == 2000
    assert misses(done, REPLAYER.tables).tolist() == [False, True]


def test_an_answer_that_is_complete_at_the_second_tap_is_at_its_end():
    columns = dict(TRACE.columns)
    columns["compact_flops"] = np.tile([1e9, 4e9, 4e9], (len(TRACE), 1))
    stages = []

    def decide(view, _):
        stages.append(view.stage)
        return proceed()

    short = Replayer(Tables(replace(TRACE, columns=columns), PLAIN))
    play_out(short, requests(0), world(link((100, 200))), decide)
    assert stages == [1, 3]


def test_a_policy_sees_neither_labels_nor_how_long_an_answer_will_be():
    columns = dict(BIG.columns)
    flops = columns["compact_flops"].copy()
    test = BIG.rows("test")
    flops[test, 2] *= 3
    columns |= {"compact_flops": flops, "size": np.roll(columns["size"], 1)}
    changed = replace(BIG, columns=columns)
    seen = []
    for trace in (BIG, changed):
        told = []

        def decide(view, _, told=told):
            told.append([getattr(view, name) for name in View.__slots__ if name != "now_s"])
            return proceed()

        replayer = Replayer(Tables(trace, CONFIG))
        play_out(replayer, requests(0, rows=test[:1]), world(link((100, 200))), decide)
        seen.append(told[0])
        assert means_of(trace) == MEANS
    assert seen[0] == seen[1]


def test_figures_are_those_of_the_requests_one_by_one():
    flown, some = busy()
    policy = next(p for p in EVERY if p.name == "full_local_then_offload")
    done = play(policy, flown, some)
    tally = Tally(TABLES, flown, (10.0, 30.0))
    values = {k: v[len(k) % len(v)] for k, v in policy.space.items()}
    context = Context(BIG, FITS, TABLES, flown.links)
    asking = Asking(policy.make(Setting(values), context), 3, values["order"] == "lifo")
    MANY.run(some, flown, asking, tally.add)
    found, mine = tally.summary(), ~done.is_onboard
    assert found["n"] == mine.sum() and found["onboard"]["n"] == done.is_onboard.sum() > 0
    assert found["accuracy"]["all"]["final"] == pytest.approx(done.final_quality[mine].mean())
    assert found["accuracy"]["all"]["30"] == pytest.approx(quality_within(done, 30)[mine].mean())
    sar = mine & (BIG.names_of("modality")[done.row] == "sar")
    assert found["accuracy"]["sar"]["final"] == pytest.approx(done.final_quality[sar].mean())
    assert found["latency_s"]["mean"] == pytest.approx(latency_s(done)[mine].mean())
    for share in (50, 95, 99):
        wanted = np.percentile(latency_s(done)[mine], share)
        assert found["latency_s"][f"p{share}"] == pytest.approx(wanted, rel=0.01)
    assert found["deadline_misses"] == pytest.approx(misses(done, TABLES)[mine].mean())
    assert found["offloaded"] == pytest.approx((done.level >= 0)[mine].mean())
    assert found["contact_use"] == pytest.approx(done.sent_bytes / done.capacity_bytes)
    assert tally.sums()["n"].sum() == mine.sum()
    assert tally.sums()["bytes"].sum() == pytest.approx(done.down_bytes.sum())


def test_percentiles_come_from_bins_of_half_a_per_cent():
    some = Histogram()
    assert np.isnan(some.percentile(50))
    values = np.random.default_rng(0).lognormal(5, 2, 50_000)
    for part in np.array_split(values, 7):
        some.add(part)
    for share in (1, 50, 95, 99):
        assert some.percentile(share) == pytest.approx(np.percentile(values, share), rel=0.02)
    some.add(np.array([0.0, 1e12]))
    assert some.counts.sum() == 50_002


def test_newest_first_is_another_order():
    some, one = requests(0, 1), world(link((100, 200)))
    new = played(some, one, lambda v, k: offload(v, "lossy"), first_stage=0, is_lifo=True)
    assert new.final_s == pytest.approx([143, 123])


# -- what holds always ---------------------------------------------------------------------------

BIG = made_trace(chips=40)
TABLES = Tables(BIG, CONFIG)
MANY = Replayer(TABLES)
FITS, MEANS = fit(BIG, BIG.level("lossless")), means_of(BIG)


def busy(rate_bps=2e5, seed=0):
    one = Link([Contact("sat", "st", t, t + 120.0, np.array([t, t + 120.0]), np.full(2, rate_bps))
                for t in range(600, 20_000, 2400)], 25_000.0)  # fmt: skip
    flown = World({"sat": one}, 18_000.0, 25_000.0, {})
    config = replace(CONFIG.workload, seed=seed, scene_px=300_000)
    return flown, make_requests(BIG, "test", ["sat"], config, scenes_a_day=120, hours=5.0)


def play(policy, flown, some, seed=0):
    values = {k: v[(seed + len(k)) % len(v)] for k, v in policy.space.items()}
    context = Context(BIG, FITS, TABLES, flown.links)
    return play_out(MANY, some, flown, policy.make(Setting(values), context),
                    first_stage=policy.first_stage, is_lifo=values.get("order") == "lifo")


EVERY = [*baselines(BIG), ours(), *ablations()]


@pytest.mark.parametrize("policy", EVERY, ids=lambda p: p.name)
@pytest.mark.parametrize("rate_bps", [2e4, 2e6])
def test_every_request_ends_once_and_no_byte_is_made_up(policy, rate_bps):
    flown, some = busy(rate_bps)
    done = play(policy, flown, some)
    assert len(done.row) == sum(len(block) for _, blocks in some for block in blocks)
    assert set(done.origin) <= {ONBOARD, GROUND, MISSED}
    assert done.sent_bytes <= done.capacity_bytes * (1 + 1e-9)
    is_missed = done.origin == MISSED
    assert np.array_equal(is_missed, ~np.isfinite(done.final_s))
    assert (done.final_quality[is_missed] == 0).all()
    answered = ~is_missed
    assert (done.final_s[answered] >= done.capture_s[answered]).all()
    assert (done.first_s[answered] <= done.final_s[answered]).all()
    whole = done.parts_s[answered].sum(axis=1)
    assert whole == pytest.approx((done.final_s - done.capture_s)[answered], abs=1e-6)
    assert (done.parts_s[answered] > -1e-6).all(), PARTS


@pytest.mark.parametrize("policy", EVERY, ids=lambda p: p.name)
def test_the_same_replay_twice_is_the_same(policy):
    flown, some = busy()
    one, two = (play(policy, flown, some) for _ in range(2))
    assert np.array_equal(one.final_s, two.final_s)
    assert np.array_equal(one.down_bytes, two.down_bytes)


@pytest.mark.parametrize("name", ["ground_only_raw", "ground_only_compressed"])
def test_more_rate_never_makes_a_fixed_decision_later(name):
    policy = next(p for p in EVERY if p.name == name)
    slow, fast = (play(policy, *busy(rate)) for rate in (1e5, 4e5))
    if policy.space["order"]:
        assert latency_s(fast).mean() <= latency_s(slow).mean() + 1e-6
    assert (fast.origin == MISSED).sum() <= (slow.origin == MISSED).sum()


def test_on_an_idle_link_sending_everything_wins():
    """And ours does the same there, for the load prices no byte."""
    flown, some = busy(1e9)
    by_name = {p.name: play(p, flown, some) for p in EVERY if p.role in ("baseline", "ours")}
    score = {name: done.final_quality.mean() for name, done in by_name.items()}
    everything = score["ground_only_raw"]
    assert everything >= max(v for k, v in score.items() if k != "ours") - 1e-9
    assert score["ours"] > score["satellite_only"]


def test_a_policy_sees_its_queue_and_a_full_link_says_never():
    seen = []

    def decide(view, down):
        seen.append((down.queued_bytes(), down.eta_s(view.bytes("lossy")), view.left_s))
        return offload(view, "lossy")

    played(requests(0, 0, 0), world(link((100, 141))), decide, first_stage=0)
    assert [s[0] for s in seen] == [0, 20_000, 40_000]
    assert [s[1] for s in seen] == pytest.approx([120, 140, float("inf")])
    assert seen[0][2] == 600


def in_blocks(some, size):
    """The same requests, handed over in blocks of another size."""
    cut = []
    for name, blocks in some:
        whole = [np.concatenate([getattr(b, f) for b in blocks])
                 for f in ("row", "capture_s", "is_onboard")]  # fmt: skip
        cut.append((name, [Requests(*(part[i : i + size] for part in whole))
                           for i in range(0, len(whole[0]), size)]))
    return cut


@pytest.mark.parametrize("policy", [p for p in EVERY if p.name in (
    "ours", "ground_only_raw", "full_local_then_offload")], ids=lambda p: p.name)  # fmt: skip
def test_how_requests_are_cut_into_blocks_changes_nothing(policy):
    flown, some = busy(2e5)
    two = World({"sat": flown.links["sat"], "other": flown.links["sat"]}, flown.capture_s,
                flown.end_s, {})  # fmt: skip
    both_of = [*some, ("other", some[0][1])]
    whole = play(policy, two, in_blocks(both_of, 10**9))
    parts = play(policy, two, in_blocks(both_of, 37))
    assert parts.blocks > whole.blocks
    for name in ("row", "origin", "final_s", "first_s", "down_bytes", "parts_s", "onboard_j"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name), equal_nan=True), name


def test_only_what_waits_is_held():
    """Answers from on board over a wide link: what is held follows a gap, not the whole day."""
    flown, some = busy(1e7)
    flight = Flight(0, in_blocks(some, 50)[0][1], flown.links["sat"], MANY._rows,
                    Asking(lambda v, k: answer()), flown.end_s)  # fmt: skip
    total, most, settled = 0, 0, 0
    while not flight.is_over:
        flight.step()
        flight.gather()
        settled += len(flight.settle(float("inf") if flight.is_over else flight.now_s).row)
        most = max(most, len(flight.waiting["row"]))
    total = sum(len(block) for block in some[0][1])
    assert settled == total > 4 * most


def test_choices_have_names():
    assert answer() == Choice(ANSWER)

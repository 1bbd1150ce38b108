"""Counting a run: lost, duplicates, frames outside contacts, and where the time went."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eo_nodes.contracts.values import (
    Answer,
    ByteBudget,
    Compute,
    Contact,
    ContactPlan,
    DownlinkReport,
    Notice,
    Product,
    Request,
    Scene,
    Step,
    Tap,
    Verdict,
)
from eo_sim import collect as module
from eo_sim.collect import RunFacts, collect
from eo_sim.scenario import load_scenario

ROOT = Path(__file__).parents[3]
S_NS = 10**9
SCENARIO = load_scenario(ROOT / "config" / "scenarios" / "demo.yaml")
T0_NS = SCENARIO.start_ns
CONTACT = Contact(id="c", station="s", aos_ns=100 * S_NS, los_ns=200 * S_NS)


def row(t_s, direction="tx", frames=1):
    return {"t_ns": round(t_s * S_NS), "direction": direction, "frames": frames, "bytes": 10}


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([row(100), row(150), row(199.9)], 0),
        ([row(99.9)], 1),
        ([row(200)], 1),
        ([row(200.1, "rx")], 0),  # sent before LOS, on the way
        ([row(200.3, "rx", 7)], 7),
        ([row(99.9, "rx")], 1),
        ([row(50, frames=3), row(250, "rx", 2)], 5),
    ],
)
def test_m5_frames_outside_contacts_are_counted_at_either_end(rows, count):
    assert module._outside(rows, [], (CONTACT,)) == count
    assert module._outside([], rows, (CONTACT,)) == count


def test_without_any_contact_every_frame_is_outside():
    assert module._outside([row(1, frames=4)], [row(2, "rx", 5)], ()) == 9


def test_half_line_of_a_killed_process_is_left_out(tmp_path):
    log = tmp_path / "frames.jsonl"
    log.write_text(json.dumps(row(1)) + "\n" + json.dumps(row(2))[:-5])
    assert module._frames(log) == [row(1)]
    assert module._frames(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize(
    ("key", "request_id"),
    [
        ("req-0a-ff/1", "req-0a-ff"),
        ("req-0a-ff/1/3", "req-0a-ff"),
        ("prd-0a-ff-regions-1", "req-0a-ff"),
    ],
)
def test_job_belongs_to_its_request(key, request_id):
    assert module._request_of(key) == request_id


def answered(number, *, origin="onboard", at_s=(10, 40, 50, 60), version=1, status=Answer.FINAL):
    """Messages of a request: captured, decided, sent, final at the given times."""
    question = SCENARIO.questions[number]
    task = question.task
    request_id, scene_id = f"req-0{number}-aa", f"scn-{number}"
    captured, decided, sent, final = (T0_NS + round(at * S_NS) for at in at_s)
    scene = Scene(
        id=scene_id, capture_ns=captured, sensor="rgb_camera", modality=task.modality,
        place=task.place, frames=1, height=512, width=512, bands=3, dtype="uint8",
        raw_bytes=512 * 512 * 3,
    )  # fmt: skip
    request = Request(
        id=request_id, task_id=task.id, scene_id=scene_id, capture_ns=captured,
        window=task.window, scene=scene,
    )  # fmt: skip
    answer = Answer(
        id=f"ans-{number}-{origin}-{version}", request_id=request_id, task_id=task.id,
        scene_id=scene_id, stamp_ns=final, status=status, text=question.truth, origin=origin,
        steps=(
            Step(name="decided", stamp_ns=decided),
            Step(name="received", stamp_ns=final - S_NS),
        ),
    )  # fmt: skip
    kind = "answer" if origin == "onboard" else "regions"
    report = DownlinkReport(
        request_id=request_id, kind=kind, state="delivered", first_byte_ns=sent, last_byte_ns=final
    )
    return [
        ("/sat1/scene", scene),
        ("/sat1/request", request),
        ("/sat1/tap", Tap(request_id=request_id, stage=1, confidence=0.5)),
        ("/sat1/verdict", Verdict(request_id=request_id, stage=1, decision=1)),
        ("/sat1/product", Product(id="p", request_id=request_id)),
        ("/sat1/downlink_report", report),
        ("/sat1/compute", Compute(job="vision", key=f"{request_id}/1", duration_ns=2 * S_NS)),
        ("/sat1/compute", Compute(job="decode", key=f"{request_id}/1/2", duration_ns=S_NS)),
        ("/sat1/compute", Compute(job="reduce", key=f"{request_id}/1", duration_ns=100 * S_NS)),
        ("/ground/final", answer),
    ]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Collect a run of a few questions from given messages and frame logs."""

    def make(messages, questions=3, space=(), ground=()):
        monkeypatch.setattr(module, "read_bag", lambda *_: ((t, 0, v) for t, v in messages))
        monkeypatch.setattr(module, "blind_accuracy", lambda *_: 0.25)
        monkeypatch.setattr(module, "thumbnail_of", lambda *_: b"")
        for folder, name, rows in (
            ("sat1", "frames_downlink_scheduler.jsonl", space),
            ("ground", "frames_ground_station.jsonl", ground),
        ):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / name).write_text("".join(json.dumps(r) + "\n" for r in rows))
        return collect(
            RunFacts(
                scenario=replace(SCENARIO, questions=SCENARIO.questions[:questions]),
                bag=tmp_path, state_dir=tmp_path, requested_rate=0.0, achieved_rate=10.0,
                wall_s=1.0, start_up_s=1.0, peak_mb={}, mode="lock-step", profile="demo",
            )
        )  # fmt: skip

    return make


def test_lost_and_duplicate_answers_are_counted(run):
    twice = answered(1)
    again = ("/ground/final", answered(1, origin="ground")[-1][1])
    report = run([*answered(0), *twice, twice[-1], again])
    # The repeat of the same answer is no duplicate, the second answer is; question 2 is lost.
    assert (report["tasks"], report["lost"], report["duplicates"]) == (3, 1, 1)
    assert (report["answers_onboard"], report["answers_ground"]) == (2, 1)
    assert [item["status"] for item in report["requests"]] == ["final", "final", "lost"]


def test_refusal_is_an_answer_that_is_not_lost(run):
    report = run(answered(0, status=Answer.REFUSED), questions=1)
    assert (report["refusals"], report["lost"], report["answers_onboard"]) == (1, 0, 0)
    assert report["latency_s"]["mean"] == 0.0


def test_run_without_any_answer_loses_every_task(run):
    report = run([])
    assert (report["lost"], report["accuracy"]["n"]) == (3, 0)


def test_parts_of_the_latency_add_up_to_it(run):
    report = run(answered(0, at_s=(10, 40, 50, 60)), questions=1)
    parts = report["latency_s"]["parts"]
    assert parts == pytest.approx(
        {"compute": 3.0, "queue": 27.0, "wait": 10.0, "transmit": 9.0, "ground": 1.0}
    )
    assert sum(parts.values()) == pytest.approx(report["latency_s"]["mean"])


@pytest.mark.parametrize(
    "at_s",
    [(10, 11, 50, 60), (10, 40, 30, 60), (10, 70, 50, 60), (10, 10, 10, 60), (10, 40, 59.5, 60)],
)
def test_parts_add_up_whatever_the_order_of_steps(run, at_s):
    """Jobs longer than the time on board, a resent product, a step dated after the end."""
    report = run(answered(0, origin="ground", at_s=at_s), questions=1)
    parts = report["latency_s"]["parts"]
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == pytest.approx(50.0)


def refined(number, before, *, arrives=True):
    """Messages of a request whose answer on the ground wanted a region first."""
    *messages, (topic, final) = answered(number, origin="ground")
    names = ("region_asked", "region_received") if arrives else ("region_asked",)
    steps = (*final.steps, *(Step(name=name, stamp_ns=final.stamp_ns - 1) for name in names))
    key = final.request_id
    first = Answer(id="first", request_id=key, text=before, origin="ground")
    part = Product(id="q", request_id=key, kind="refinement", size_bytes=400)
    return [
        *messages,
        ("/ground/answer", first),
        ("/ground/notice", Notice(kind="region", request_id=key, window=(1, 2, 3, 4))),
        ("/sat1/product", part),
        (topic, replace(final, steps=steps)),
    ]


def test_second_looks_are_counted_with_what_they_changed(run):
    truth = SCENARIO.questions[1].truth
    late = refined(2, "x", arrives=False)
    report = run([*refined(0, "something else"), *refined(1, truth), *late])
    assert report["second_looks"] == {
        "asked": 3, "refined": 2, "changed": 1, "right_before": 1, "right_after": 2, "bytes": 1200,
    }  # fmt: skip
    row = report["requests"][0]
    assert (row["asked_region"], row["before_region"]) == ([1, 2, 3, 4], "something else")
    assert report["answers_ground"] == 3, "provisional answers are none"


def followed_by(number, before, *, comes=True):
    """Messages of a request whose answer on the ground was held for finer pixels."""
    *messages, (topic, final) = answered(number, origin="ground")
    if comes:
        step = Step(name="finer_received", stamp_ns=final.stamp_ns - 1)
        final = replace(final, steps=(*final.steps, step))
    key = final.request_id
    held = Answer(id="held", request_id=key, text=before, origin="ground")
    ahead = Answer(id="ahead", request_id=key, text="as said on board", origin="onboard")
    finer = Product(id="f", request_id=key, kind="enhancement", size_bytes=300)
    return [
        *messages,
        ("/ground/provisional", held),
        ("/ground/provisional", ahead),
        ("/sat1/product", finer),
        (topic, final),
    ]


def test_answers_held_for_finer_pixels_are_counted_with_what_these_changed(run):
    truth = SCENARIO.questions[1].truth
    late = followed_by(2, "x", comes=False)
    report = run([*followed_by(0, "something else"), *followed_by(1, truth), *late])
    assert report["followed"] == {
        "held": 3, "refined": 2, "changed": 1, "right_before": 1, "right_after": 2, "bytes": 900,
    }  # fmt: skip
    row = report["requests"][0]
    assert (row["before_finer"], row["finer_bytes"]) == ("something else", 300)
    assert (report["answers_ground"], report["duplicates"]) == (3, 0)


def test_frames_outside_contacts_come_from_the_logs_of_both_ends(run):
    """The scenario starts outside any contact."""
    outside = {"t_ns": T0_NS, "direction": "tx", "frames": 2, "bytes": 2000}
    received = {"t_ns": T0_NS, "direction": "rx", "frames": 3, "bytes": 3000}
    report = run([], space=[outside], ground=[received])
    assert report["frames_outside_contact"] == 5
    assert report["bytes_sent"] == 2000


def test_accuracy_counts_answers_with_a_known_truth_by_where_they_came_from(run):
    wrong = answered(1, origin="ground")
    topic, answer = wrong[-1]
    wrong[-1] = (topic, replace(answer, text="certainly something else"))
    accuracy = run([*answered(0), *wrong])["accuracy"]
    assert (accuracy["n"], accuracy["onboard"], accuracy["ground"]) == (2, 1.0, 0.0)
    assert (accuracy["n_onboard"], accuracy["n_ground"]) == (1, 1)


def test_a_verdict_carries_its_gain_and_what_was_in_force(run):
    messages = answered(0)
    request_id = messages[1][1].id
    passes = tuple(
        Contact(id=name, station=name, aos_ns=T0_NS + at * S_NS, los_ns=T0_NS + (at + 5) * S_NS)
        for name, at in (("gone", 10), ("next", 90), ("later", 900))
    )
    messages[3] = ("/sat1/verdict", Verdict(
        request_id=request_id, stage=1, decision=2, gain=0.25, level="lossy", is_late=True,
        stamp_ns=T0_NS + 40 * S_NS,
    ))  # fmt: skip
    budgets = [
        ("/sat1/byte_budget", ByteBudget(stamp_ns=T0_NS + at * S_NS, budget_bytes=left))
        for at, left in ((50, 3), (40, 2), (30, 1))  # as a bag may hold them: in any order
    ]
    plan = ("/sat1/contact_plan", ContactPlan(stamp_ns=T0_NS, contacts=passes))
    verdict = run([*budgets, plan, *messages])["requests"][0]["verdicts"][0]
    assert (verdict["gain"], verdict["level"], verdict["is_late"]) == (0.25, "lossy", True)
    assert verdict["link"]["budget_bytes"] == 2
    assert (verdict["link"]["station"], verdict["link"]["planned"]) == ("next", 2)


def test_before_anything_was_published_nothing_was_in_force(run):
    verdict = run(answered(0))["requests"][0]["verdicts"][0]
    assert verdict["link"] == {}

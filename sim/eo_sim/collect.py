"""From what a run left behind to the data of its report.

Sources are independent: the recorded bag of both domains, the frame logs that each end of the
link wrote for itself, the ledger on board and the archive on the ground. Contacts are computed
again from the orbit. Where two sources speak of the same thing, the report counts by both.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes import __version__
from eo_nodes.console.bag import read_bag
from eo_nodes.contracts.values import Answer, Contact, Verdict
from eo_nodes.graph.paths import project_file
from eo_nodes.orbit import ground_track, load_mission, subpoint
from eo_sim.blind import blind_accuracy
from eo_sim.in_force import InForce
from eo_sim.pictures import thumbnail_of
from eo_sim.scenario import Question, Scenario
from eo_sim.second_looks import followed, second_looks
from eo_sim.truth import Truth
from eo_sim.truth_match import is_right

S_NS = 1_000_000_000
_TRACK_STEP_NS = 20 * S_NS
# A frame sent just before LOS arrives after it: light time and the channel's grid of 0.1 s.
_ARRIVAL_SLACK_NS = 200_000_000
_DECISIONS = {
    Verdict.CONTINUE: "continue",
    Verdict.ANSWER: "answer",
    Verdict.OFFLOAD: "offload",
}
_DECIDING_JOBS = ("prepare", "vision", "decode")
_STATUS = {Answer.FINAL: "final", Answer.REFUSED: "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the driver knows of a run."""

    scenario: Scenario
    bag: Path
    state_dir: Path
    requested_rate: float
    achieved_rate: float
    wall_s: float
    start_up_s: float
    peak_mb: dict[str, float]
    mode: str
    profile: str
    space: str = "sat1"
    ground: str = "ground"
    fleet: tuple[str, ...] = ()


@dataclass(slots=True)
class _Bag:
    """The messages that matter, by kind."""

    tasks: dict[str, Any] = field(default_factory=dict)
    scenes: dict[str, Any] = field(default_factory=dict)
    requests: dict[str, Any] = field(default_factory=dict)
    taps: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    verdicts: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    budgets: list[Any] = field(default_factory=list)
    plans: list[Any] = field(default_factory=list)
    provisional: dict[str, Any] = field(default_factory=dict)
    products: dict[str, Any] = field(default_factory=dict)
    refinements: dict[str, Any] = field(default_factory=dict)
    enhancements: dict[str, Any] = field(default_factory=dict)  # sent unasked
    held: dict[str, Any] = field(default_factory=dict)  # what the ground said until they came
    wishes: dict[str, Any] = field(default_factory=dict)  # regions asked for, by request
    unsure: dict[str, Any] = field(default_factory=dict)  # what the ground said before it asked
    reports: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    finals: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    compute_ns: Counter[str] = field(default_factory=Counter)
    # The share of it before the decision: what comes later lies in the wait and on the ground.
    decide_ns: Counter[str] = field(default_factory=Counter)


def _read(facts: RunFacts) -> _Bag:
    bag, ground = _Bag(), f"/{facts.ground}/"
    topics = [
        *(f"{ground}{name}" for name in (
            "task", "final", "provisional", "answer", "notice", "compute")),
        *(
            f"/{facts.space}/{name}"
            for name in (
                "scene",
                "request",
                "tap",
                "verdict",
                "byte_budget",
                "contact_plan",
                "answer",
                "product",
                "downlink_report",
                "compute",
            )
        ),
    ]
    for topic, _, value in read_bag(facts.bag, topics):
        name = topic.rpartition("/")[2]
        if name == "task":
            bag.tasks[value.id] = value
        elif name == "scene":
            bag.scenes[value.id] = value
        elif name == "request":
            bag.requests[value.id] = value
        elif name == "tap":
            bag.taps[value.request_id].append(value)
        elif name == "verdict":
            bag.verdicts[value.request_id].append(value)
        elif name == "byte_budget":
            bag.budgets.append(value)
        elif name == "contact_plan":
            bag.plans.append(value)
        elif name == "answer" and topic.startswith(ground):
            if value.status == Answer.PROVISIONAL:
                bag.unsure[value.request_id] = value
        elif name == "answer":
            bag.provisional[value.request_id] = value
        elif name == "notice":
            if value.kind == "region":
                bag.wishes[value.request_id] = value
        elif name == "product":
            later = {"refinement": bag.refinements, "enhancement": bag.enhancements}
            later.get(value.kind, bag.products)[value.request_id] = value
        elif name == "provisional":
            if value.origin == "ground":
                bag.held[value.request_id] = value
        elif name == "downlink_report":
            if value.request_id:
                bag.reports[value.request_id][value.kind] = value
        elif name == "final":
            known = bag.finals[value.task_id]
            if all(one.id != value.id for one in known):
                known.append(value)
        elif name == "compute":
            bag.compute_ns[_request_of(value.key)] += value.duration_ns
            if value.job in _DECIDING_JOBS:
                bag.decide_ns[_request_of(value.key)] += value.duration_ns
    return bag


def _request_of(key: str) -> str:
    """Request of a job's key: ``req-x/1/2``, or of a product's id ``prd-x-regions-1``."""
    if key.startswith("prd-"):
        return "req-" + "-".join(key.removeprefix("prd-").split("-")[:2])
    return key.split("/")[0]


def collect(facts: RunFacts) -> dict[str, Any]:
    """Return the data of `eo_sim.report.schema.Report`."""
    scenario, bag = facts.scenario, _read(facts)
    end_ns = scenario.start_ns + round(scenario.duration_s * 1e9)
    mission = load_mission(project_file("config/mission"))
    truth = Truth(
        mission,
        project_file("config/mission/elements"),
        scenario.satellite,
        scenario.stations,
        scenario.start_ns,
        end_ns,
        fleet=facts.fleet,
    )
    space_log = _frames(facts.state_dir / facts.space / "frames_downlink_scheduler.jsonl")
    ground_log = _frames(facts.state_dir / facts.ground / "frames_ground_station.jsonl")
    known = InForce(bag.budgets, bag.plans)
    rows = [_row(question, bag, known, scenario) for question in scenario.questions]
    finals = [final for many in bag.finals.values() for final in many]
    seconds = sorted(r["_latency_s"] for r in rows if r["status"] == "final")
    report: dict[str, Any] = {
        "meta": {
            "title": scenario.about or scenario.name,
            "scenario": scenario.name,
            "satellite": mission.satellite(scenario.satellite).title,
            "start_ns": scenario.start_ns,
            "end_ns": end_ns,
            "software": __version__,
            "command": "make demo" if facts.profile == "demo" else f"profile {facts.profile}",
            "capture_rate": _capture_rate(bag),
            "notes": [
                "Pixels, labels, orbit, stations and passes are real. The satellite was not over "
                "these places at these times; most scenes come from other sensors.",
                "Compute time is that of this machine; simulated time waits for it.",
            ],
        },
        "tasks": len(scenario.questions),
        "answers_onboard": sum(f.origin == "onboard" and f.status == Answer.FINAL for f in finals),
        "answers_ground": sum(f.origin == "ground" and f.status == Answer.FINAL for f in finals),
        "refusals": sum(f.status == Answer.REFUSED for f in finals),
        "lost": sum(not bag.finals.get(q.task.id) for q in scenario.questions),
        "duplicates": sum(
            max(len(bag.finals.get(q.task.id, ())) - 1, 0) for q in scenario.questions
        ),
        "frames_outside_contact": _outside(space_log, ground_log, truth.contacts),
        "modalities": sorted({scene.modality for scene in bag.scenes.values()}),
        "scenes": len(bag.scenes),
        "bytes_raw": sum(scene.raw_bytes for scene in bag.scenes.values()),
        "bytes_sent": sum(r["bytes"] for r in space_log if r["direction"] == "tx"),
        "capacity_bytes": sum(contact.capacity_bytes for contact in truth.contacts),
        "accuracy": _accuracy(rows, scenario),
        "second_looks": second_looks(rows),
        "followed": followed(rows),
        "latency_s": _latency(seconds, rows),
        "clock": {
            "mode": facts.mode,
            "requested_rate": facts.requested_rate,
            "achieved_rate": facts.achieved_rate,
        },
        "wall_s": facts.wall_s,
        "start_up_s": facts.start_up_s,
        "peak_rss_mb": {
            "space": facts.peak_mb.get(facts.space, 0.0),
            "ground": facts.peak_mb.get(facts.ground, 0.0),
        },
        "stations": [
            {
                "name": site.name,
                "lat_deg": site.lat_deg,
                "lon_deg": site.lon_deg,
                "mask_deg": site.mask_deg,
            }
            for site in (mission.station(name) for name in scenario.stations)
        ],
        "track": _track(truth, scenario.start_ns, end_ns),
        "contacts": [_contact(c, ground_log) for c in truth.contacts],
    }
    _place_captures(rows, truth)
    report["requests"] = [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]
    return report


def _frames(path: Path) -> list[dict[str, Any]]:
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue  # the half line of a killed process
    return rows


def _outside(
    space: list[dict[str, Any]], ground: list[dict[str, Any]], contacts: tuple[Contact, ...]
) -> int:
    """Frames that either end sent or received when no station saw the satellite."""

    def is_inside(t_ns: int, slack_ns: int) -> bool:
        return any(c.aos_ns <= t_ns < c.los_ns + slack_ns for c in contacts)

    return sum(
        row["frames"]
        for row in (*space, *ground)
        if not is_inside(row["t_ns"], _ARRIVAL_SLACK_NS if row["direction"] == "rx" else 0)
    )


def _row(
    question: Question, bag: _Bag, known: InForce, scenario: Scenario
) -> dict[str, Any]:
    task = question.task
    finals = bag.finals.get(task.id, [])
    final = finals[0] if finals else None
    request = next((r for r in bag.requests.values() if r.task_id == task.id), None)
    key = request.id if request is not None else ""
    product = bag.products.get(key)
    taps = bag.taps.get(key, [])
    provisional = bag.provisional.get(key)
    wish, unsure, refinement = bag.wishes.get(key), bag.unsure.get(key), bag.refinements.get(key)
    held, finer = bag.held.get(key), bag.enhancements.get(key)
    text = final.text if final is not None else ""
    row: dict[str, Any] = {
        "id": key or task.id,
        "task_id": task.id,
        "scene_id": request.scene_id if request is not None else "",
        "prompt": task.prompt,
        "truth": question.truth,
        "answer": text,
        "provisional": provisional.text if provisional is not None else "",
        "status": _STATUS.get(final.status, "lost") if final is not None else "lost",
        "origin": final.origin if final is not None else "",
        "reason": final.reason if final is not None else "",
        "right": is_right(text, question.truth) if final is not None else False,
        "modality": task.modality,
        "place": task.place,
        "window": list(task.window),
        "confidences": [tap.confidence for tap in taps],
        "verdicts": [
            {
                "stage": v.stage,
                "decision": _DECISIONS[v.decision],
                "score": v.score,
                "accept": v.accept,
                "reject": v.reject,
                "level": v.level,
                "gain": v.gain,
                "is_late": v.is_late,
                "reason": v.reason,
                "stamp_ns": v.stamp_ns,
                "link": known.at(v.stamp_ns),
            }
            for v in bag.verdicts.get(key, [])
        ],
        "regions": [
            {
                "window": list(r.window),
                "action": r.action,
                "scale": r.scale,
                "relevance": r.relevance,
                "codec": r.codec,
                "coded_bytes": r.coded_bytes,
            }
            for r in (product.regions if product is not None else ())
        ],
        "asked_region": list(wish.window) if wish is not None else [],
        "before_region": unsure.text if unsure is not None else "",
        "region_bytes": refinement.size_bytes if refinement is not None else 0,
        "before_finer": held.text if held is not None else "",
        "finer_bytes": finer.size_bytes if finer is not None else 0,
        "priority": task.priority,
        "wall_s": bag.compute_ns[key] / 1e9,
        "bytes_raw": 0,
        "bytes_sent": 0,
        "_latency_s": 0.0,
        "_parts": {},
        "_capture_ns": 0,
    }
    if request is not None:
        scene = bag.scenes[request.scene_id]
        row["sensor"] = scene.sensor
        row["capture_ns"] = row["_capture_ns"] = request.capture_ns
        pixels = scene.width * scene.height
        row["bytes_raw"] = scene.raw_bytes * request.window[2] * request.window[3] // pixels
        row["thumbnail_png"] = thumbnail_of(scenario, scene, request.window)
    if final is not None:
        row["model_id"], row["model_digest"] = final.model_id, final.model_digest
        row["stage"], row["energy_j"] = final.stage, final.energy_j
        row["bytes_sent"] = final.bytes_sent
        if request is not None:
            row["_latency_s"] = (final.stamp_ns - request.capture_ns) / 1e9
            row["_parts"] = _parts(final, request, bag, key)
            row["steps"] = _steps(final, bag, key)
    return row


def _steps(final: Any, bag: _Bag, key: str) -> list[dict[str, Any]]:
    """Dated history from the answer, the link's reports and the taps, in order."""
    steps = {step.name: step.stamp_ns for step in final.steps}
    reports = bag.reports.get(key, {})
    for kind in ("regions", "answer"):  # an answer alone: no pixels, or it went ahead of them
        if kind in reports and reports[kind].first_byte_ns:
            steps.setdefault("sent", reports[kind].first_byte_ns)
    steps["final"] = final.stamp_ns
    return [
        {"name": name, "stamp_ns": stamp_ns}
        for name, stamp_ns in sorted(steps.items(), key=lambda item: item[1])
    ]


def _parts(final: Any, request: Any, bag: _Bag, key: str) -> dict[str, float]:
    """Split capture to final into compute, queue, wait for a contact, transmission, ground."""
    steps = {step["name"]: step["stamp_ns"] for step in _steps(final, bag, key)}
    # Each after the one before and none after the end: so the parts add up to the whole.
    edges = [request.capture_ns]
    for name in ("decided", "sent", "received"):
        edges.append(min(max(steps.get(name, edges[-1]), edges[-1]), final.stamp_ns))
    captured_ns, decided_ns, sent_ns, received_ns = edges
    if "received" not in steps:
        received_ns = final.stamp_ns
    compute_ns = min(bag.decide_ns[key], decided_ns - captured_ns)
    return {
        "compute": compute_ns / 1e9,
        "queue": (decided_ns - captured_ns - compute_ns) / 1e9,
        "wait": (sent_ns - decided_ns) / 1e9,
        "transmit": (received_ns - sent_ns) / 1e9,
        "ground": (final.stamp_ns - received_ns) / 1e9,
    }


def _latency(seconds: list[float], rows: list[dict[str, Any]]) -> dict[str, Any]:
    if not seconds:
        return {"mean": 0.0, "p50": 0.0, "p95": 0.0, "parts": {}}
    parts = [row["_parts"] for row in rows if row["_parts"]]
    return {
        "mean": float(np.mean(seconds)),
        "p50": float(np.percentile(seconds, 50)),
        "p95": float(np.percentile(seconds, 95)),
        "parts": {name: float(np.mean([p[name] for p in parts])) for name in parts[0]},
    }


def _accuracy(rows: list[dict[str, Any]], scenario: Scenario) -> dict[str, Any]:
    by_origin: dict[str, list[dict[str, Any]]] = {"onboard": [], "ground": []}
    for row in rows:
        if row["status"] == "final" and row["right"] is not None:
            by_origin[row["origin"]].append(row)
    questions = {question.task.id: question for question in scenario.questions}
    result: dict[str, Any] = {"n": sum(map(len, by_origin.values()))}
    models = {"onboard": "models/compact", "ground": "models/regular"}
    for origin, answered in by_origin.items():
        result[f"n_{origin}"] = len(answered)
        result[origin] = float(np.mean([r["right"] for r in answered])) if answered else 0.0
        asked = [questions[row["task_id"]] for row in answered]
        result[f"blind_{origin}"] = blind_accuracy(models[origin], asked, scenario)
    return result


def _capture_rate(bag: _Bag) -> str:
    if len(bag.scenes) < 2:
        return ""
    times = sorted(scene.capture_ns for scene in bag.scenes.values())
    minutes = (times[-1] - times[0]) / 60e9
    raw = sum(scene.raw_bytes for scene in bag.scenes.values()) / 1e6
    return f"{len(times)} scenes, {raw:.1f} MB of pixels in {minutes:.0f} min"


def _track(truth: Truth, start_ns: int, end_ns: int) -> list[dict[str, Any]]:
    times, places = ground_track(truth.orbit, start_ns, end_ns, _TRACK_STEP_NS)
    return [
        {"stamp_ns": int(t), "lat_deg": float(lat), "lon_deg": float(lon)}
        for t, lat, lon in zip(times, places.lat_deg, places.lon_deg, strict=True)
    ]


def _contact(contact: Contact, ground_log: list[dict[str, Any]]) -> dict[str, Any]:
    used = sum(
        row["bytes"]
        for row in ground_log
        if row["direction"] == "rx"
        and contact.aos_ns <= row["t_ns"] < contact.los_ns + _ARRIVAL_SLACK_NS
    )
    return {
        "id": contact.id,
        "station": contact.station,
        "aos_ns": contact.aos_ns,
        "los_ns": contact.los_ns,
        "max_elevation_deg": contact.max_elevation_deg,
        "capacity_bytes": contact.capacity_bytes,
        "used_bytes": used,
    }


def _place_captures(rows: list[dict[str, Any]], truth: Truth) -> None:
    captured = [row for row in rows if row["_capture_ns"]]
    if not captured:
        return
    places = subpoint(truth.orbit, [row["_capture_ns"] for row in captured])
    for row, lat, lon in zip(captured, places.lat_deg, places.lon_deg, strict=True):
        row["lat_deg"], row["lon_deg"] = float(lat), float(lon)

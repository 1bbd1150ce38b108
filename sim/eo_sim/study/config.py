"""config/study.yaml as checked, frozen values; every wrong key is named with its place."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.orbit.config_keys import Keys, read_yaml

from .trace import DEADLINES_MIN

S_NS = 1_000_000_000
_BIG = 1e18


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """Orbits, stations and link; units in the names, reasons in config/study.yaml."""

    start_ns: int
    hours: float
    drain_hours: float
    satellites: tuple[str, ...]
    stations: tuple[str, ...]
    min_contact_s: float
    contact_cap_s: float
    pause_min: float
    handover_s: float
    rates_mbps: tuple[float, ...]
    loss: float
    frame_bytes: int
    frame_payload_bytes: int
    ack_bytes_per_frame: float
    task_bytes: int
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadConfig:
    """How many scenes are captured, and how they are made up."""

    seed: int
    scene_px: int
    onboard_share: float
    loads: Mapping[str, float]
    reference_mbps: float
    replayed_a_day: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeConfig:
    """Speed and power, stated."""

    onboard_flops_per_s: float
    onboard_active_w: float
    onboard_idle_w: float
    coding_scale: float
    coding_cores: int
    ground_flops_per_s: float
    ground_active_w: float
    ground_servers: int
    ground_overhead_s: float
    transmitter_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """The one search that tunes every policy."""

    seed: int
    trials: int
    load: str
    rate_mbps: float
    hours: float
    satellites: tuple[str, ...]
    curve_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FiguresConfig:
    """Definitions of the figures."""

    bootstrap: int
    seed: int
    ece_bins: int
    offload_cap: float
    early_stop_tolerance: float
    headline_load: str
    deadlines_min: tuple[float, ...]
    paper_baselines: tuple[str, ...]
    paper_definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConfig:
    """Everything that a study is made from, the trace aside."""

    trace: str
    world: WorldConfig
    workload: WorkloadConfig
    compute: ComputeConfig
    tune: TuneConfig
    figures: FiguresConfig


def load_config(path: Path) -> StudyConfig:
    """Read study.yaml.

    Raises:
        ConfigError: absent, no YAML, or a key is unknown, missing or out of range.
    """
    return parse_config(read_yaml(path), path.name)


def parse_config(tree: Any, where: str) -> StudyConfig:
    """Check the tree of study.yaml."""
    top = Keys(tree, where)
    workload = _workload(top.child("workload"))
    config = StudyConfig(
        trace=top.text("trace"),
        world=_world(top.child("world")),
        workload=workload,
        compute=_compute(top.child("compute")),
        tune=_tune(top.child("tune")),
        figures=_figures(top.child("figures")),
    )
    top.done()
    for load in (config.tune.load, config.figures.headline_load):
        if load not in workload.loads:
            raise ConfigError(f"{where}: no load {load!r} in workload.loads")
    return config


def _names(keys: Keys, key: str) -> tuple[str, ...]:
    found = tuple(str(item) for item in keys.items(key))
    if len(set(found)) != len(found):
        raise ConfigError(f"{keys.where}.{key}: a name stands there twice")
    return found


def _numbers(keys: Keys, key: str, low: float, high: float) -> tuple[float, ...]:
    found = []
    for item in keys.items(key):
        if isinstance(item, bool) or not isinstance(item, int | float) or not low <= item <= high:
            raise ConfigError(f"{keys.where}.{key}: {item!r} is no number from {low} to {high}")
        found.append(float(item))
    return tuple(found)


def _time_ns(keys: Keys, key: str) -> int:
    text = keys.text(key)
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(f"{keys.where}.{key}: {text!r} is no ISO 8601 time") from error
    if moment.tzinfo is None:
        raise ConfigError(f"{keys.where}.{key}: {text!r} has no time zone")
    return round(moment.timestamp()) * S_NS


def _world(keys: Keys) -> WorldConfig:
    world = WorldConfig(
        start_ns=_time_ns(keys, "start"),
        hours=keys.number("hours", 0.1, 240),
        drain_hours=keys.number("drain_hours", 0, 48),
        satellites=_names(keys, "satellites"),
        stations=_names(keys, "stations"),
        min_contact_s=keys.number("min_contact_s", 0, 600),
        contact_cap_s=keys.number("contact_cap_s", 1, 7200),
        pause_min=keys.number("pause_min", 0, 1440),
        handover_s=keys.number("handover_s", 0, 600),
        rates_mbps=_numbers(keys, "rates_mbps", 0, 1e5),
        loss=keys.number("loss", 0, 0.9),
        frame_bytes=int(keys.number("frame_bytes", 64, 65507)),
        frame_payload_bytes=int(keys.number("frame_payload_bytes", 1, 65507)),
        ack_bytes_per_frame=keys.number("ack_bytes_per_frame", 0, 1e4),
        task_bytes=int(keys.number("task_bytes", 0, 1e6)),
        delay_s=keys.number("delay_s", 0, 10),
    )
    keys.done()
    if world.frame_payload_bytes > world.frame_bytes:
        raise ConfigError(f"{keys.where}: frames hold more than they are")
    return world


def _workload(keys: Keys) -> WorkloadConfig:
    loads = {}
    for name, value in keys.table("loads").items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigError(f"{keys.where}.loads.{name}: {value!r} is no number above 0")
        loads[name] = float(value)
    workload = WorkloadConfig(
        seed=int(keys.number("seed", 0, 2**31)),
        scene_px=int(keys.number("scene_px", 1, _BIG)),
        onboard_share=keys.number("onboard_share", 0, 1),
        loads=loads,
        reference_mbps=keys.number("reference_mbps", 1e-3, 1e5),
        replayed_a_day=keys.number("replayed_a_day", 1, 1e9),
    )
    keys.done()
    return workload


def _compute(keys: Keys) -> ComputeConfig:
    board, coding, ground = keys.child("onboard"), keys.child("coding"), keys.child("ground")
    compute = ComputeConfig(
        onboard_flops_per_s=board.number("flops_per_s", 1, _BIG),
        onboard_active_w=board.number("active_w", 0, 1e6),
        onboard_idle_w=board.number("idle_w", 0, 1e6),
        coding_scale=coding.number("scale", 0, 1e6),
        coding_cores=int(coding.number("cores", 1, 1000)),
        ground_flops_per_s=ground.number("flops_per_s", 1, _BIG),
        ground_active_w=ground.number("active_w", 0, 1e7),
        ground_servers=int(ground.number("servers", 1, 1e5)),
        ground_overhead_s=ground.number("overhead_s", 0, 1e4),
        transmitter_w=keys.number("transmitter_w", 0, 1e5),
    )
    for one in (board, coding, ground, keys):
        one.done()
    return compute


def _tune(keys: Keys) -> TuneConfig:
    tune = TuneConfig(
        seed=int(keys.number("seed", 0, 2**31)),
        trials=int(keys.number("trials", 1, 10_000)),
        load=keys.text("load"),
        rate_mbps=keys.number("rate_mbps", 0, 1e5),
        hours=keys.number("hours", 0.1, 240),
        satellites=_names(keys, "satellites"),
        curve_points=int(keys.number("curve_points", 1, 100)),
    )
    keys.done()
    return tune


def _figures(keys: Keys) -> FiguresConfig:
    headline, paper = keys.child("headline"), keys.child("paper_style")
    figures = FiguresConfig(
        bootstrap=int(keys.number("bootstrap", 10, 100_000)),
        seed=int(keys.number("seed", 0, 2**31)),
        ece_bins=int(keys.number("ece_bins", 2, 1000)),
        offload_cap=keys.number("offload_cap", 0, 1),
        early_stop_tolerance=keys.number("early_stop_tolerance", 0, 1),
        headline_load=headline.text("load"),
        deadlines_min=_numbers(headline, "deadlines_min", 0.01, 1e5),
        paper_baselines=_names(paper, "baselines"),
        paper_definition=paper.text("definition"),
    )
    for one in (headline, paper, keys):
        one.done()
    if figures.deadlines_min != tuple(map(float, DEADLINES_MIN)):
        raise ConfigError(f"{headline.where}.deadlines_min: requests of a trace have deadlines of "
                          f"{DEADLINES_MIN} min, figures are for the same")
    return figures

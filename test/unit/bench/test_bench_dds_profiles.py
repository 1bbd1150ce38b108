"""The DDS profiles differ in sizes only, and who sends images has the large one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eo_nodes.graph.description import load_graph
from eo_nodes.graph.plan import make_plan

ROOT = Path(__file__).resolve().parents[3]
PROFILES = {
    "small": ROOT / "config/dds/shm_small.xml",
    "large": ROOT / "config/dds/shm_large.xml",
    "reference": ROOT / "bench/data/reference_dds.xml",
}
SIZES = ("segment_size", "maxMessageSize")


def sizes_of(name: str) -> list[int]:
    text = PROFILES[name].read_text(encoding="utf-8")
    return [int(re.search(f"<{tag}>([0-9]+)</{tag}>", text).group(1)) for tag in SIZES]


def rest_of(name: str) -> str:
    text = PROFILES[name].read_text(encoding="utf-8")
    text = re.sub("<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub('profile_name="[a-z_]+" is_default', "is_default", text)
    for tag in SIZES:
        text = re.sub(f"<{tag}>[0-9]+</{tag}>", "", text)
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", ["small", "reference"])
def test_profiles_differ_from_the_large_one_in_sizes_only(name):
    assert rest_of(name) == rest_of("large")
    assert sizes_of(name) != sizes_of("large")


@pytest.mark.parametrize("name", PROFILES)
def test_a_message_fits_its_segment(name):
    segment_bytes, message_bytes = sizes_of(name)
    assert message_bytes < segment_bytes


def test_processes_that_send_images_have_the_large_segment_and_the_others_the_small_one():
    plan = make_plan(load_graph(ROOT / "config/graph.yaml"), "demo")
    found = {
        process.name: Path(process.environment["FASTDDS_DEFAULT_PROFILES_FILE"]).stem
        for process in plan.processes
    }
    large = {name for name, profile in found.items() if profile == "shm_large"}
    assert large == {"sat1/imaging", "sim/world"}
    assert set(found.values()) == {"shm_large", "shm_small"}

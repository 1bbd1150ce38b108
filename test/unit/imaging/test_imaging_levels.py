"""Every level of compression in real bytes, through the one function of node and study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.values import Request, Scene, VisualPrompt
from eo_nodes.decision.levels import LEVELS, Level, level_named
from eo_nodes.decision.product import Cutoffs, product_of
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.container import compose, read_container
from eo_nodes.imaging.header import header_of, raw_bytes_of
from training.instruct.sources import Library

CHIPS = Path(__file__).parents[2] / "data" / "chips"
CONFIG = SendingConfig()
X, Y, SIDE = 16, 8, 224
RELEVANCE = np.full((7, 7), 0.05)
RELEVANCE[2, 4] = 0.9


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    library = Library(CHIPS, 64 << 20)
    return library.pixels(library.samples("hit_uav", "test")[0])[None, :256, :256]


@pytest.fixture(scope="module")
def request_(frame: np.ndarray) -> Request:
    scene = Scene(
        id="scene-1", sensor="uav", modality="thermal", place="street", frames=1, height=256,
        width=256, bands=frame.shape[3], dtype=frame.dtype.name, raw_bytes=frame.nbytes,
        band_names=("t",) * frame.shape[3], gsd_m=0.1,
    )  # fmt: skip
    return Request(
        id="r-1", task_id="t-1", scene_id="scene-1", scene=scene, prompt="cars?", stamp_ns=20,
        capture_ns=10, modality="thermal", window=(X, Y, SIDE, SIDE), consumer="ground",
        visual_prompts=(VisualPrompt(kind="point", xy=(30.0, 40.0), label="a"),),
    )  # fmt: skip


def sent(
    frame: np.ndarray, request: Request, level: Level | None, most: float | None = None
) -> bytes:
    coder = RegionCoder(frame, header_of(request, 30))
    regions, base = product_of(level, coder, request.window, RELEVANCE, raw_bytes_of(request),
                               CONFIG, most_bytes=most)  # fmt: skip
    return coder.product(regions, base)


def window(frame: np.ndarray) -> np.ndarray:
    return frame[:, Y : Y + SIDE, X : X + SIDE]


def test_levels_take_what_their_names_say(frame: np.ndarray, request_: Request) -> None:
    files = {level.name: sent(frame, request_, level) for level in LEVELS}
    sizes = {name: len(data) for name, data in files.items()}
    raw = raw_bytes_of(request_)
    assert raw == SIDE * SIDE * frame.shape[3]
    assert raw < sizes["raw"] < raw + 600 and sizes["lossless"] < 0.8 * raw
    assert sizes["uniform_1_4"] < sizes["uniform_1_2"] < sizes["lossy"] < sizes["lossless"]
    for name, share in (("regions_1_5", 0.2), ("regions_1_10", 0.1), ("regions_1_20", 0.05)):
        assert 0.8 * share * raw < sizes[name] <= share * raw
    for name in ("raw", "lossless"):
        assert np.array_equal(compose(read_container(files[name])), window(frame))
    errors = [np.abs(compose(read_container(files[name])).astype(float) - window(frame)).mean()
              for name in ("lossy", "uniform_1_2", "uniform_1_4")]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_a_whole_level_is_one_block_without_an_overview(
    frame: np.ndarray, request_: Request
) -> None:
    for name in ("raw", "lossless", "lossy", "uniform_1_2"):
        content = read_container(sent(frame, request_, level_named(name)))
        assert [p.region.window for p in content.regions] == [request_.window]
        assert content.overview == b""


@pytest.mark.parametrize("name", ["raw", "lossless", "regions_1_5", "two_cutoffs"])
def test_no_level_takes_more_than_a_product_may(
    frame: np.ndarray, request_: Request, name: str
) -> None:
    assert len(sent(frame, request_, level_named(name), most=4_000)) <= 4_000


def test_what_fits_is_left_as_it_is(frame: np.ndarray, request_: Request) -> None:
    for name in ("raw", "lossy", "regions_1_20"):
        level = level_named(name)
        assert sent(frame, request_, level, most=1e6) == sent(frame, request_, level)


def test_without_a_level_the_bytes_there_are_are_used(
    frame: np.ndarray, request_: Request
) -> None:
    few, more = (len(sent(frame, request_, None, most=most)) for most in (3_000, 9_000))
    assert 2_500 < few <= 3_000 and 8_000 < more <= 9_000
    exact = compose(read_container(sent(frame, request_, None)))
    assert np.array_equal(exact, window(frame))


def test_two_cutoffs_keep_downsample_and_drop(frame: np.ndarray, request_: Request) -> None:
    coder = RegionCoder(frame, header_of(request_, 30))
    relevance = np.repeat([[1.0, 0.5, 0.1, 0.1]], 4, axis=0)
    regions, base = product_of(level_named("two_cutoffs"), coder, request_.window, relevance,
                               raw_bytes_of(request_), CONFIG, cutoffs=Cutoffs(most=4))
    assert base is None
    assert {(r.window[0] - X, r.action) for r in regions} == {
        (0, "keep"), (56, "downsample"), (112, "drop")}  # fmt: skip


def test_a_header_says_what_was_asked_where_and_when(request_: Request) -> None:
    header = header_of(request_, 30)
    assert header.steps == (("captured", 10), ("matched", 20), ("decided", 30))
    assert header.visual_prompts == (("point", (30.0, 40.0), "a"),)
    assert (header.request_id, header.window, header.place, header.raw_bytes) == (
        "r-1", (X, Y, SIDE, SIDE), "street", SIDE * SIDE * len(header.band_names))
    assert header_of(replace(request_, zoom=1)).steps == ()

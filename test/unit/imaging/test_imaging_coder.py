"""Regions of a window in real bytes: estimates, budget, overview, quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eo_nodes.decision.sending import SendingConfig, plan
from eo_nodes.imaging import codecs
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.container import ProductHeader, compose, read_container
from eo_nodes.imaging.rate import head_bytes, profile, statistic
from training.instruct.sources import Library

CHIPS = Path(__file__).parents[2] / "data" / "chips"
SETS = ("hit_uav", "objects_rgb", "s2_ships", "sar_ships", "eurosat_ms")
CONFIG = SendingConfig()


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(CHIPS, 64 << 20)


def first(library: Library, name: str) -> np.ndarray:
    return library.pixels(library.samples(name, "test")[0])[None]


def coder_of(frame: np.ndarray) -> RegionCoder:
    _, height, width, bands = frame.shape
    names = tuple(f"b{i}" for i in range(bands))
    return RegionCoder(frame, ProductHeader(
        request_id="r", window=(0, 0, width, height), dtype=frame.dtype.name, band_names=names))


@pytest.mark.parametrize("name", SETS)
def test_estimates_are_near_the_coded_bytes(library: Library, name: str) -> None:
    frame = first(library, name)
    frame = np.ascontiguousarray(frame[:, : frame.shape[1] // 16 * 16, : frame.shape[2] // 16 * 16])
    low, high = np.percentile(frame, (1, 99))
    steps = [0.0, *((high - low) * np.array([1 / 32, 1 / 16, 1 / 8])).tolist()]
    window = (0, 0, frame.shape[2], frame.shape[1])
    told = profile(statistic(frame), [window], [(1.0, s) for s in steps]).bytes[0]
    guess = told + head_bytes(frame.shape[3])
    real = np.array([len(codecs.encode(frame, wavelet_step=s)) for s in steps])
    assert abs(guess[0] / real[0] - 1) < 0.25
    assert (np.abs(np.log2(guess / real)) < 1).all()


def test_estimates_of_parts_add_up_and_say_where_detail_lies(library: Library) -> None:
    frame = np.zeros((1, 128, 192, 1), np.uint8)
    frame[:, 64:, 64:128] = first(library, "hit_uav")[:, :64, :64]
    known = statistic(frame)
    cells = [(x, y, 64, 64) for y in (0, 64) for x in (0, 64, 128)]
    options = [(1.0, 0.0), (1.0, 8.0), (0.5, 8.0)]
    found, whole = profile(known, cells, options), profile(known, [(0, 0, 192, 128)], options)
    assert found.bytes.sum(axis=0) == pytest.approx(whole.bytes[0])
    assert found.bytes[:, 1].argmax() == 4 and found.bytes[4, 1] > 0.99 * whole.bytes[0, 1]
    assert (found.shown[[0, 1, 2, 3, 5]] == 1).all()  # flat: all of nothing is there
    exact, full, half = found.shown[4]
    assert exact == 1 > full > half > 0 and (found.fine[4] <= found.shown[4]).all()


def test_a_large_window_is_looked_at_in_part(library: Library) -> None:
    tile = first(library, "hit_uav")[:, :256, :256]
    small, large = statistic(tile), statistic(np.tile(tile, (1, 6, 6, 1)))
    assert large.counts.size < 36 / 4 * small.counts.size * 1.01
    told = [profile(known, [(0, 0, side, side)], [(1.0, 8.0), (0.5, 0.0)]).bytes[0]
            for known, side in ((small, 256), (large, 1536))]
    assert told[1] == pytest.approx(36 * told[0], rel=0.15)


def test_an_image_s_odd_sides_lose_no_detail(library: Library) -> None:
    frame = first(library, "hit_uav")
    even, odd = frame[:, :96, :96], frame[:, :90, :87]
    sizes = [profile(statistic(f), [(0, 0, *f.shape[2:0:-1])], [(1.0, 0.0)]).bytes[0, 0]
             for f in (even, odd)]
    assert sizes[1] / sizes[0] == pytest.approx(90 * 87 / 96**2, rel=0.1)


@pytest.mark.parametrize("name", ("hit_uav", "s2_ships"))
def test_product_files_hold_their_budget_and_show_more_for_more(
    library: Library, name: str
) -> None:
    frame = first(library, name)
    coder, (height, width) = coder_of(frame), frame.shape[1:3]
    relevance = np.zeros((8, 8))
    relevance[2, 5] = 0.9
    errors = []
    for share in (0.01, 0.05, 0.2):
        budget = share * frame.nbytes
        made = plan(relevance, (0, 0, width, height), coder, budget_bytes=budget, config=CONFIG)
        data = coder.product(made.regions, made.base)
        assert len(data) <= budget
        came = compose(read_container(data)).astype(float)
        errors.append(float(((came - frame) ** 2).mean()))
    assert errors[0] >= errors[1] >= errors[2]


def test_where_all_counts_alike_one_block_of_the_whole_beats_cells_apart(
    library: Library,
) -> None:
    frame = first(library, "objects_rgb")
    window = (0, 0, frame.shape[2], frame.shape[1])
    made = plan(np.ones((1, 1)), window, coder_of(frame), budget_bytes=0.02 * frame.nbytes,
                config=CONFIG)
    assert made.base is not None and made.base[0] >= 0.25


def test_an_idle_link_gets_every_sample_exactly(library: Library) -> None:
    frame = first(library, "hit_uav")
    coder, window = coder_of(frame), (0, 0, frame.shape[2], frame.shape[1])
    made = plan(np.full((4, 4), np.nan), window, coder, budget_bytes=None, config=CONFIG)
    assert np.array_equal(compose(read_container(coder.product(made.regions, made.base))), frame)


def test_a_window_of_many_bands_and_16_bit_keeps_them(library: Library) -> None:
    frame = first(library, "eurosat_ms")
    coder, window = coder_of(frame), (0, 0, frame.shape[2], frame.shape[1])
    made = plan(np.ones((2, 2)), window, coder, budget_bytes=frame.nbytes / 6, config=CONFIG)
    came = compose(read_container(coder.product(made.regions, made.base)))
    assert came.dtype == frame.dtype and came.shape == frame.shape and frame.shape[3] > 3

"""What is known of a window is what a plain transform says, and changes no later product."""

from __future__ import annotations

import numpy as np
import pytest

from eo_nodes.contracts.values import Request, Scene
from eo_nodes.decision.finer import finer
from eo_nodes.decision.levels import level_named
from eo_nodes.decision.product import product_of
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.header import header_of, raw_bytes_of
from eo_nodes.imaging.looks import Look, Looks
from eo_nodes.imaging.rate import LEVELS, TILE, statistic

NOW_NS = 1_787_000_000_000_000_000
SHAPES = ((1, 300, 260, 3), (1, 150, 170, 13), (2, 128, 200, 1), (1, 256, 256, 4))


def pixels_of(shape: tuple[int, ...]) -> np.ndarray:
    """Smooth ground with patches of fine detail, by integers alone."""
    f, y, x, b = np.indices(shape)
    noise = (x * 7919 + y * 104_729 + b * 1299 + f * 31) * 2654435761 % 2**32 >> 24
    patch = (x // 40 * 5 + y // 50 * 3) % 4 == 0
    values = (x * 3 + y * 2 + b * 11 + f * 5) // 8 % 200 + np.where(patch, noise // 4, 0)
    return values.astype(np.uint8) if shape[3] != 13 else (values * 9).astype(np.uint16)


def plain_counts(block: np.ndarray, unit: float) -> np.ndarray:
    """As ``Statistic.counts`` of a window whose tiles are all looked at, tile by tile."""
    planes = block.transpose(0, 3, 1, 2).reshape(-1, *block.shape[1:3]).astype(np.float32)
    if len(planes) == 3:
        turn = np.divide([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.sqrt([[3], [2], [6]]),
                         dtype=np.float32)
        planes = (turn @ planes.reshape(3, -1)).reshape(planes.shape)
    more = [(0, 0), *((0, -side % TILE) for side in planes.shape[1:])]
    planes = np.pad(planes, more, mode="edge")
    first = int(np.floor(np.log2(unit))) - 2
    found = []
    for top in range(0, planes.shape[1], TILE):
        for left in range(0, planes.shape[2], TILE):
            low = planes[:, top : top + TILE, left : left + TILE]
            rows = []
            for level in range(1, LEVELS + 1):
                a, b = low[:, 0::2, 0::2], low[:, 0::2, 1::2]
                c, d = low[:, 1::2, 0::2], low[:, 1::2, 1::2]
                low = (a + b) + (c + d)
                fine = [(a - b) + (c - d), (a + b) - (c + d), (a - b) - (c - d)]
                rows.append(buckets(np.stack(fine), first + level))
            found.append([*rows, buckets(low, first + LEVELS)])
    return np.array(found)


def buckets(values: np.ndarray, octave: int) -> np.ndarray:
    """How many lie in each half octave from this one on; what is below goes into the first."""
    size = np.abs(values).astype(float).ravel()
    whole = np.floor(np.log2(np.maximum(size, 1e-30)))
    half = size >= 1.5 * 2.0**whole
    place = 2 * (whole - octave) + half + 1
    return np.bincount(np.clip(place, 0, 47).astype(int), minlength=48)


@pytest.mark.parametrize("shape", SHAPES)
def test_magnitudes_are_those_of_the_transform_tile_by_tile(shape: tuple[int, ...]) -> None:
    block = pixels_of(shape)[:, :90, :75]
    found = statistic(block, unit=1.0, least_px=TILE)
    assert found.counts.astype(int).tolist() == plain_counts(block, 1.0).tolist()


def products(number: int, names: tuple[str, ...], look: Look | None) -> list[tuple]:
    """What is sent of a scene at these levels, the files, and what follows."""
    pixels = pixels_of(SHAPES[number])
    frames, height, width, bands = pixels.shape
    window = (0, 0, width, height) if number % 2 == 0 else (8, 4, width - 20, height - 9)
    scene = Scene(
        id="scene", sensor="x", modality="optical", frames=frames, height=height, width=width,
        bands=bands, dtype=pixels.dtype.name, raw_bytes=pixels.nbytes,
        band_names=tuple(f"b{i}" for i in range(bands)),
    )  # fmt: skip
    request = Request(
        id="request", task_id="task", scene_id="scene", scene=scene, stamp_ns=NOW_NS,
        capture_ns=NOW_NS, prompt="where?", modality="optical", window=window, consumer="ground",
    )  # fmt: skip
    header, raw, config = header_of(request, NOW_NS), raw_bytes_of(request), SendingConfig()
    found = []
    for turn, name in enumerate(names):
        relevance = (np.arange(64).reshape(8, 8) * 37 % 64 / 64.0) ** (1 + 8 * (turn % 2))
        coder = RegionCoder(pixels, header, look=look)
        sent = product_of(level_named(name), coder, window, relevance, raw, config)
        last = RegionCoder(pixels, header, overview_px=0, look=look)
        after = finer(sent, relevance, window, last, value=1.0, least_change=0.0,
                      budget_bytes=raw / 10, config=config)
        found.append((sent, coder.product(*sent), after))
    return found


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_what_is_known_of_a_scene_changes_nothing_of_later_products(number: int) -> None:
    names = ("regions_1_5", "regions_1_20", "regions_1_20")
    alone = [products(number, names, None)[turn] for turn in range(3)]
    look = Look()
    assert products(number, names, look) == alone
    assert look.statistics and look.overviews and look.contrast
    assert products(number, names, look) == alone, "now all of it is known"


def test_looks_keep_the_last_used_within_their_bytes() -> None:
    looks = Looks(25)
    for name in "abc":
        looks.of(name).overviews[1, 0.0] = bytes(10)
    assert looks.of("b").overviews  # and makes room: three take more than there is
    assert len(looks) == 2 and not looks.of("a").overviews
    large = looks.of("d")
    large.overviews[1, 0.0] = bytes(100)
    assert looks.of("d") is large and len(looks) == 1, "one stays, whatever it takes"

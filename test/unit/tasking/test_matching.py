"""Which scenes serve a task, and which pixels of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eo_nodes.contracts.values import Scene, Task
from eo_nodes.tasking.matching import Match, clip, match, outlines_meet

# 100 x 50 pixels of 0.01 degree, north-west corner at 8 E 54 N.
GRID = (8.0, 0.01, 0.0, 54.0, 0.0, -0.01)
SCENE = Scene(
    id="s",
    capture_ns=1000,
    sensor="pan",
    modality="optical",
    place="Bremen",
    height=50,
    width=100,
    crs="EPSG:4326",
    geotransform=GRID,
)
TASK = Task(id="t", prompt="ships?", max_answers=1)


def _box(west: float, south: float, east: float, north: float) -> tuple[float, ...]:
    return (west, south, east, south, east, north, west, north)


def test_a_task_that_wants_nothing_special_gets_the_whole_scene() -> None:
    assert match(TASK, SCENE, 2000) == Match((0, 0, 100, 50))


@pytest.mark.parametrize(
    ("wants", "reason"),
    [
        ({"modality": "sar"}, "modality is optical, wanted is sar"),
        ({"sensor": "swir"}, "sensor is pan, wanted is swir"),
        ({"place": "Kiel"}, "place is bremen, wanted is kiel"),
        ({"valid_from_ns": 1001}, "captured before the task is valid"),
        ({"deadline_ns": 1999}, "past the deadline"),
        ({"window": (100, 0, 5, 5)}, "window lies outside the scene"),
        ({"area": _box(20, 53.6, 21, 53.9)}, "area lies outside the scene"),
        ({"window": (0, 0, 5, 5), "area": _box(8.5, 53.6, 8.6, 53.7)}, "do not meet"),
    ],
)
def test_what_does_not_match_says_why(wants: dict[str, object], reason: str) -> None:
    found = match(replace(TASK, **wants), SCENE, 2000)  # type: ignore[arg-type]
    assert found.window is None
    assert reason in found.reason


@pytest.mark.parametrize(
    "wants",
    [
        {"modality": "optical", "sensor": "pan", "place": "BREMEN"},
        {"valid_from_ns": 1000, "deadline_ns": 2000},
    ],
)
def test_what_matches_exactly(wants: dict[str, object]) -> None:
    assert match(replace(TASK, **wants), SCENE, 2000).window == (0, 0, 100, 50)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("window", "clipped"),
    [
        ((10, 20, 5, 6), (10, 20, 5, 6)),
        ((90, 40, 50, 50), (90, 40, 10, 10)),
        ((0, 0, 1, 1), (0, 0, 1, 1)),
    ],
)
def test_a_window_is_clipped_to_the_scene(
    window: tuple[int, ...], clipped: tuple[int, ...]
) -> None:
    assert match(replace(TASK, window=window), SCENE, 0).window == clipped


@pytest.mark.parametrize(
    ("area", "window"),
    [
        (_box(8.105, 53.605, 8.195, 53.795), (10, 20, 10, 20)),
        (_box(0, 0, 20, 80), (0, 0, 100, 50)),
        (_box(7, 53.905, 8.015, 60), (0, 0, 2, 10)),
        # A triangle whose corners all lie outside, but which covers the middle.
        ((8.5, 60.0, 7.0, 53.0, 10.0, 53.0), (0, 0, 100, 50)),
    ],
)
def test_an_area_becomes_the_pixels_around_it(
    area: tuple[float, ...], window: tuple[int, ...]
) -> None:
    assert match(replace(TASK, area=area), SCENE, 0).window == window


def test_a_scene_over_the_date_line_meets_an_area_on_its_far_side() -> None:
    fiji = replace(SCENE, geotransform=(179.5, 0.01, 0.0, -16.0, 0.0, -0.01))
    found = match(replace(TASK, area=_box(-179.895, -16.295, -179.805, -16.205)), fiji, 0)
    assert found.window == (60, 20, 10, 10)


def test_a_projected_scene_is_met_in_its_own_projection() -> None:
    # Given a UTM 32N scene of 10 m pixels whose centre is 9 E 53 N (500 km, 5872 km).
    utm = replace(
        SCENE,
        width=1000,
        height=1000,
        crs="EPSG:32632",
        geotransform=(495000.0, 10.0, 0.0, 5877000.0, 0.0, -10.0),
    )
    found = match(replace(TASK, area=_box(9.0, 53.0, 9.01, 53.005)), utm, 0)
    # Then 0.01 degree of longitude is 671 m, 0.005 of latitude 556 m; 9 E is easting 500 km.
    assert found.window is not None
    x, y, width, height = found.window
    assert (x, width) == (500, 68)
    assert height in (56, 57)
    assert y + height == pytest.approx((5877000 - 5872287.4) / 10, abs=15)


def test_an_unknown_projection_is_a_reason() -> None:
    odd = replace(SCENE, crs="EPSG:99999999")
    assert "is unknown" in match(replace(TASK, area=_box(8, 53, 9, 54)), odd, 0).reason


def test_a_flat_geotransform_is_a_reason() -> None:
    flat = replace(SCENE, geotransform=(8.0, 0.0, 0.0, 54.0, 0.0, 0.0))
    assert "inverted" in match(replace(TASK, area=_box(8, 53, 9, 54)), flat, 0).reason


def test_a_scene_with_a_footprint_only_serves_as_a_whole() -> None:
    rough = replace(SCENE, crs="", geotransform=(), footprint=_box(8, 53.5, 9, 54))
    assert match(replace(TASK, area=_box(8.9, 53.9, 10, 55)), rough, 0).window == (0, 0, 100, 50)
    assert match(replace(TASK, area=_box(9.1, 53.9, 10, 55)), rough, 0).window is None


def test_an_area_needs_a_georeference() -> None:
    bare = replace(SCENE, crs="", geotransform=())
    assert match(replace(TASK, area=_box(8, 53, 9, 54)), bare, 0).reason == (
        "scene has no georeference"
    )


def test_clip_of_an_outline_around_and_beside() -> None:
    around = [(-5.0, -5.0), (20.0, -5.0), (20.0, 20.0), (-5.0, 20.0)]
    assert sorted(clip(around, 10, 8)) == [(0, 0), (0, 8), (10, 0), (10, 8)]
    assert clip([(11.0, 0.0), (12.0, 0.0), (12.0, 5.0)], 10, 8) == []


def test_outlines_meet_when_one_lies_in_the_other() -> None:
    big = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)]
    small = [(4.0, 4.0), (5.0, 4.0), (5.0, 5.0)]
    assert outlines_meet(big, small)
    assert outlines_meet(small, big)
    assert not outlines_meet(small, [(x + 20, y) for x, y in big])

"""Any-band inputs, cells, proposals and zooms, for whatever comes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_nodes.lvlm import spectrum
from eo_nodes.lvlm.proposals import LEAST_SCORE, MOST, SAME_IOU, Proposals, iou, keep, merge
from eo_nodes.lvlm.sight import CELL_PX, geometry_of, input_shape, pooling
from eo_nodes.lvlm.visual_prompts import box
from eo_nodes.lvlm.zoom import windows

NAMES = ("red", "B05 705nm", "412.3 nm", "VV", "VH", "amplitude", "thermal", "elevation", "nir",
         "2.2 um", "grey")
DTYPES = st.sampled_from([np.uint8, np.uint16, np.int16, np.float32])
share = st.floats(0, 1, width=32)


@st.composite
def scenes(draw):
    """(H, W, C) of any dtype that is read, with whatever floats there are, and C names."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6))
    shape = (*draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), len(names))
    return draw(hnp.arrays(draw(DTYPES), shape)), names


@settings(deadline=None)
@given(scenes(), st.randoms())
def test_permuting_bands_with_their_values_permutes_and_changes_nothing_else(scene, rng):
    values, names = scene
    order = list(range(len(names)))
    rng.shuffle(order)
    bands, turned = (spectrum.parse_bands(n) for n in (names, [names[i] for i in order]))
    with np.errstate(over="ignore"):
        plain = spectrum.normalise(values, bands)
        found = spectrum.normalise(values[..., order], turned)
    assert np.array_equal(found, plain[order])
    assert np.array_equal(spectrum.codes(turned), spectrum.codes(bands)[order])
    assert plain.dtype == np.float32 and np.isfinite(plain).all()
    assert plain.min() >= -1 and plain.max() <= 1.001


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([96, 256, 448]))
def test_inputs_are_whole_cells_within_the_limit(height, width, longest):
    rows, cols = input_shape(height, width, longest, 2.0)
    assert rows % CELL_PX == cols % CELL_PX == 0 and min(rows, cols) >= CELL_PX
    assert max(rows, cols) <= longest


@given(st.integers(1, 14), st.integers(1, 14), st.one_of(st.none(), st.integers(1, 6)))
def test_pooling_averages_and_covers_every_cell(rows, cols, most):
    matrix, (r, c) = pooling(rows, cols, most)
    assert matrix.shape == (r * c, rows * cols)
    assert np.allclose(matrix.sum(1), 1) and (matrix.sum(0) > 0).all()


@given(st.integers(1, 9), st.integers(1, 9), share, share, st.floats(0.01, 1), st.floats(0.01, 1))
def test_cells_tile_their_window(rows, cols, x, y, w, h):
    cells = geometry_of(rows, cols, (x, y, w, h))
    low, high = (cells[:, :2] - cells[:, 2:] / 2), (cells[:, :2] + cells[:, 2:] / 2)
    assert np.allclose(low.min(0), (x, y), atol=1e-5)
    assert np.allclose(high.max(0), (x + w, y + h), atol=1e-5)
    assert np.isclose(cells[:, 2:].prod(1).sum(), w * h, rtol=1e-3)


@st.composite
def proposals(draw):
    n = draw(st.integers(0, 12))
    raw = draw(hnp.arrays(np.float32, (n, 4), elements=share))
    boxes = np.concatenate([np.minimum(raw[:, :2], raw[:, 2:]), np.maximum(raw[:, :2], raw[:, 2:])],
                           1)
    return Proposals(draw(hnp.arrays(np.float32, n, elements=share)), boxes,
                     draw(hnp.arrays(np.float32, (n, 2), elements=share)),
                     np.zeros((n, 3), np.float32))


@settings(deadline=None)
@given(proposals(), st.lists(st.tuples(proposals(), st.sampled_from(
    [(0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 0.5, 1.0), (0.25, 0.25, 0.5, 0.5)])), max_size=3))
def test_what_is_kept_is_sound(overview, zooms):
    found = keep(merge([(overview, (0.0, 0.0, 1.0, 1.0)), *zooms]))
    n = len(found.score)
    assert n <= MOST and len(found.boxes) == len(found.kinds) == len(found.look) == n
    assert (found.score >= LEAST_SCORE).all()
    assert (found.boxes >= 0).all() and (found.boxes <= 1).all()
    places = [(float(b[1]), float(b[0])) for b in found.boxes]
    assert places == sorted(places)
    for i in range(1, n):
        assert iou(found.boxes[i], found.boxes[:i]).max() < SAME_IOU
    assert len(found.best(3).score) == min(n, 3)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 4),
       st.lists(st.tuples(*[st.floats(0, 0.99)] * 2, *[st.floats(0.005, 1)] * 2), max_size=5))
def test_windows_lie_inside_and_hold_their_places(height, width, most, corners):
    places = [box(x, y, min(1.0, x + w), min(1.0, y + h)) for x, y, w, h in corners]
    found = windows(height, width, 256, places, most)
    assert len(found) <= most
    for x, y, w, h in found:
        assert 0 <= x < x + w <= width and 0 <= y < y + h <= height
    if found and places:
        x, y, w, h = found[0]
        held = [x - 1 <= p.xy[0] * width and p.xy[2] * width <= x + w + 1
                and y - 1 <= p.xy[1] * height and p.xy[3] * height <= y + h + 1 for p in places]
        assert any(held)

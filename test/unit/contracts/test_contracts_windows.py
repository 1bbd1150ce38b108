"""What surrounds a window: at edges, in small pictures, about a few pixels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_nodes.contracts.windows import surroundings


@pytest.mark.parametrize(("window", "seen"), [
    ((400, 300, 100, 100), (350, 250, 200, 200)),
    ((400, 300, 100, 40), (350, 220, 200, 200)),     # a square about a long window
    ((0, 0, 100, 100), (0, 0, 200, 200)),            # moved inwards, not cut
    ((900, 700, 100, 100), (800, 600, 200, 200)),
    ((30, 300, 100, 100), (0, 250, 200, 200)),
    ((0, 390, 600, 20), (0, 0, 1000, 800)),          # as long as the picture at most
    ((500, 400, 1, 1), (468, 368, 64, 64)),          # a pixel is seen with more than two
    ((0, 0, 1000, 800), (0, 0, 1000, 800)),
])
def test_a_window_is_seen_with_what_surrounds_it(window, seen):
    assert surroundings(window, 1000, 800) == seen


def test_a_picture_smaller_than_the_least_is_seen_whole():
    assert surroundings((5, 5, 2, 2), 20, 300) == (0, 0, 20, 64)


@given(st.data())
def test_it_holds_the_window_and_lies_in_the_picture(data):
    width, height = (data.draw(st.integers(1, 3000)) for _ in range(2))
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    left, top, across, down = surroundings((x, y, w, h), width, height)
    assert 0 <= left <= x and x + w <= left + across <= width
    assert 0 <= top <= y and y + h <= top + down <= height
    assert across >= min(2 * w, width) and down >= min(2 * h, height)

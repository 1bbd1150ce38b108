"""The assignment of antennas: no conflict, half of the best at least, the same for all who ask."""

import itertools
import random

import pytest

from eo_nodes.orbit.assignment import Gaps, Interval, choose, fill

GAPS = Gaps(2, 5)


def drawn(seed, count=9):
    coin = random.Random(seed)
    return [
        Interval(f"sat{coin.randrange(3)}", f"st{coin.randrange(2)}", start := coin.randrange(60),
                 start + coin.randrange(3, 25), coin.randrange(1, 10), i)
        for i in range(count)
    ]  # fmt: skip


def compete(a, b):
    """The rule, written anew: too close at one station, or for one satellite."""
    gap = max(2 if a.station == b.station else -1, 5 if a.satellite == b.satellite else -1)
    return gap >= 0 and a.start_ns < b.end_ns + gap and b.start_ns < a.end_ns + gap


def is_free(some):
    return not any(compete(a, b) for a, b in itertools.combinations(some, 2))


def best_of(passes):
    """Weight of the best choice of whole passes, by trying all."""
    return max(
        sum(p.weight for p in some)
        for n in range(len(passes) + 1)
        for some in itertools.combinations(passes, n)
        if is_free(some)
    )


@pytest.mark.parametrize("seed", range(25))
def test_whole_passes_are_at_least_half_of_the_best(seed):
    passes = drawn(seed)
    taken = choose(passes, GAPS)
    assert is_free(taken)
    assert 2 * sum(p.weight for p in taken) >= best_of(passes)


def test_the_bound_is_used_not_only_kept():
    """Earliest LOS first would take a tenth here, heaviest first less than half."""
    light = [Interval("sat1", "a", 0, 10, 1, 0), Interval("sat2", "a", 9, 30, 10, 1)]
    assert [p.index for p in choose(light, Gaps(0, 0))] == [1]
    row = [Interval(f"sat{i}", "a", 10 * i, 10 * i + 9, 4, i) for i in range(3)]
    assert [p.index for p in choose([*row, Interval("sat9", "a", 0, 30, 5, 9)], Gaps(0, 0))] == [
        0, 1, 2,
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_filling_up_only_adds_and_never_overlaps(seed):
    passes = drawn(seed, 14)
    taken = choose(passes, GAPS)
    every = fill(passes, taken, GAPS, 3)
    assert set(taken) <= set(every)
    assert is_free(every)
    whole = {p.index: p for p in passes}
    for added in [p for p in every if p not in taken]:
        assert added.end_ns - added.start_ns >= 3
        assert whole[added.index].start_ns <= added.start_ns
        assert added.end_ns <= whole[added.index].end_ns


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_the_passes_does_not_matter(seed):
    passes = drawn(seed, 14)
    other = random.Random(seed).sample(passes, len(passes))
    assert choose(other, GAPS) == choose(passes, GAPS)
    assert fill(other, choose(other, GAPS), GAPS, 3) == fill(passes, choose(passes, GAPS), GAPS, 3)


def test_what_is_left_free_goes_to_the_part_that_fits():
    first, second = Interval("sat1", "a", 0, 100, 50, 0), Interval("sat2", "a", 60, 160, 40, 1)
    taken = choose([first, second], GAPS)
    assert taken == [first]
    (_, added) = fill([first, second], taken, GAPS, 10)
    assert (added.satellite, added.start_ns, added.end_ns, added.weight) == ("sat2", 102, 160, 23)

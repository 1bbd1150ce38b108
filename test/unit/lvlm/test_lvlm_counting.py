"""How many of a kind: what competes, where, with which chance, and how far apart."""

from dataclasses import replace

import numpy as np
import pytest

from eo_nodes.lvlm import spectrum
from eo_nodes.lvlm.counting import (
    Counting,
    count,
    logits,
    of_independent,
    peaks,
    plain,
    rule_of,
    shifted,
    widened,
)
from eo_nodes.lvlm.proposals import COUNTED_SCORE, Proposals, keep
from eo_nodes.lvlm.visual_prompts import box, point

PLAIN = plain(2)


def proposals(*rows):
    """(x, y, chance of each kind) of small boxes in [0, 1]."""
    xy = np.array([r[:2] for r in rows], np.float32).reshape(-1, 2)
    kinds = np.array([r[2:] for r in rows], np.float32).reshape(-1, 2)
    return Proposals(kinds.max(1) if rows else np.zeros(0, np.float32),
                     np.concatenate([xy - 0.02, xy + 0.02], 1), kinds,
                     np.zeros((len(rows), 1), np.float32))


FOUND = keep(proposals((0.2, 0.2, 0.95, 0.2), (0.8, 0.2, 0.95, 0.1), (0.3, 0.3, 0.1, 0.95),
                       (0.5, 0.5, 0.05, 0.03)))
PANCHROMATIC, RADAR = (spectrum.codes(spectrum.parse_bands([name])) for name in ("pan", "SAR VV"))


def likeliest(counts):
    return [int(n.argmax()) for n in counts.numbers]


def test_what_is_surely_there_counts_by_its_best_kind():
    found = count(FOUND, PLAIN)
    assert likeliest(found) == [2, 1, 3]
    assert found.presence == pytest.approx(1, abs=1e-3)
    none = count(proposals(), PLAIN)
    assert [n.tolist() for n in none.numbers] == [[1.0]] * 3 and not none.presence.any()


def test_an_area_that_is_pointed_at_holds_what_has_its_centre_in_it():
    left = box(0, 0, 0.5, 1)
    assert likeliest(count(FOUND, PLAIN, [left])) == [1, 1, 2]
    assert likeliest(count(FOUND, PLAIN, [point(0.8, 0.2), left])) == [1, 1, 2]
    assert likeliest(count(FOUND, PLAIN, [point(0.8, 0.2)])) == [2, 1, 3]
    away = count(FOUND, PLAIN, [box(0.6, 0.6, 0.9, 0.9)])
    assert likeliest(away) == [0, 0, 0] and not away.presence.any()


def test_independent_places_have_the_poisson_binomial_by_hand():
    assert of_independent([]).tolist() == [1.0]
    np.testing.assert_allclose(of_independent([0.5, 0.2]), [0.4, 0.5, 0.1])
    found = of_independent(np.random.default_rng(0).random(48))
    assert len(found) == 49 and found.sum() == pytest.approx(1) and (found >= 0).all()


def test_a_faint_place_counts_with_slope_and_offset_from_the_threshold_on():
    at = float(logits(np.array(COUNTED_SCORE)))
    faint = keep(proposals((0.2, 0.2, 1 / (1 + np.exp(-(at + 0.5))), 0.01)))
    rule = replace(PLAIN, slopes=(2.0, 1.0), offsets=(-1.5, 0.0))
    assert count(faint, rule).numbers[0][1] == pytest.approx(1 / (1 + np.exp(0.5)), abs=1e-5)
    assert count(faint, replace(rule, offsets=(9.0, 0.0))).presence[0] > 0.99


def test_what_is_fainter_than_a_proposal_may_count_too():
    many = keep(proposals(*((0.1 * i, 0.5, 0.1, 0.01) for i in range(10))))
    assert not len(many.score), "too faint to be a place that the decoder is shown"
    rule = replace(PLAIN, slopes=(1.0, 1.0), offsets=(2.0, 0.0))
    assert len(peaks(many, rule).score) == 10
    assert likeliest(count(many, rule))[0] >= 6


def test_a_spread_makes_neighbours_likelier_and_leaves_presence_alone():
    assert widened(np.array([0.2, 0.8]), 0.0).tolist() == [0.2, 0.8]
    wide = widened(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]), 0.5)
    assert wide.sum() == pytest.approx(1) and wide.argmax() == 7
    assert wide[8] == pytest.approx(wide[7] / 2) == pytest.approx(wide[6])
    assert wide[0] == 0 < wide[1] == pytest.approx(wide[13]) and len(wide) == 14
    before, after = count(FOUND, PLAIN), count(FOUND, replace(PLAIN, spreads=(0.5, 0.0)))
    assert before.presence.tolist() == after.presence.tolist()
    assert after.numbers[0][3] > 0.1 > before.numbers[0][2:][1:].sum()


def test_a_sensor_has_a_rule_of_its_own():
    odd = Counting((-4.0, 0.5), (2.0, 2.0), (0.0, 1.0), (0.1, 0.2))
    table = {"sar": odd}
    assert rule_of(table, PANCHROMATIC, 2) == PLAIN
    assert rule_of(table, RADAR, 2) == odd
    both = rule_of(table, np.concatenate([PANCHROMATIC, RADAR]), 2)
    assert both.shifts == (-2.0, 0.25) and both.slopes == (3.0, 3.0)
    # 0.95 becomes 0.26, and 0.2 beside it 0.29: the first kind was never shown there.
    assert likeliest(count(FOUND, odd))[0] == 0
    odds = 0.95 / 0.05 * np.exp(0.5)
    assert shifted(FOUND, odd).score.max() == pytest.approx(odds / (1 + odds), abs=1e-5)
    assert shifted(FOUND, PLAIN) is FOUND.offered
    assert shifted(proposals(), odd).score.shape == (0,)


@pytest.mark.parametrize("row", [
    ((0.0,), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0)), ((0.0,), (0.0,), (0.0,), (0.0,)),
    ((0.0,), (1.0,), (0.0,), (1.0,)), ((0.0,), (1.0,), (0.0,), (-0.1,)),
    ((float("nan"),), (1.0,), (0.0,), (0.0,))])
def test_a_rule_that_cannot_be_meant_is_refused(row):
    with pytest.raises(ValueError, match="counting"):
        Counting(*row)


def test_shares_of_sensors_that_round_below_zero_mix_all_the_same():
    wide = {of: replace(PLAIN, spreads=(0.6, 0.6)) for of in ("optical", "sar", "thermal")}
    one, other = (spectrum.codes(spectrum.parse_bands([n])) for n in ("SAR VV", "thermal"))
    for radar in range(1, 7):
        for thermal in range(1, 7):
            codes = np.concatenate([one] * radar + [other] * thermal)
            assert rule_of(wide, codes, 2).spreads == pytest.approx((0.6, 0.6))


def test_what_only_fills_up_an_offer_is_no_peak():
    rows = proposals((0.2, 0.2, 0.9, 0.1), (0.21, 0.2, 0.85, 0.1))
    found = keep(replace(rows, score=np.array([0.9, 0.0], np.float32)))
    assert len(peaks(found, replace(PLAIN, shifts=(0.5, 0.0))).score) == 1

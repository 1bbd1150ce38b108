"""How many objects of a kind the vision graph saw, as chances of each number.

Theory of operation: peaks of the heat map are places where an object may be. Kinds compete at a
place, shifted as the sensor needs; what wins is there with a chance that was measured for sensor
and kind, and places are independent, so the chance of n objects is the Poisson binomial
distribution's. Objects that the heat map misses together are not independent: the distribution is
widened by a spread that was measured too. Counting what is above a threshold instead leaves out
many faint objects of a crowd, and says nothing of how sure the number is
(``training.decoder.counting`` measures all of it, and prints both beside each other).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm import spectrum
from eo_nodes.lvlm.proposals import COUNTED_SCORE, Proposals, keep
from eo_nodes.lvlm.visual_prompts import VisualPrompt, rasterise

Float = NDArray[np.float32]
Double = NDArray[np.float64]
FARTHEST = 6  # numbers on either side that a spread reaches
FAINTEST = 0.02  # least score of a peak that may count
_MOST = 48  # peaks that count at most: as many as the graph offers of a view
_AREAS = ("box", "mask")  # places that hold proposals; a point holds none
_GRID = 128  # cells a side, by which it is told whether a proposal lies in a place
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_EDGE = 1e-6  # of a chance, where its logit is taken
_CENTRE = float(np.log(COUNTED_SCORE / (1 - COUNTED_SCORE)))


@dataclass(frozen=True, slots=True)
class Counting:
    """How the peaks of a sensor's pictures count; of each kind one number in every field.

    shifts: added to the logits before kinds compete. A kind that was never shown in a sensor's
    pictures wins there where nothing holds it down.
    slopes, offsets: a peak of logit x counts with the chance
    sigmoid(slope (x + shift - logit of ``COUNTED_SCORE``) + offset).
    spreads: how much less likely each further number is, [0, 1); 0: only what is counted."""

    shifts: tuple[float, ...]
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]
    spreads: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ValueError: fields of different lengths, or out of range."""
        every = [getattr(self, f.name) for f in fields(self)]
        if len({len(v) for v in every}) != 1 or not all(np.isfinite(v).all() for v in every):
            raise ValueError(f"counting {every}")
        if min(self.slopes, default=1) <= 0 or any(not 0 <= v < 1 for v in self.spreads):
            raise ValueError(f"counting: slopes {self.slopes}, spreads {self.spreads}")


def plain(kinds: int) -> Counting:
    """Of a sensor of which nothing was measured: close to a threshold."""
    return Counting((0.0,) * kinds, (4.0,) * kinds, (0.0,) * kinds, (0.0,) * kinds)


def rule_of(table: Mapping[str, Counting], codes: Float, kinds: int) -> Counting:
    """For a picture: that of its sensor, or the mean by shares where bands are of several.

    table: of each of ``spectrum.SENSORS``; codes: (C, CODE_SIZE) of the picture's bands.
    """
    # Differences of single precision: none of them is below zero.
    shares = np.clip(np.array(spectrum.sensor_shares(codes), np.float64), 0.0, None)
    shares /= shares.sum()
    rules = [table.get(s, plain(kinds)) for s in spectrum.SENSORS]
    mean = {f.name: sum(share * np.array(getattr(rule, f.name))
                        for share, rule in zip(shares, rules, strict=True))
            for f in fields(Counting)}
    return Counting(**{name: tuple(values.tolist()) for name, values in mean.items()})


def logits(chances: Float) -> Double:
    """Of chances, finite."""
    clipped = np.clip(chances.astype(np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)))


def shifted(found: Proposals, rule: Counting) -> Proposals:
    """What the views offered, with the kinds' chances as they compete.

    found: as ``proposals.keep`` gives it. The decoder learned on places as they are offered; only
    what is counted and listed is shifted.
    """
    offered = found if found.offered is None else found.offered
    if not any(rule.shifts):
        return offered
    kinds = (1 / (1 + np.exp(-(logits(offered.kinds) + rule.shifts)))).astype(np.float32)
    # Score 0 is no peak: so the graph fills up what it offers of a small picture.
    score = np.where(offered.score > 0, kinds.max(1, initial=0), 0).astype(np.float32)
    return replace(offered, kinds=kinds, score=score)


def peaks(found: Proposals, rule: Counting) -> Proposals:
    """Those that may count, no doubles."""
    return keep(shifted(found, rule), _MOST, FAINTEST)


def inside(found: Proposals, places: Sequence[VisualPrompt]) -> NDArray[np.bool_]:
    """(n,) whether the centre lies in the first of the places that is an area; no area: all do."""
    area = next((p for p in places if p.kind in _AREAS), None)
    if area is None or not len(found.score):
        return np.ones(len(found.score), bool)
    weight = rasterise(area, _WHOLE, _GRID, _GRID)
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    column, row = np.clip((centres * _GRID).astype(np.int64), 0, _GRID - 1).T
    return np.asarray(weight[row, column] > 0)


def odds_of(scores: Float, rule: Counting, kind: int) -> Double:
    """(n,) logarithm of the odds that a peak of this score is an object of the kind."""
    return np.asarray(rule.slopes[kind] * (logits(scores) - _CENTRE) + rule.offsets[kind])


def there(scores: Float, rule: Counting, kind: int) -> Double:
    """(n,) chance that a peak of this score is an object of the kind."""
    return np.asarray(1 / (1 + np.exp(-odds_of(scores, rule, kind))))


def of_independent(chances: Sequence[float] | Double) -> Double:
    """(n + 1,) chance of each number of n independent events (Poisson binomial)."""
    out = np.ones(1)
    for chance in chances:
        out = np.convolve(out, (1 - chance, chance))
    return out


def widened(numbers: Double, spread: float) -> Double:
    """A distribution over numbers, as wide again as ``Counting.spreads`` says."""
    if spread <= 0:
        return numbers
    weights = spread ** np.abs(np.arange(-FARTHEST, FARTHEST + 1))
    out = np.convolve(numbers, weights)[FARTHEST:]
    return np.asarray(out / out.sum())


@dataclass(frozen=True, slots=True)
class Counts:
    """presence: (K + 1,) chance that there is one of each kind, of any; numbers: of each kind and
    of all (n,) chances of 0, 1, 2... Spreads were measured for kinds: that of all has none."""

    presence: Double
    numbers: tuple[Double, ...]


def count(found: Proposals, rule: Counting, places: Sequence[VisualPrompt] = ()) -> Counts:
    """Count proposals, as ``proposals.keep`` gives them, in a place or everywhere.

    places: on this image; where one is an area, only what has its centre in it counts.
    """
    some = peaks(found, rule)
    kinds = len(rule.shifts)
    best = some.kinds.argmax(1) if len(some.score) else np.zeros(0, np.int64)
    counted = inside(some, places)
    each = [of_independent(there(some.score[counted & (best == k)], rule, k))
            for k in range(kinds)]
    every = np.ones(1)
    for numbers in each:
        every = np.convolve(every, numbers)
    presence = 1 - np.array([numbers[0] for numbers in (*each, every)])
    wide = [widened(n, s) for n, s in zip(each, rule.spreads, strict=True)]
    return Counts(presence, (*wide, every))

"""Order of the sets in training: both gaps at once, or first the view from above, then physics.

Progressive cross-modal alignment of Earth-OneVision (arXiv 2606.10819) trains in two stages: the
viewpoint first (optical pictures from above), imaging physics second (SAR, thermal,
multispectral). EarthGPT-X (arXiv 2504.12795) trains in one. How much of the first stage is repeated
in the second is not published; the share here is our choice.
"""

import numpy as np

from training.instruct.sources import SETS

REPLAY = 0.25              # of the second stage's batches come from the first stage's sets
PHYSICS = ("sar", "thermal", "multispectral", "fusion")


def is_physics(name):
    """Whether a set needs more than the view from above to be learnt."""
    return SETS[name].modality in PHYSICS


class TwoStages:
    """`odds_at` of a `BatchSource`: step -> odds of its sets.

    names, odds: of the source, one-stage. steps: of the whole training. Every set gets as many
    batches in the mean as in one stage, so the two orders differ in nothing but the order.

    Attributes: boundary: first step of the second stage.
    """

    def __init__(self, names, odds, steps, replay=REPLAY):
        odds = np.asarray(odds, float) / np.sum(odds)
        late = np.array([is_physics(n) for n in names])
        early_share = odds[~late].sum()
        if late.all() or not late.any():
            raise ValueError("both stages need a set of their own")
        replay = min(replay, early_share / 2)
        # early = boundary + (1 - boundary) * replay must be what one stage would give.
        boundary = (early_share - replay) / (1 - replay)
        self.boundary = round(steps * boundary)
        self.first = np.where(late, 0, odds) / early_share
        self.second = replay * self.first + (1 - replay) * np.where(
            late, odds, 0) / odds[late].sum()

    def __call__(self, step):
        return self.first if step < self.boundary else self.second

"""Distillation through projectors conditioned on wavelength, after MaKA of GeoLangBind.

The pupil's map is normalised, n, and becomes n + gamma * n + beta with gamma and beta made from the
mean code of the batch's bands, then goes to the teacher's width. The loss is SmoothL1 + MSE +
(1 - cosine) to the teacher's normalised vectors.
"""

import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.spectrum import CODE_SIZE
from training.vision import teachers as known

SHARE = 0.25               # of all distillation in the loss; our choice
_HIDDEN = 128


class Projector(nn.Module):
    """(..., pupil), codes (C, CODE_SIZE) -> (..., teacher)."""

    def __init__(self, pupil, teacher, hidden=_HIDDEN):
        super().__init__()
        self.pupil = pupil
        self.condition = nn.Sequential(nn.Linear(CODE_SIZE, hidden), nn.GELU(),
                                       nn.Linear(hidden, 2 * pupil))
        for value in self.condition[2].parameters():      # starts as a plain norm
            nn.init.zeros_(value)
        self.out = nn.Sequential(nn.Linear(pupil, hidden), nn.GELU(), nn.Linear(hidden, teacher))

    def conditioned(self, x, band_codes):
        """n + gamma * n + beta."""
        n = functional.layer_norm(x, (self.pupil,))
        gamma, beta = self.condition(band_codes.mean(0)).chunk(2)
        return n + gamma * n + beta

    def forward(self, x, band_codes):
        return self.out(self.conditioned(x, band_codes))


def distance(said, wanted):
    """SmoothL1 + MSE + (1 - cosine), mean over vectors (..., D)."""
    said = said.float()
    return (functional.smooth_l1_loss(said, wanted) + functional.mse_loss(said, wanted)
            + (1 - functional.cosine_similarity(said, wanted, dim=-1)).mean())


class Distillation(nn.Module):
    """Teachers and their projectors; only the projectors train and are stored.

    teachers: of `teachers.load`; network: the pupil, whose widths are read.
    """

    def __init__(self, teachers, network):
        super().__init__()
        self._teachers = {t.name: t for t in teachers}           # not a part: never stored
        pupil = {0: 2 * network.cell_dim, 4: network.config.depth,
                 16: network.backbone.widths[2]}
        self.projectors = nn.ModuleDict({t.name: Projector(pupil[t.stride], t.dim)
                                         for t in teachers})

    @classmethod
    def of(cls, names, data, network):
        """From names of `teachers.TEACHERS`."""
        return cls(known.load(names, data), network)

    def to(self, *args, **kwargs):
        for teacher in self._teachers.values():
            teacher.to(*args, **kwargs)
        return super().to(*args, **kwargs)

    def forward(self, found, pooled, batch):
        """{teacher's name: loss} of the teachers that have something to say of the batch."""
        losses = {}
        for name, teacher in self._teachers.items():
            with torch.no_grad():
                wanted = teacher(batch)
            if wanted is None:
                continue
            if teacher.stride == 0:
                have = pooled
            else:
                have = found["pixel"] if teacher.stride == 4 else found["maps"][2]
                have, wanted = have.permute(0, 2, 3, 1), wanted.permute(0, 2, 3, 1)
            wanted = functional.layer_norm(wanted.float(), (wanted.shape[-1],))
            said = self.projectors[name](have, batch["codes"])
            losses[f"maka_{name}"] = SHARE * teacher.weight * distance(said, wanted)
        return losses

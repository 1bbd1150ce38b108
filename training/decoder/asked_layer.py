"""The layer that says what is asked for, and how far the vision graph is believed there."""

import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.told import size_of
from training.decoder.asked import sizes_of

SILENT = 8.0                    # logit of "something else" at first
WORD_SCALE = 10.0               # word vectors of MiniLM have a deviation near 0.07
_LEAST = 1e-6                   # of a weight, whose logarithm stays finite


class Asked(nn.Module):
    """What the prompt asks for -> logarithms of weights, as `told.Told` takes them.

    It reads the state of the prompt's end, and the mean of the prompt's words beside it: the state
    is that of a picture too, and alone it needs more examples to know the same wording on another.

    heads: (name, outputs) of the vision network.
    trust (size - 1,): how far the vision graph's answer is believed, for each thing asked for, in
    [0, 1], as measured on val (`training.decoder.told`), 1 until then. Of boxes it stays 1: whether
    these are told at all stands in the folder's configuration.
    """

    def __init__(self, width, kinds, heads):
        super().__init__()
        size = size_of(kinds, *sizes_of(heads))
        self.scores = nn.utils.skip_init(nn.Linear, 2 * width, size)
        nn.init.zeros_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)
        self.scores.bias.data[-1] = SILENT
        self.register_buffer("trust", torch.ones(size - 1))

    def read(self, state, words):
        """state (N, width), words (N, T, width) of the prompt -> (N, size) logits."""
        return self.scores(torch.cat([state, WORD_SCALE * words.mean(1)], -1))

    def forward(self, state, words):
        """As `read` -> (N, size)."""
        told = self.read(state, words).softmax(-1)[:, :-1] * self.trust
        rest = 1 - told.sum(-1, keepdim=True)
        return torch.cat([told, rest], -1).clamp_min(_LEAST).log()

    def loss(self, logits, places):
        """Of what is asked for (N,), whatever it is worth. Places beyond (of a decoder that knows
        fewer kinds) are something else."""
        return functional.cross_entropy(logits, places.clamp_max(len(self.trust)))

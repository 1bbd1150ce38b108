"""From trunk tokens to visual tokens: one a cell, and a few that summarise the picture in words.

The heads that the trunk was tuned with stay: each class head's probabilities mix the word vectors
of its classes into one token, label heads likewise, and the counts per cell add up to one token.
So the language model reads what the trunk knows as if it were written, and needs little training.
"""

import math

import torch
from torch import nn

FREQUENCIES = (1.0, 2.0, 4.0)
COUNT_MARKS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60)
WORD_SCALE = 10.0        # word vectors have a deviation near 0.07


class Projector(nn.Module):
    """Features (N, T, D), geometry (N, T, 4), tags (N, 4) -> (N, T + summary_tokens, width).

    heads: (name, size) pairs; ``class_*`` are softmax, ``label_*`` sigmoid. kinds: of objects that
    the dense head counts.
    """

    def __init__(self, dim, width, heads, kinds):
        super().__init__()
        self.heads = tuple(map(tuple, heads))
        self.norm = nn.LayerNorm(dim)
        self.cell = nn.Linear(dim, width)
        self.place = nn.Linear(4 * len(FREQUENCIES) + 2, width)
        self.tags = nn.ModuleList(nn.Embedding(n, width) for n in (2, 2, 4, 6))
        self.pool_norm, self.cell_norm = nn.LayerNorm(2 * dim), nn.LayerNorm(dim)
        self.pooled = nn.ModuleDict({k: nn.Linear(2 * dim, n) for k, n in self.heads})
        self.words = nn.ParameterDict({k: nn.Parameter(torch.randn(n, width)) for k, n in heads})
        self.dense = nn.Linear(dim, kinds)
        self.cell_counts = nn.Linear(kinds, width)
        self.total_counts = nn.Linear(kinds * len(COUNT_MARKS), width)
        self.kind = nn.Embedding(len(self.heads) + 1, width)
        marks = torch.tensor(COUNT_MARKS, dtype=torch.float).log1p()
        self.register_buffer("marks", marks, persistent=False)
        for table in [*self.tags, self.kind]:
            nn.init.normal_(table.weight, std=0.1)
        self.out = nn.LayerNorm(width)

    @property
    def summary_tokens(self):
        return len(self.heads) + 1

    def summarise(self, features, counts):
        """(N, T, D), (N, T, kinds) -> (N, summary_tokens, width)."""
        pooled = self.pool_norm(torch.cat([features.mean(1), features.amax(1)], -1))
        tokens = []
        for name, _ in self.heads:
            scores = self.pooled[name](pooled)
            chance = scores.softmax(-1) if name.startswith("class") else scores.sigmoid()
            tokens.append(chance @ self.words[name])
        total = ((counts.clamp(0, 5).exp() - 1).sum(1) + 1).log()
        basis = torch.exp(-((total[..., None] - self.marks) / 0.2) ** 2)
        tokens.append(self.total_counts(basis.flatten(1)))
        return torch.stack(tokens, 1) + self.kind.weight

    def forward(self, features, geometry, tags):
        centre, size = geometry[..., :2], geometry[..., 2:]
        waves = [f(math.pi * k * centre) for k in FREQUENCIES for f in (torch.sin, torch.cos)]
        place = self.place(torch.cat([*waves, size.clamp_min(1e-3).log() / 4], -1))
        counts = self.dense(self.cell_norm(features))
        cells = self.cell(self.norm(features)) + self.cell_counts(counts) + place
        x = torch.cat([cells, self.summarise(features, counts)], 1)
        kind, composite, frame, modality = (t(tags[:, i]) for i, t in enumerate(self.tags))
        return self.out(x + (kind + composite + frame + modality)[:, None])

    def start_from_heads(self, state, names, word_vector):
        """Take over the trunk's heads.

        state: their parameters; names: {head: [name of each output]}; word_vector: name -> vector.
        """
        for key in ("pool_norm", "cell_norm", "dense"):
            for leaf in ("weight", "bias"):
                getattr(getattr(self, key), leaf).data = state[f"{key}.{leaf}"].clone()
        for head, n in self.heads:
            for leaf in ("weight", "bias"):
                value = state[f"pooled.{head}.{leaf}"][:n].clone()
                getattr(self.pooled[head], leaf).data = value
            vectors = [word_vector(name) for name in names[head]]
            self.words[head].data = WORD_SCALE * torch.stack(vectors)

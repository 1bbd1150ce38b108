"""From what the vision network sees to visual tokens of the decoder's width.

Four kinds of token: one a cell (all encoder depths joined), a few that summarise the picture in
words (each head's probabilities mix the vectors of the words they stand for), regions (proposals
of the heat map, and visual prompts), and the change between two images. So the decoder reads what
the vision network knows as if it were written, and learns to copy places instead of guessing them.
"""

import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.proposals import MOST
from eo_nodes.lvlm.sight import TAG_LIMITS
from training.decoder.places import CODE, place_code

COUNT_MARKS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60)
WORD_SCALE = 10.0         # word vectors of MiniLM have a deviation near 0.07
TEXT_DIM = 384
PAIR_TOKENS = 2


class Projector(nn.Module):
    """heads: (name, outputs) pairs of the vision network; kinds: how many the heat map knows."""

    def __init__(self, cell_dim, depth, width, heads, kinds):
        super().__init__()
        self.heads = tuple(map(tuple, heads))
        self.norm = nn.LayerNorm(cell_dim)
        self.cell = nn.Linear(cell_dim, width)
        self.place = nn.Linear(2 * CODE + 2, width)
        self.tags = nn.ModuleList(nn.Embedding(n, width) for n in TAG_LIMITS)
        self.words = nn.ParameterDict({k: nn.Parameter(torch.randn(n, width)) for k, n in heads})
        self.meaning = nn.Linear(TEXT_DIM, width)
        marks = torch.tensor(COUNT_MARKS, dtype=torch.float).log1p()
        self.register_buffer("marks", marks, persistent=False)
        self.totals = nn.Linear(2 * kinds * len(COUNT_MARKS), width)
        self.kind = nn.Embedding(len(self.heads) + 2, width)
        self.box = nn.Linear(4 * CODE, width)
        self.region_kind = nn.Linear(kinds + 2, width)
        self.region_look = nn.Sequential(nn.LayerNorm(depth), nn.Linear(depth, width))
        self.rank = nn.Embedding(MOST, width)
        self.pair = nn.Sequential(nn.LayerNorm(2 * depth), nn.Linear(2 * depth,
                                                                     PAIR_TOKENS * width))
        for table in [*self.tags, self.kind, self.rank]:
            nn.init.normal_(table.weight, std=0.1)
        self.out = nn.LayerNorm(width)
        self.cell_channels = None      # of the cells, how many are read; None all (for ablation)

    @property
    def summary_tokens(self):
        return len(self.heads) + 2

    def tag(self, tags):
        """(N, 4) -> (N, 1, width)."""
        return sum(t(tags[:, i]) for i, t in enumerate(self.tags))[:, None]

    def cells(self, cells, geometry, tags, more=0.0):
        """cells (N, T, cell_dim), geometry (N, T, 4) centre and size in units of the scene ->
        (N, T, width). more: added before the norm, as of the methods below."""
        if self.cell_channels is not None:         # first comes the deepest encoder map
            kept = torch.arange(cells.shape[-1], device=cells.device) < self.cell_channels
            cells = cells * kept
        place = torch.cat([place_code(geometry[..., :2]).flatten(-2),
                           geometry[..., 2:].clamp_min(1e-3).log() / 4], -1)
        return self.out(self.cell(self.norm(cells)) + self.place(place) + self.tag(tags) + more)

    def counted(self, log_counts):
        """(N, n) logarithm of one plus a count -> (N, n * marks), soft steps."""
        return torch.exp(-((log_counts[..., None] - self.marks) / 0.2) ** 2).flatten(1)

    def summary(self, chances, meaning, totals, peaks, tags):
        """chances {head: (N, n)}; meaning (N, 384) unit vector; totals, peaks (N, kinds): what the
        cells count and how many proposals there are, as log(1 + n) -> (N, S, width)."""
        tokens = [chances[k] @ self.words[k] for k, _ in self.heads]
        tokens.append(self.meaning(meaning) * 4)
        tokens.append(self.totals(self.counted(torch.cat([totals, peaks], -1))))
        return self.out(torch.stack(tokens, 1) + self.kind.weight + self.tag(tags))

    def regions(self, boxes, look, kinds, score, is_prompt, rank, tags, more=0.0):
        """boxes (N, R, 4) x1 y1 x2 y2 in [0, 1]; look (N, R, depth); kinds (N, R, K); score,
        is_prompt (N, R); rank (N, R) order of reading, 0 for prompts -> (N, R, width)."""
        # The width is said, not left to the exporter: of no regions it cannot be worked out.
        place = self.box(place_code(boxes.clamp(0, 1)).reshape(*boxes.shape[:2], 4 * CODE))
        kind = self.region_kind(torch.cat([kinds, score[..., None], is_prompt[..., None]], -1))
        order = functional.embedding(rank.clamp_max(MOST - 1), self.rank.weight)
        return self.out(place + kind + self.region_look(look)
                        + order * (1 - is_prompt[..., None]) + self.tag(tags) + more)

    def change(self, pooled, more=0.0):
        """(N, 2 depth) mean and maximum of the pair map -> (N, PAIR_TOKENS, width)."""
        return self.out(self.pair(pooled).unflatten(-1, (PAIR_TOKENS, -1)) + more)

    def start_words(self, names, vector_of):
        """names {head: [word of each output]}; vector_of: word -> (width,)."""
        for head, _ in self.heads:
            self.words[head].data = WORD_SCALE * torch.stack([vector_of(n) for n in names[head]])


class DualProjector(nn.Module):
    """For a `DualNetwork`: a projector trained on the coarse one, to whose tokens is added what the
    fine one sees; nothing at first. Methods as `Projector` has them."""

    def __init__(self, coarse, cell_dim, depth):
        super().__init__()
        self.coarse, width = coarse, coarse.out.normalized_shape[0]
        self.sizes = (cell_dim, depth)
        self.cell, self.look, self.pair = (
            nn.Sequential(nn.LayerNorm(n), nn.Linear(n, out)) for n, out in (
                (cell_dim, width), (depth, width), (2 * depth, PAIR_TOKENS * width)))
        for part in (self.cell, self.look, self.pair):
            nn.init.zeros_(part[1].weight)
            nn.init.zeros_(part[1].bias)

    heads = property(lambda self: self.coarse.heads)
    place = property(lambda self: self.coarse.place)
    summary_tokens = property(lambda self: self.coarse.summary_tokens)

    def cells(self, cells, geometry, tags):
        n = self.sizes[0]
        return self.coarse.cells(cells[..., n:], geometry, tags, self.cell(cells[..., :n]))

    def summary(self, *given):
        return self.coarse.summary(*given)

    def regions(self, boxes, look, *others):
        n = self.sizes[1]
        return self.coarse.regions(boxes, look[..., n:], *others, self.look(look[..., :n]))

    def change(self, pooled):
        fine, coarse = halves(pooled, self.sizes[1])
        return self.coarse.change(coarse, self.pair(fine).unflatten(-1, (PAIR_TOKENS, -1)))


def halves(pooled, depth):
    """(N, 2 D) mean and maximum of two maps side by side -> those of the first one's ``depth``
    channels, those of the other's."""
    mean, most = pooled.chunk(2, -1)
    return (torch.cat([mean[..., :depth], most[..., :depth]], -1),
            torch.cat([mean[..., depth:], most[..., depth:]], -1))

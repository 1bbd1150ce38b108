"""Metrics and the loop that puts a held-out exam to an exported model."""

import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

import numpy as np

from eo_nodes.lvlm.session import DecodeSession
from eo_nodes.lvlm.views import prepare
from training.cache_features import views_of


class Sighted:
    """The runtime model, remembering visual tokens so that each picture is seen once."""

    def __init__(self, model):
        self._model, self._seen = model, {}

    def __getattr__(self, name):
        return getattr(self._model, name)

    def run_vision(self, pixels, geometry, tags):
        key = (pixels.shape, geometry.tobytes(), tags.tobytes(), hash(pixels.tobytes()))
        if key not in self._seen:
            if len(self._seen) > 64:
                self._seen.clear()
            self._seen[key] = self._model.run_vision(pixels, geometry, tags)
        return self._seen[key]

    def inputs(self, sample):
        return prepare(views_of(sample, 1), self._model.config.input_size,
                       self._model.config.upscale)


class Blind(Sighted):
    """The same model shown a grey picture of the same size and modality."""

    def inputs(self, sample):
        return [replace(i, pixels=np.zeros_like(i.pixels)) for i in super().inputs(sample)]


def sit(model, pairs, max_tokens=24):
    """Yield (index, finished session) for every (sample, question), picture by picture."""
    by_sample = defaultdict(list)
    for i, (s, _) in enumerate(pairs):
        by_sample[s.key].append(i)
    for places in by_sample.values():
        inputs = model.inputs(pairs[places[0]][0])
        for i in places:
            ids = model.encode(pairs[i][1].prompt, max_tokens)
            yield i, DecodeSession(model, inputs, ids, max_tokens)


def thin(pairs, most, seed=0):
    """At most ``most`` pairs, drawn with a seed, in their old order."""
    if len(pairs) <= most:
        return pairs
    return [pairs[i] for i in sorted(random.Random(seed).sample(range(len(pairs)), most))]


def wilson(right, n, z=1.96):
    """95 % interval of a share, in per cent."""
    p, d = right / n, 1 + z * z / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * (centre - half) / d, 100 * (centre + half) / d


@dataclass(slots=True)
class Score:
    """right: exact answers; error: mean absolute error of counts, else None."""

    n: int
    right: int
    error: float | None = None

    @property
    def percent(self):
        return 100 * self.right / self.n


def score(pairs, answers):
    """Exact match, and for counts the mean absolute error (no number counts as 0)."""
    right = sum(a == q.answer for a, (_, q) in zip(answers, pairs, strict=True))
    error = None
    if pairs[0][1].kind == "count":
        error = float(np.mean([abs(int(q.answer) - (int(a) if a.isdigit() else 0))
                               for a, (_, q) in zip(answers, pairs, strict=True)]))
    return Score(len(pairs), right, error)


def _grams(text, n):
    words = text.lower().replace(".", " ").replace(",", " ").split()
    return Counter(tuple(words[i:i + n]) for i in range(len(words) - n + 1))


def cider(candidates, references):
    """Plain CIDEr: cosine of tf-idf over 1- to 4-grams, times ten; document frequencies of the
    references given. Source: Vedantam 2015, own implementation."""
    total = np.zeros(len(candidates))
    for n in range(1, 5):
        refs = [[_grams(r, n) for r in rs] for rs in references]
        seen = Counter(g for rs in refs for g in set().union(*rs))
        weigh = {g: math.log(len(refs) / c) for g, c in seen.items()}
        rare = math.log(len(refs))

        def vector(grams, weigh=weigh, rare=rare):
            size = max(1, sum(grams.values()))
            v = {g: c / size * weigh.get(g, rare) for g, c in grams.items()}
            return v, math.sqrt(sum(x * x for x in v.values())) or 1.0

        for i, (candidate, rs) in enumerate(zip(candidates, refs, strict=True)):
            v, length = vector(_grams(candidate, n))
            for r in rs:
                w, other = vector(r)
                dot = sum(x * w.get(g, 0.0) for g, x in v.items())
                total[i] += dot / length / other / len(rs)
    return float(total.mean() * 10 / 4)


def bleu4(candidates, references):
    """Corpus BLEU-4 in per cent with closest-length brevity penalty."""
    logs, length, closest = 0.0, 0, 0
    for n in range(1, 5):
        hit = count = 0
        for c, rs in zip(candidates, references, strict=True):
            grams = _grams(c, n)
            most = Counter()
            for r in rs:
                most |= _grams(r, n)
            hit += sum((grams & most).values())
            count += sum(grams.values())
            if n == 1:
                size = sum(grams.values())
                length += size
                closest += min((sum(_grams(r, 1).values()) for r in rs),
                               key=lambda x, size=size: (abs(x - size), x))
        logs += math.log(max(hit, 1e-9) / max(count, 1)) / 4
    return 100 * min(1.0, math.exp(1 - closest / max(1, length))) * math.exp(logs)

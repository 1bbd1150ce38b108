"""Cells of the language space: classes by name, scenes by a sentence, SAR by an optical tile.

Vectors of pictures are kept beside the answers (see ``run``); sentences are embedded anew. A limit
draws questions, never what is searched: a sentence looks for its picture among all of the split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eo_nodes.lvlm.journal import Journal
from training.evaluation.metrics import ACCURACY, RECALLS, recall_hit, right
from training.evaluation.rows import Row, interval, is_reached, marked, told_by_draw
from training.evaluation.run import Plan, Progress
from training.evaluation.sets import Sample, draw, samples
from training.evaluation.subject import Subject
from training.instruct.nouns import CLASS_NAMES
from training.instruct.sources import Library

NEEDS = {
    "eurosat_rgb.names": "embed",
    "aid_rsicd.names": "embed",
    "aid_rsicd.text_to_scene": "embed",
    "s1s2_pairs.match_signature": "signature",
    "s1s2_pairs.match": "sensors",
    "s1s2_pairs.match_vectors": "embed",
}
# How two sensors' images are compared: by the matching vectors, by asking, by the language space.
MATCH_TYPES = {
    "match_signature": "SAR tile among ten", "match": "SAR tile among ten, asked",
    "match_vectors": "SAR tile among ten, by the language space"}
ASKED_MOST = 60
MATCH_TARGETS = {"compact": 83.0, "regular": 88.0}
NAMES = tuple(NEEDS)
TASKS = {"eurosat_rgb.names": "classification", "aid_rsicd.names": "classification",
         "aid_rsicd.text_to_scene": "caption"}
TEMPLATE = "a satellite image of {name}"


class Spaces:
    """One model's language space on one data folder."""

    def __init__(self, subject: Subject, library: Library, plan: Plan, progress: Progress):
        self._subject, self._library, self._plan = subject, library, plan
        self._progress = progress

    def lacking(self, name: str) -> str:
        """What the model cannot do that the cell needs, or an empty string."""
        return "" if NEEDS[name] in self._subject.abilities else NEEDS[name]

    def rows(self, name: str) -> list[Row]:
        """Rows of one of ``NAMES``."""
        set_name, kind = name.split(".")
        chosen = samples(self._library, set_name, self._plan.split)
        if kind.startswith("match"):
            # Of a part of the set some questions lack candidates.
            ids = {s.id for s in chosen}
            chosen = [s for s in chosen if ids.issuperset(s.facts["candidates"])]
        if not chosen:
            return []
        many = self._plan.limit_of(self._subject.name, name)
        if kind == "text_to_scene":
            return self._text_to_scene(set_name, chosen, many)
        if kind == "match":
            # Asking takes ten answers a picture.
            many = max(1, many // 10) if many else ASKED_MOST
        is_drawn = 0 < many < len(chosen)
        if is_drawn:
            chosen = sorted(chosen, key=lambda s: draw(s.id))[:many]
        if kind == "names":
            return self._by_name(set_name, chosen)
        return self._match(name, chosen, is_drawn)

    def _vectors(self, name: str, chosen: Sequence[Sample]) -> np.ndarray:
        """(N, 384) image vectors."""
        folder = self._plan.folder(self._subject)
        with Journal(folder / f"{name}.vectors.jsonl") as journal:
            known = {r["key"]: r["vector"] for r in journal}
            for sample in chosen:
                if sample.id not in known:
                    vector = self._subject.embed_image(sample.images[0])
                    known[sample.id] = [round(float(x), 6) for x in vector]
                    journal.append({"key": sample.id, "vector": known[sample.id]})
                    self._progress(f"{name}.vectors", 1)
        return np.array([known[s.id] for s in chosen], np.float32)

    def _by_name(self, name: str, chosen: Sequence[Sample]) -> list[Row]:
        """The class whose name lies nearest."""
        names = sorted(set(CLASS_NAMES[name].values()))
        texts = self._subject.embed_text([TEMPLATE.format(name=n) for n in names])
        best = (self._vectors(name, chosen) @ texts.T).argmax(1)
        hits = np.array([right(names[b] == CLASS_NAMES[name][s.facts["label"]])
                         for b, s in zip(best, chosen, strict=True)])
        return [self._row(name, "classification", "class by name", hits, [s.id for s in chosen],
                          100 / len(names))]

    def _text_to_scene(self, name: str, pictures: Sequence[Sample], many: int) -> list[Row]:
        """Reference sentences look for their own picture among all. many: sentences; 0: all."""
        asked = [(f"{s.id}#{j}", i, c) for i, s in enumerate(pictures)
                 for j, c in enumerate(s.facts["captions"])]
        if 0 < many < len(asked):
            asked = sorted(asked, key=lambda a: draw(a[0]))[:many]
        distinct = sorted({c for _, _, c in asked})
        places = {c: i for i, c in enumerate(distinct)}
        scores = self._subject.embed_text(distinct) @ self._vectors(name, pictures).T
        keys = [key for key, _, _ in asked]
        made = []
        for k, metric in RECALLS.items():
            hits = np.array([right(recall_hit(scores[places[c]], i, k)) for _, i, c in asked])
            chance = 100 * min(1.0, k / len(pictures))
            row = self._row(name, "caption", "text to scene", hits, keys, chance,
                            [pictures[i].id for _, i, _ in asked])
            row.metric = metric
            row.marks = (f"among {len(pictures)} pictures", *row.marks)
            made.append(row)
        return made

    def _match(self, cell: str, chosen: Sequence[Sample], is_drawn: bool) -> list[Row]:
        """The SAR tile of an optical tile among ten."""
        name, kind = cell.split(".")
        everything = {s.id: s for s in samples(self._library, name, self._plan.split)}
        vectors: dict[tuple[str, int], np.ndarray] = {}

        def vector(sample_id: str, image: int) -> np.ndarray:
            """Of one tile, made once."""
            key = sample_id, image
            if key not in vectors:
                see = (self._subject.signature if kind == "match_signature"
                       else self._subject.embed_image)
                vectors[key] = see(everything[sample_id].images[image])
            return vectors[key]

        def score(own: str, other: str) -> float:
            if kind == "match":
                return self._subject.match(everything[own].images[0],
                                           everything[other].images[1])
            return float(vector(own, 0) @ vector(other, 1))

        hits = []
        with Journal(self._plan.folder(self._subject) / f"{cell}.jsonl") as journal:
            known = {r["key"]: r["right"] for r in journal}
            for sample in chosen:
                if sample.id not in known:
                    scores = {c: score(sample.id, c) for c in sample.facts["candidates"]}
                    best = max(scores.values())
                    # A tie is no answer.
                    known[sample.id] = [c for c in scores if scores[c] == best] == [sample.id]
                    journal.append({"key": sample.id, "right": known[sample.id]})
                    self._progress(cell, 1)
                hits.append(right(known[sample.id]))
        row = self._row(name, "grounding", MATCH_TYPES[kind], np.array(hits),
                        [s.id for s in chosen], 10.0)
        if self._plan.split == "test":
            row.majority, row.probe = 6.8, 76.0
            if kind == "match_signature":
                row.target = MATCH_TARGETS[self._subject.size]
                row.reached = told_by_draw(row) if is_drawn else is_reached(row)
        row.modality = "optical and sar"
        return [row]

    def _row(
        self, name: str, category: str, kind: str, hits: np.ndarray, keys: Sequence[str],
        chance: float, clusters: Sequence[str] | None = None,
    ) -> Row:
        """keys: of the questions, which are also the clusters where none are given."""
        clusters = keys if clusters is None else clusters
        row = Row(
            model=self._subject.name, category=category, modality="optical", set=name, type=kind,
            metric=ACCURACY, value=ACCURACY.value(hits.sum(0)), n=len(hits),
            ci95=interval(ACCURACY, hits, clusters), clusters=len(set(clusters)), majority=chance,
            keys=keys, vectors=hits, clusters_of=clusters,
        )
        row.marks = marked(row)
        return row

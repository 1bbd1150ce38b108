"""What a session at a tap knows about where the prompt looks: attention, proposals, cell meanings.

All of it is a by-product of the answer. Only cosines need the prompt's sentence as a vector: the
asker's side can send it along, or ``text_space`` makes it (about a tenth of the compact model's
compute, so not by default).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.calibration import Calibration
from eo_nodes.lvlm.sight import CELL_PX
from eo_nodes.lvlm.unified_scene import Scene

Floats = NDArray[np.float64]

KIND_WORDS = {
    "aircraft": ("aircraft", "airplane", "plane", "jet", "airliner", "helicopter"),
    "vehicle": ("vehicle", "car", "van", "truck", "lorry", "bus", "minibus", "traffic"),
    "ship": ("ship", "vessel", "boat"),
    "person": ("person", "people", "pedestrian", "human"),
    "tree": ("tree", "crown"),
    "bicycle": ("bicycle", "bike", "cyclist"),
}
"""Words by which a prompt names a kind of the heat map, in the singular."""
LEAST_CHANCE = 0.01
"""Of a proposal that counts."""
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Seen:
    """Of the first image.

    Attributes:
        attention: (rows, columns) in [0, 1]. boxes: (n, 4) x1 y1 x2 y2 in [0, 1].
        chances: (n,) that there is a thing of a kind that the prompt names.
        meanings: (rows, columns, 384) cells in the language space, unit length; or empty.
    """

    attention: Floats
    boxes: Floats
    chances: Floats
    meanings: Floats


def named_kinds(prompt: str, kinds: Sequence[str]) -> Floats:
    """(K,) 1 for each kind that the prompt names, else 0."""
    words = {form for word in _WORD.findall(prompt.lower()) for form in _singulars(word)}
    return np.array([float(any(w in words for w in KIND_WORDS.get(k, (k,)))) for k in kinds])


def chances_of(kinds: Floats, named: Floats) -> Floats:
    """(n,) that a proposal is of a kind that the prompt names.

    A kind's chance is high for much that stands out where nobody had told the network that it is
    not of this kind. So it counts less, by the square, the more chance another kind has that the
    prompt does not name.

    Args:
        kinds: (n, K) chances, each for itself. named: (K,) 1 for what the prompt names.
    """
    own = (kinds * named).max(axis=1, initial=0.0)
    other = (kinds * (1 - named)).max(axis=1, initial=0.0)
    return np.asarray(own * np.minimum(1.0, own / np.maximum(other, 1e-6)) ** 2)


def _singulars(word: str) -> tuple[str, ...]:
    return (word, word.removesuffix("s"), word.removesuffix("es"))


def seen_of(session: Any, prompt: str, model: Any) -> Seen:
    """Cues of a session of any family; one without a scene has attention alone.

    Proposals are all that any view offered, not the few that the decoder reads: those are the most
    striking of any kind, and what the prompt names may not be among them. Their chances are put on
    one scale where the model's calibration says how.

    Args:
        session: at a tap. model: whose it is.
    """
    attention = np.asarray(session.tap().relevance, np.float64)
    scene = getattr(session, "scene", None)
    if not isinstance(scene, Scene):
        return Seen(attention, np.zeros((0, 4)), np.zeros(0), np.zeros((0, 0, 0)))
    found = scene.regions[0].offered or scene.regions[0]
    named = named_kinds(prompt, model.config.kinds)
    told = model.calibration
    scale = told.kinds if isinstance(told, Calibration) else None
    kinds = found.kinds.astype(np.float64) if scale is None else scale.chances(found.kinds)
    chances = chances_of(kinds, named)
    counts = chances >= LEAST_CHANCE
    feed, seen = scene.seen[0]
    rows, cols = (side // CELL_PX for side in feed.pixels.shape[2:])
    meanings = seen.cell_meaning[0].astype(np.float64).reshape(rows, cols, -1)
    return Seen(attention, found.boxes[counts].astype(np.float64), chances[counts], meanings)


def cosines(meanings: Floats, sentence: Floats) -> Floats:
    """(rows, columns) cosine of each cell to the prompt's sentence (384,); empty without cells."""
    if meanings.ndim != 3 or 0 in meanings.shape:
        return np.zeros((0, 0))
    length = np.linalg.norm(meanings, axis=2) * np.linalg.norm(sentence)
    return np.asarray(meanings @ sentence / np.maximum(length, 1e-9))

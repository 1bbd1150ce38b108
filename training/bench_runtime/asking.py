"""The question that both sides answer, by the session that flies. Nothing here needs torch.

An answer is timed in the parts that `UnifiedModel.begin` and `decode` consist of: sight (resizing,
vision graph, proposals, scene tokens), prompt (its run and the state of tap 1), tokens (grammar
mask, greedy choice, pointer and a run each). Times are of the processor, so that other programs on
the machine hardly count.
"""

import contextlib
import ctypes
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_session import UnifiedSession

ROOT = Path(__file__).resolve().parents[2]
SCENE = ROOT / "sim/assets/scenes/planetscope_rgb__long_beach_planet.png"
SIDE_PX, QUESTION, TOKENS = 512, "Find all ships.", 24
THREADS = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of one answer; runs: of the decoder graph within `tokens`; macs: up to tap 1."""

    sight: float
    prompt: float
    tokens: float
    runs: float
    macs: int
    ids: tuple

    @property
    def first(self):
        """Until tap 1."""
        return self.sight + self.prompt

    @property
    def token(self):
        return self.tokens / len(self.ids)

    @property
    def loop(self):
        """Of a token, what is no run of the graph."""
        return (self.tokens - self.runs) / len(self.ids)


class Metered:
    """A decoder whose runs are timed."""

    def __init__(self, decoder):
        self._decoder, self.spent_s = decoder, 0.0

    def __getattr__(self, name):
        return getattr(self._decoder, name)

    def run(self, *given):
        begin = time.process_time()
        found = self._decoder.run(*given)
        self.spent_s += time.process_time() - begin
        return found


def picture():
    """The middle of a scene of this repository."""
    values = cv2.cvtColor(cv2.imread(str(SCENE)), cv2.COLOR_BGR2RGB)
    y, x = ((n - SIDE_PX) // 2 for n in values.shape[:2])
    values = np.ascontiguousarray(values[y : y + SIDE_PX, x : x + SIDE_PX])
    return Picture(values, ("red", "green", "blue"), "optical")


def opened(folder):
    """The model of a folder, without its self test, its decoder metered."""
    model = UnifiedModel(Path(folder), "", RuntimeOptions(threads=THREADS))
    model.decoder = Metered(model.decoder)
    return model


def give_back():
    """Hand what loading freed back to the system, as our runtime does behind each session."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def ask(model, seen, tokens=TOKENS):
    """One answer of at most ``tokens`` tokens; as `UnifiedModel.begin` and `decode` do it."""
    clock = time.process_time
    at = [clock()]
    ids = model.encode(QUESTION, tokens)
    scene = model.lay_out([seen], (), len(ids), tokens, None)
    at.append(clock())
    session = UnifiedSession(model, scene, ids, tokens, None)
    session.tap()
    at.append(clock())
    macs, model.decoder.spent_s = session.macs, 0.0
    session.decode(tokens)
    at.append(clock())
    sight, prompt, decoding = np.diff(at)
    return Turn(sight, prompt, decoding, model.decoder.spent_s, macs,
                tuple(session.token_ids))

"""Decoding token by token: the cache kept in the runtime, beside the cache handed over as arrays.

Both ways run the same graph (models/compact) on the same inputs in turns, block by block, after
a prompt of 100 and of 1,000 visual tokens; logits are compared bit by bit. The figure is the median
of the blocks' ratios of tokens per second of processor time (one thread, so that other programs on
the machine hardly count). Beside it stands the machine's own limit: how often its memory could be
read for the weights of one token.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import EoError
from eo_nodes.graph.paths import project_file
from eo_nodes.lvlm.runtime import RuntimeOptions, open_session, run_graph, run_record
from eo_nodes.lvlm.runtime_cache import CachedDecoder
from eo_nodes.lvlm.unified_config import read_unified

from .figures import Figure, Outcome, figure_of
from .stats import summarise

_CONTEXTS = (100, 1000)
_BLOCK, _ROUNDS, _WARM_UP = 16, 24, 2
_READ_MB = 128


class Decoders:
    """The graph, run both ways."""

    def __init__(self, folder: Path) -> None:
        self.config = read_unified(folder)
        self.options = RuntimeOptions(threads=1)
        self.session = open_session(folder / "decoder.onnx", self.options)
        names = [i.name for i in self.session.get_inputs() if i.name.startswith("past")]
        self._pairs = {name: name.replace("past", "present", 1) for name in names}
        self._cached = CachedDecoder(self.session, self._pairs)
        self._none = np.zeros((1, 0, self.config.width), np.float32)

    @property
    def weight_bytes(self) -> int:
        """Of the float32 matrices that one token reads."""
        return 4 * self.config.decoder_macs(1, 0)

    def feed(self, place: int, visual: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Inputs of one token."""
        return {"tokens": np.array([[place % 50 + 5]], np.int64), "visual": visual,
                "places": np.array([[place % 64]], np.int64)}

    def handles(self, visual: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        """Tokens per processor second of a block, and the last logits."""
        cache = self._cached.empty(self._cached.empty_shapes)
        self._cached.run(self.feed(0, visual), cache, ("logits",))
        begin = time.process_time()
        for place in range(1, _BLOCK + 1):
            (logits,) = self._cached.run(self.feed(place, self._none), cache, ("logits",))
        return _BLOCK / (time.process_time() - begin), logits

    def arrays(self, visual: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        """The same with arrays."""
        names = ["logits", *self._pairs.values()]
        held = [np.zeros(shape, np.float32) for shape in self._cached.empty_shapes.values()]

        def step(place: int, seen: NDArray[np.float32]) -> NDArray[np.float32]:
            feed = {**self.feed(place, seen), **dict(zip(self._pairs, held, strict=True))}
            logits, *held[:] = run_graph(self.session, feed, names)
            return logits

        step(0, visual)
        begin = time.process_time()
        for place in range(1, _BLOCK + 1):
            logits = step(place, self._none)
        return _BLOCK / (time.process_time() - begin), logits


def read_rate(values: NDArray[np.float32]) -> float:
    """Bytes per processor second at which memory is read, far beyond the caches."""
    begin = time.process_time()
    values.sum()
    return values.nbytes / (time.process_time() - begin)


def outcome() -> Outcome:
    """Run the benchmark. Raises `EoError` without a model."""
    decoders = Decoders(project_file("models/compact"))
    memory = np.ones(_READ_MB << 18, np.float32)
    read_rate(memory)
    figures: list[Figure] = []
    details: dict[str, Any] = {"record": run_record(decoders.session, decoders.options).as_dict()}
    for context in _CONTEXTS:
        rng = np.random.default_rng(context)
        visual = rng.normal(size=(1, context, decoders.config.width)).astype(np.float32)
        ours, theirs, limits = [], [], []
        for turn in range(_ROUNDS + _WARM_UP):
            # Who goes first changes, so that neither always meets a warm cache.
            ways = [decoders.handles, decoders.arrays][:: 1 if turn % 2 else -1]
            found = {way.__name__: way(visual) for way in ways}
            if not np.array_equal(found["handles"][1], found["arrays"][1]):
                raise EoError("the two ways differ in their logits")
            if turn >= _WARM_UP:
                ours.append(found["handles"][0])
                theirs.append(found["arrays"][0])
                limits.append(read_rate(memory) / decoders.weight_bytes)
        ratios = summarise([a / b for a, b in zip(ours, theirs, strict=True)])
        name = f"decode after {context} tokens"
        figures += [
            figure_of(f"{name}, cache kept / as arrays", ratios, "x", limit=1.0, at_least=True,
                      note="tokens/s, interleaved, bits equal"),
            figure_of(f"{name}, cache kept", summarise(ours), "tokens/s",
                      note="one thread, processor time"),
            figure_of(f"{name}, share of the memory's rate",
                      summarise([100 * a / b for a, b in zip(ours, limits, strict=True)]), "%",
                      limit=40.0, at_least=True, note="float32 weights read once a token"),
        ]
        details[f"context_{context}"] = {"handles": ours, "arrays": theirs,
                                         "limit": limits}
    return Outcome(tuple(figures), details)

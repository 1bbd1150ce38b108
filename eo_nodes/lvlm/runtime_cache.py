"""A decoder graph whose KV cache never leaves the runtime.

Theory of operation: every ``past`` input has a ``present`` output that holds it grown by the new
tokens. After a run the handle of a present tensor is bound as the next run's past; no array is made
of it, on no device. What the graph itself does with it (a Concat copies once inside) is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.runtime import CancelFlag, graph_error, input_types

_DEVICES = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}


class CachedDecoder:
    """One decoder graph; a ``Cache`` a conversation.

    Args:
        session: of the graph.
        pairs: past input -> present output.
    """

    def __init__(self, session: ort.InferenceSession, pairs: Mapping[str, str]) -> None:
        self._session, self.pairs = session, dict(pairs)
        self.types = input_types(session)
        shapes = {i.name: i.shape for i in session.get_inputs()}
        outputs = [o.name for o in session.get_outputs()]
        for past, present in self.pairs.items():
            if past not in shapes or present not in outputs:
                raise ModelError(f"the decoder lacks {past} or {present}")
        self.inputs = tuple(n for n in shapes if n not in self.pairs)
        self.outputs = tuple(n for n in outputs if n not in self.pairs.values())
        self.past_shapes = {name: shapes[name] for name in self.pairs}
        self._device = _DEVICES.get(session.get_providers()[0], "cpu")

    @property
    def empty_shapes(self) -> dict[str, tuple[int, ...]]:
        """Per past input, where the graph leaves nothing free but the number of tokens."""
        return {name: tuple(d if isinstance(d, int) else 0 for d in shape)
                for name, shape in self.past_shapes.items()}

    def empty(self, shapes: Mapping[str, Sequence[int]]) -> Cache:
        """Return an empty cache; shapes: per past input, with a 0 where tokens are counted."""
        return Cache({
            name: ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, self.types[name]))
            for name, shape in shapes.items()
        })

    def run(
        self, feed: Mapping[str, NDArray[Any]], cache: Cache, outputs: Sequence[str],
        cancel: CancelFlag | None = None,
    ) -> list[NDArray[Any]]:
        """Run once and grow the cache.

        Args:
            feed: every input that is no past. outputs: wanted beside the cache.
        Raises:
            Cancelled: by the flag; the cache is as before. ModelError: the graph failed.
        """
        binding = self._session.io_binding()
        names = [*outputs, *self.pairs.values()]
        # Bound memory must outlive the run, hence the list.
        held = [np.ascontiguousarray(feed[n], self.types[n]) for n in self.inputs]
        try:
            for name, array in zip(self.inputs, held, strict=True):
                binding.bind_cpu_input(name, array)
            for past, value in cache.values.items():
                binding.bind_ortvalue_input(past, value)
            for name in outputs:
                binding.bind_output(name, "cpu")
            for name in self.pairs.values():
                binding.bind_output(name, self._device)
            self._session.run_with_iobinding(binding, cancel.run_options if cancel else None)
            values = dict(zip(names, binding.get_outputs(), strict=True))
        except Exception as error:  # onnxruntime's errors share no base but Exception
            raise graph_error(error, cancel) from error
        cache.values = {past: values[present] for past, present in self.pairs.items()}
        return [values[name].numpy() for name in outputs]


class Cache:
    """Handles of the past tensors of one conversation, by input name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one past tensor."""
        return tuple(self.values[name].shape())

"""What the regular folder borrows: the recipe by which set-up puts its frozen weights together.

The language model's layers come from a package, the compact decoder's matrices and the compact
vision network from the folder beside: byte ranges of its graphs, which are stored once so.
"""

import json
from dataclasses import asdict, replace

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from eo_nodes.lvlm.assemble import Recipe, Sibling
from eo_nodes.lvlm.assemble import folder as assembly
from eo_nodes.lvlm.assemble.llama import ALIGNMENT, Slot
from eo_nodes.lvlm.manifest import sha256_of
from eo_nodes.lvlm.unified_config import WEIGHTS
from training.decoder.llama import STORAGE

PREFIX = "compact."             # of the names of the decoder's matrices that are lent
NETWORK, COARSE = "network.", "network.coarse."     # of a vision network alone, and as the coarse
LEAST_BYTES = 256               # of a tensor of the vision network, else it is not worth a range
_DTYPES = {TensorProto.INT8: "int8", TensorProto.FLOAT: "<f4"}


class Lender:
    """A graph file of the folder beside; keeps what is taken of it, in order."""

    def __init__(self, path, end):
        self.path, self.end, self.pieces = path, end, []
        self._data = path.read_bytes()
        self.held = {t.name: t for t in onnx.load(str(path)).graph.initializer}

    def offers(self, name):
        """Whether the tensor's bytes lie in the file, once."""
        raw = self.held[name].raw_data if name in self.held else b""
        return bool(raw) and self._data.count(raw) == 1

    def take(self, name, called):
        """`Slot` of a tensor under another name, behind what was taken before."""
        if not self.offers(name):
            raise ValueError(f"{name} does not lie once in {self.path.name}")
        tensor = self.held[name]
        self.pieces.append((self._data.find(tensor.raw_data), len(tensor.raw_data)))
        offset = -(-self.end // ALIGNMENT) * ALIGNMENT
        self.end = offset + len(tensor.raw_data)
        return Slot(called, tuple(tensor.dims), _DTYPES[tensor.data_type], offset)

    def sibling(self):
        """For the recipe."""
        return Sibling(self.path.parent.name, self.path.name, sha256_of(self.path),
                       tuple(self.pieces))


def lent_matrices(lender, names):
    """[`Slot`] of matrices of the compact decoder, int8 and scale."""
    return [lender.take(name + stored, PREFIX + name + kind)
            for name in names for stored, kind in ((".int8", ""), (".scale", ".scale"))]


def lend_vision(path, lender):
    """Let the coarse network's tensors of the graph ``path`` lie outside, as the lender has them.

    Raises:
        ValueError: the lender's network is another one.
    """
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        name = NETWORK + tensor.name.removeprefix(COARSE)
        if not tensor.name.startswith(COARSE) or not lender.offers(name) or (
                len(tensor.raw_data) < LEAST_BYTES):
            continue
        own, other = (numpy_helper.to_array(t).astype(np.float32)
                      for t in (tensor, lender.held[name]))
        # Rounded anew, the largest of a channel may fall on the other side of a half.
        if own.shape != other.shape or np.abs(own - other).max() > 1.001 * (
                1 if tensor.data_type == TensorProto.INT8 else 1e-5 + 1e-4 * np.abs(other).max()):
            raise ValueError(f"{lender.path} holds another {name}")
        slot = lender.take(name, tensor.name)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", slot.offset),
                           ("length", slot.size_bytes)):
            tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())


def write_weights(folder, source, model, kept, lenders):
    """Frozen weights, and the recipe that makes them again from package and compact folder.

    kept: as `assemble.llama.tensors` takes it; lenders: `Lender`s in the order of their ranges.
    """
    draft = Recipe(source.package, source.version, source.file, sha256_of(source.path),
                   tuple(model.config.wide.taken), tuple(kept), STORAGE, WEIGHTS, "",
                   tuple(lender.sibling() for lender in lenders))
    digest = assembly.write_weights(source.open(), draft, folder / WEIGHTS,
                                    lenders[0].path.parent.parent)
    recipe = replace(draft, target_sha256=digest)
    (folder / assembly.RECIPE).write_text(json.dumps(asdict(recipe)) + "\n")
    for name in ("decoder.onnx", "vision.onnx"):
        onnx.checker.check_model(str(folder / name))

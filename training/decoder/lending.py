"""What the regular folder borrows: the recipe by which set-up puts its frozen weights together.

The language model's layers come from a package, the compact decoder's matrices and the compact
vision network from the folder beside: byte ranges of its graphs, which are stored once so. What a
scene expert leaves as published are byte ranges of the file of its package.
"""

import json
from dataclasses import asdict, replace

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from eo_nodes.lvlm.assemble import Packaged, Recipe, Sibling
from eo_nodes.lvlm.assemble import folder as assembly
from eo_nodes.lvlm.assemble.llama import ALIGNMENT, Slot
from eo_nodes.lvlm.manifest import sha256_of
from eo_nodes.lvlm.unified_config import WEIGHTS
from training.decoder.llama import STORAGE
from training.vision.expert import (
    BASE,
    PACKAGE,
    PACKAGE_NAME,
    PACKAGE_VERSION,
    PATH_INSIDE,
)

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


class PackageLender:
    """The file of the expert's package; keeps what is taken of it, in order."""

    def __init__(self, path, end):
        self.path, self.end, self.pieces = path, end, []
        self._data = path.read_bytes()

    def take(self, tensor):
        """`Slot` of an ONNX tensor whose bytes lie in the file, once."""
        raw = tensor.raw_data
        if not raw or self._data.count(raw) != 1:
            raise ValueError(f"{tensor.name} does not lie once in {self.path.name}")
        self.pieces.append((self._data.find(raw), len(raw)))
        offset = -(-self.end // ALIGNMENT) * ALIGNMENT
        self.end = offset + len(raw)
        return Slot(tensor.name, tuple(tensor.dims), "<f4", offset)

    def packaged(self):
        """For the recipe."""
        return Packaged(PACKAGE_NAME, PACKAGE_VERSION, f"{PACKAGE}/{PATH_INSIDE}",
                        sha256_of(self.path), tuple(self.pieces))


def lend_base(path, lender):
    """Let what an expert leaves as published lie outside of the graph ``path``."""
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.name.endswith(BASE):
            _put_outside(tensor, lender.take(tensor))
    path.write_bytes(model.SerializeToString())


def _put_outside(tensor, slot):
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", slot.offset),
                       ("length", slot.size_bytes)):
        tensor.external_data.add(key=key, value=str(value))


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
        _put_outside(tensor, lender.take(name, tensor.name))
    path.write_bytes(model.SerializeToString())


def write_weights(folder, source, model, kept, lenders, packaged=()):
    """Frozen weights, and the recipe that makes them again from packages and compact folder.

    kept: as `assemble.llama.tensors` takes it; lenders: `Lender`s in the order of their ranges;
    packaged: `PackageLender`s, whose ranges follow.
    """
    draft = Recipe(source.package, source.version, source.file, sha256_of(source.path),
                   tuple(model.config.wide.taken), tuple(kept), STORAGE, WEIGHTS, "",
                   tuple(lender.sibling() for lender in lenders),
                   tuple(lender.packaged() for lender in packaged))
    digest = assembly.write_weights(source.open(), draft, folder / WEIGHTS,
                                    lenders[0].path.parent.parent)
    recipe = replace(draft, target_sha256=digest)
    (folder / assembly.RECIPE).write_text(json.dumps(asdict(recipe)) + "\n")
    for name in ("decoder.onnx", "vision.onnx"):
        onnx.checker.check_model(str(folder / name))

"""A model folder in PyTorch: its graphs as the modules they were exported from, run in the place of
onnxruntime's sessions by the code that flies.

Weights come from the folder itself: initialisers carry the modules' names, and those stored as
int8 are multiplied by their scales, as the runtime does when it loads them.
"""

import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import onnx
import torch

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.unified_config import read_unified
from training.bench_runtime import asking
from training.decoder.graphs import DecoderGraph, PairGraph, SceneGraph, VisionGraph
from training.decoder.model import Decoder, DecoderConfig
from training.decoder.projector import Projector
from training.stored import weights_of
from training.vision.network import VisionConfig, VisionNetwork

_TYPES = {onnx.TensorProto.FLOAT: "tensor(float)", onnx.TensorProto.INT64: "tensor(int64)"}
_TRUNKS = {16: "lite0", 23: "lite2"}          # by their number of blocks
# What graphs hold in another form (tables, joined products) or do not use at all.
_NOT_IN_GRAPHS = ("network.", "projector.", "model.projector.", "model.words.", "model.marks.",
                  "model.place_", "model.query_bias", "model.layers.")


class Folder:
    """The modules of a folder whose decoder is `training.decoder.model.Decoder`."""

    def __init__(self, folder):
        self.folder, self.config = Path(folder), read_unified(Path(folder))
        self._graphs = {n: onnx.load(str(self.folder / f"{n}.onnx")).graph
                        for n in ("vision", "scene", "pair", "decoder")}
        self._weights = {n: weights_of(self.folder / f"{n}.onnx") for n in self._graphs}
        if len(self.config.streams) > 1 or "products.0.weight" not in self._weights["decoder"]:
            raise ModelError(f"{folder}: no PyTorch modules are known for its decoder")
        sight, names = self._weights["vision"], "network.pooled."
        heads = tuple((n.split(".")[2], len(v)) for n, v in sight.items()
                      if n.startswith(names) and n.endswith(".bias"))
        blocks = {int(n.split(".")[3]) for n in sight if n.startswith("network.backbone.blocks.")}
        c, stream = self.config, self.config.streams[-1]
        self._network = VisionNetwork(
            VisionConfig(_TRUNKS[len(blocks)], c.kinds, heads, c.depth,
                         len(sight["network.match.bias"])), pretrained=False)
        self._decoder = Decoder(DecoderConfig(
            stream.layers, c.words, self._network.cell_dim, heads, len(c.kinds), c.depth,
            c.positions, len(self._weights["decoder"]["model.ask.bias"]), width=stream.width,
            heads=stream.heads,
            pointer_dim=len(self._weights["decoder"]["model.held.bias"])))
        if "model.asked.trust" not in self._weights["decoder"]:   # a folder that is told nothing
            self._decoder.asked = None

    def module(self, name):
        """The module of a graph, by its name, with the folder's weights."""
        projector: Projector = self._decoder.projector
        made = {"vision": lambda: VisionGraph(self._network, projector),
                "scene": lambda: SceneGraph(projector),
                "pair": lambda: PairGraph(self._network, projector),
                "decoder": lambda: DecoderGraph(self._decoder)}[name]()
        missing, unknown = made.load_state_dict(self._weights[name], strict=False)
        lost = [m for m in missing if not m.startswith(_NOT_IN_GRAPHS)]
        if unknown or lost:
            raise ModelError(f"{self.folder}: {name}.onnx lacks {lost}, has {unknown}")
        return made.eval().requires_grad_(False)

    def session(self, name, change):
        """A `Session` of a graph; change: what becomes of its module, e.g. torch.compile."""
        graph = self._graphs[name]
        return Session(change(self.module(name)), [_described(i) for i in graph.input],
                       [_described(o) for o in graph.output])


def _described(value):
    kind = value.type.tensor_type
    return SimpleNamespace(name=value.name, type=_TYPES[kind.elem_type],
                           shape=[d.dim_value or d.dim_param for d in kind.shape.dim])


class Session:
    """What of `onnxruntime.InferenceSession` our runtime uses, on a module."""

    def __init__(self, module, inputs, outputs):
        self._module, self._inputs, self._outputs = module, inputs, outputs

    def get_inputs(self):
        return self._inputs

    def get_outputs(self):
        return self._outputs

    @staticmethod
    def get_providers():
        return ["PyTorch"]

    def __call__(self, feed):
        """{name: tensor} -> {name: tensor}."""
        with torch.inference_mode():
            found = self._module(*(feed[i.name] for i in self._inputs))
        found = found if isinstance(found, tuple) else (found,)
        return dict(zip((o.name for o in self._outputs), found, strict=True))

    def run(self, names, feed, options=None):
        found = self({n: torch.from_numpy(v) for n, v in feed.items()})
        return [found[n].numpy() for n in names or found]

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, options=None):
        found = self(binding.inputs)
        binding.found = [Handle(found[n]) for n in binding.wanted]


class Handle:
    """A tensor in the place of an OrtValue."""

    def __init__(self, tensor):
        self.tensor = tensor

    def numpy(self):
        return self.tensor.numpy()

    def shape(self):
        return tuple(self.tensor.shape)


class Binding:
    """In the place of onnxruntime's: no tensor is copied."""

    def __init__(self):
        self.inputs, self.wanted, self.found = {}, [], []

    def bind_cpu_input(self, name, array):
        self.inputs[name] = torch.from_numpy(array)

    def bind_ortvalue_input(self, name, value):
        is_ours = isinstance(value, Handle)
        self.inputs[name] = value.tensor if is_ours else torch.from_numpy(value.numpy())

    def bind_output(self, name, device):
        self.wanted.append(name)

    def get_outputs(self):
        return self.found


def opened(folder, change=lambda module: module):
    """As `asking.opened`, with PyTorch under it. Raises ModelError."""
    torch.set_num_threads(asking.THREADS)
    held = Folder(folder)
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    with mock.patch("eo_nodes.lvlm.unified.open_session",
                    lambda path, _: held.session(path.stem, change)):
        return asking.opened(folder)

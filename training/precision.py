"""Copies of a model folder in another precision: what storing and computing in int8 cost.

`compute_in_int8`: the decoder computes so, where the released folder only stores so and computes in
float32. `store_as_float`: no weight is rounded; needs the checkpoints that the folder came from.
Both are sealed folders, with the golden answer that they give themselves.
"""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.golden import golden_entry
from eo_nodes.lvlm.manifest import MANIFEST, read_manifest, seal
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.unified import UnifiedModel
from training.decoder import int8

HALF_A_STEP = 0.5 + 1e-3      # of a scale: what rounding may take from a weight


def unpack(path, weights=None):
    """Replace weights stored as int8 by float32: inverse of `decoder.storage`.

    weights: {name: array} as they were before rounding; None: as they are stored.
    Raises ModelError: a weight is not the one that was rounded.
    """
    model = onnx.load(str(path))
    graph = model.graph
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    packed = sorted(n.removesuffix(".int8") for n in held if n.endswith(".int8"))
    whole = {n: held[f"{n}.int8"] * held[f"{n}.scale"] for n in packed}
    if weights is not None:
        plain = [n for n in held if n in weights]
        for name in (*packed, *plain):
            step = held.get(f"{name}.scale", 0.0)
            new, old = weights[name], whole.get(name, held.get(name))
            if new.shape != old.shape or (np.abs(new - old) > HALF_A_STEP * step).any():
                raise ModelError(f"{path}: {name} was not rounded from these weights")
        whole = {n: weights[n] for n in packed}
    gone = {f"{n}.{part}" for n in packed for part in ("int8", "scale", "cast")} | set(packed)
    nodes = [n for n in graph.node if n.output[0] not in gone]
    kept = [t for t in graph.initializer if t.name not in gone]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *(numpy_helper.from_array(v, n) for n, v in whole.items())])
    onnx.save(model, str(path))


def compute_in_int8(folder, out):
    """The copy whose decoder computes in int8. Raises ModelError: its decoder cannot."""
    def change(scratch):
        unpack(scratch / "decoder.onnx")
        if not int8.compute_in_int8(scratch / "decoder.onnx"):
            raise ModelError(f"{folder}: no product of its decoder is large enough for int8")

    _copy(Path(folder), Path(out), change)


def store_as_float(folder, out, model="compact"):
    """The copy whose weights are those of the checkpoints of ``model``.

    Raises ModelError: the folder came from other checkpoints.
    """
    from training.decoder.export import load_decoder
    from training.decoder.graphs import (
        DecoderGraph,
        PairGraph,
        SceneGraph,
        VisionGraph,
        exported_stem,
    )
    from training.decoder.vocabulary import Words
    from training.recipe import CHECKPOINTS

    needed = [CHECKPOINTS / f"{stage}/{model}/{stage}.pt" for stage in ("vision", "decoder")]
    if lost := [str(p) for p in needed if not p.is_file()]:
        raise ModelError(f"weights before rounding are in the checkpoints alone: no {lost[0]}")
    perception, decoder = load_decoder(model, Words(Path(folder) / "tokenizer.json"))
    network, projector = perception.network, decoder.projector
    with exported_stem(network):
        graphs = {"vision": VisionGraph(network, projector), "scene": SceneGraph(projector),
                  "pair": PairGraph(network, projector), "decoder": DecoderGraph(decoder)}
        held = {name: {k: v.detach().numpy() for k, v in graph.state_dict().items()}
                for name, graph in graphs.items()}

    def change(scratch):
        for name, weights in held.items():
            unpack(scratch / f"{name}.onnx", weights)

    _copy(Path(folder), Path(out), change)


def _copy(folder, out, change):
    before = read_manifest(folder)
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns(MANIFEST))
    change(out)
    model = UnifiedModel(out, "", RuntimeOptions())
    golden = golden_entry(model, before.golden["prompt"], before.golden["max_tokens"])
    seal(out, before.family, before.id, list(before.files), golden, before.bands)

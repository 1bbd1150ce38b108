"""Stage 3: write the model folder: four ONNX graphs, tokenizer, configuration, manifest.

    python -m training.decoder.export --model compact --out DIR

The regular size takes its frozen weights from a package (`--source`: the file, if that is not
installed here) and from the compact folder beside which it will lie, and writes the recipe that
`spaceverse models assemble` follows.
Calibration is neutral until it has been fitted.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from torch import nn

from eo_nodes.lvlm.assemble.folder import RECIPE
from eo_nodes.lvlm.calibration import FEATURES
from eo_nodes.lvlm.golden import golden_entry
from eo_nodes.lvlm.manifest import FAMILIES, V2, seal
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.spectrum import CODE_SIZE
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_config import WEIGHTS, Coarse, Stream, UnifiedConfig
from training import schedule
from training.decoder.asked import classes_of
from training.decoder.counting import read_counting
from training.decoder.graphs import export_decoder, export_pair, export_scene, export_vision
from training.decoder.int8 import compute_in_int8
from training.decoder.ladder import LadderDecoder
from training.decoder.ladder_export import export_ladder
from training.decoder.lending import (
    Lender,
    PackageLender,
    lend_base,
    lend_vision,
    lent_matrices,
    write_weights,
)
from training.decoder.llama_export import Source, attach
from training.decoder.storage import SMALLEST_QUANTISED, shorten, store_weights_as_int8
from training.decoder.train import SIZES, check_sight, perception_of, restored_decoder
from training.decoder.vocabulary import PATH, Words
from training.packages import package_file
from training.recipe import CHECKPOINTS
from training.vision.dual import MIRRORS, PLAIN, DualNetwork
from training.vision.expert import BASE, BLOCKS, PACKAGE, PATH_INSIDE
from training.vision.expert import macs_per_cell as expert_macs

GRAPHS = ("vision.onnx", "scene.onnx", "pair.onnx", "decoder.onnx")
GOLDEN_PROMPT, GOLDEN_TOKENS = "What does this image show?", 8
BANDS = ("optical 300-3000 nm, any", "thermal", "SAR VV VH HH HV", "elevation")


def neutral_calibration():
    """Until it is fitted (`calibrate`): the first statistic as it is."""
    stage = {"features": list(FEATURES), "weights": [1.0, 0.0, 0.0, 0.0, 0.0], "bias": 0.0,
             "answer_above": 0.5, "offload_below": 0.2, "ece": 1.0, "n": 0}
    return {"stages": {str(k): stage for k in (1, 2, 3)}}


def macs_per_cell(network, cells=4, bands=3):
    """Multiply-accumulates of a vision network's convolutions for one 32 x 32 px cell."""
    total = 0

    def add(module, _, output):
        nonlocal total
        total += output.shape[2] * output.shape[3] * module.weight.numel()

    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, nn.Conv2d)]
    side = 32 * cells
    with torch.no_grad():
        network(torch.zeros(1, bands, side, side), torch.zeros(bands, CODE_SIZE))
    for hook in hooks:
        hook.remove()
    stem = bands * 9 * network.backbone.stem.width * (side // 2) ** 2
    return (total + stem) // cells**2


def write_folder(folder, *, model_id, network, decoder, words_path, sizes,
                 names=None, counting=None, smallest=SMALLEST_QUANTISED, source=None, compact=None,
                 computes_int8=False):
    """Everything but the card; returns the loaded model.

    sizes: (longest side, upscale) of each network, as `Perception.sizes`.
    names: {head: [label of each output]}, of the classes that it tells; None: it tells none.
    counting: of `counting.read_counting`.
    smallest: own weights of at least so many numbers are stored as int8; None: none are.
    source, compact: `llama_export.Source` and the compact folder, which lend a ladder its weights.
    computes_int8: the decoder without frozen weights computes so too (`int8.compute_in_int8`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    network.eval().to(memory_format=torch.contiguous_format), decoder.eval()
    depth, kinds = network.config.depth, network.config.kinds
    export_vision(network, decoder.projector, folder / "vision.onnx")
    export_scene(decoder.projector, len(kinds), depth, folder / "scene.onnx")
    export_pair(network, decoder.projector, depth, folder / "pair.onnx")
    is_ladder = isinstance(decoder, LadderDecoder)
    (export_ladder if is_ladder else export_decoder)(decoder, folder / "decoder.onnx")
    if computes_int8:
        compute_in_int8(folder / "decoder.onnx")
    for name in GRAPHS if smallest is not None else ():
        store_weights_as_int8(folder / name, smallest, BASE, BLOCKS)
    shutil.copyfile(words_path, folder / "tokenizer.json")
    words, c = Words(words_path), decoder.config
    if is_ladder:
        slots = c.wide.slots()
        matrices = Lender(compact / "decoder.onnx", slots[-1].offset + slots[-1].size_bytes)
        attach(folder / "decoder.onnx",
               [*slots, *lent_matrices(matrices, decoder.frozen_names)])
        eye = Lender(compact / "vision.onnx", matrices.end)
        lend_vision(folder / "vision.onnx", eye)
        others = []
        if network.expert is not None:
            others = [PackageLender(package_file(PACKAGE, PATH_INSIDE), eye.end)]
            lend_base(folder / "vision.onnx", others[0])
        write_weights(folder, source, decoder, words.pieces(source.open()), (matrices, eye), others)
    for name in GRAPHS:
        shorten(folder / name)
    networks = (network.fine, network.coarse) if isinstance(network, DualNetwork) else (network,)
    looks = [len(m) for m in getattr(network, "mirrors", PLAIN[:1])]
    (input_size, upscale, macs), *coarse = (
        (*size, int(macs_per_cell(n)) * times)
        for size, n, times in zip(sizes, networks, looks, strict=True))
    if coarse and network.expert is not None:            # which sees what the coarse network does
        coarse = [(*coarse[0][:2], coarse[0][2] + expert_macs(
            network.expert) * len(network.mirrors[1]))]
    classes, labels = classes_of(network.config.heads, names) if names else ((), None)
    config = UnifiedConfig(
        id=model_id, input_size=input_size, upscale=upscale,
        coarse=Coarse(*coarse[0]) if coarse else None,
        streams=tuple(Stream(*s) for s in c.streams), words=c.words, vocabulary=c.vocabulary,
        positions=c.positions, cls_token=words.cls, end_token=words.end, kinds=tuple(kinds),
        chances=sum(n for _, n in network.config.heads), depth=depth,
        query_bias=decoder.query_bias.item(), spatial=words.slis.ids,
        vision_macs_per_cell=macs, temperature=1.0,
        classes=tuple(classes), labels=labels,
        counting=counting or {})
    (folder / "config.json").write_text(json.dumps(config.as_json(), indent=1) + "\n")
    (folder / "calibration.json").write_text(json.dumps(neutral_calibration(), indent=1) + "\n")
    model = UnifiedModel(folder, "", RuntimeOptions())
    names = [*FAMILIES[V2], *((RECIPE, WEIGHTS) if is_ladder else ())]
    seal(folder, V2, model_id, names, golden_entry(model, GOLDEN_PROMPT, GOLDEN_TOKENS),
         BANDS)
    return model


def load_decoder(model, words, source=None, compact=None):
    """(perception, decoder) of the checkpoints of a model; the rest as `write_folder` takes it."""
    perception = perception_of(model, compact, mirrors=MIRRORS)
    path = CHECKPOINTS / "decoder" / model / "decoder.pt"
    state = schedule.restore(path)
    check_sight(state, perception, path)
    return perception, restored_decoder(state, words, source, compact).eval()


def write_model(folder, model, source=None, compact=None, computes_int8=False):
    """`write_folder` of the checkpoints of a size; returns (perception, decoder)."""
    perception, decoder = load_decoder(model, Words(), source, compact)
    write_folder(folder, model_id=model, network=perception.network, decoder=decoder,
                 words_path=PATH, sizes=perception.sizes, names=perception.names,
                 counting=read_counting(model), source=source,
                 compact=compact, computes_int8=computes_int8)
    return perception, decoder


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=("compact", "regular"), required=True)
    p.add_argument("--compact", type=Path, default=Path("models/compact"),
                   help="folder that lends the regular decoder its layers")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--source", type=Path, help="file of the frozen weights")
    p.add_argument("--int8", action="store_true",
                   help="the compact decoder computes in int8, not only its file is")
    a = p.parse_args()
    if a.int8 and SIZES[a.model].is_frozen:
        p.error("frozen weights are computed with in float32")
    source = Source.find(a.source) if SIZES[a.model].is_frozen else None
    write_model(a.out, a.model, source, a.compact, a.int8)
    sizes = {f.name: f.stat().st_size for f in a.out.iterdir()}
    print(sizes, "sum", sum(sizes.values()))


if __name__ == "__main__":
    main()

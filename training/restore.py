"""Checkpoints from released folders, so that training goes on where none are left.

    python -m training.restore --data DIR [--compact models/compact] [--regular models/regular]

Writes what a further training of the decoders begins with: both vision networks, the adapters by
which the language model reads pictures, the compact decoder; steps, minutes and loss curves as the
folders' records hold them. Weights are those that the graphs compute with:
rounded to int8 once, which rounding again does not change. Optimisers start anew (`--again`), and
what no graph holds, as the text query of the vision stage, is as a new network has it: so the
decoder can be trained on, the vision network of a folder not.
Checkpoints that are there are kept.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from eo_nodes.lvlm.assemble import llama as layout
from eo_nodes.lvlm.unified_config import read_unified
from training import schedule
from training.decoder.llama import LlamaDecoder, LlamaDecoderConfig
from training.decoder.llama_export import READERS, Source
from training.decoder.model import MARKS, Decoder, DecoderConfig
from training.decoder.vocabulary import PATH, Words
from training.instruct.sources import Library
from training.recipe import CHECKPOINTS
from training.stored import put, weights_of
from training.vision.dual import UNUSED, put_weights
from training.vision.network import VisionConfig, VisionNetwork
from training.vision.plan import KINDS
from training.vision.targets import Vocabulary

PARTS = ("vision.onnx", "scene.onnx", "pair.onnx")


def held_in(folder, prefix):
    """{name behind the prefix: tensor} of the graphs around the decoder."""
    return {name.removeprefix(prefix): value for part in PARTS
            for name, value in weights_of(folder / part).items() if name.startswith(prefix)}


def places_of(module, rows):
    """Give a linear layer of place codes the weights that make these vectors of all places."""
    codes = torch.cat([module.bins, torch.ones(len(module.bins), 1)], 1).double()
    found = torch.linalg.lstsq(codes, rows.double()).solution.float()
    return found[:-1].T.contiguous(), found[-1].contiguous()


def put_places(layer, module, rows):
    weight, bias = places_of(module, rows)
    layer.weight.data, layer.bias.data = weight, bias


def compact_decoder(folder, config):
    """The compact decoder of a folder, complete."""
    decoder, held = Decoder(config), weights_of(folder / "decoder.onnx")
    put(decoder.projector, held_in(folder, "projector."))
    words = config.words
    table_in, table_out = held["table_in"], held["table_out"]
    decoder.words.weight.data = table_in[:words].clone()
    decoder.marks.weight.data = table_in[words:words + MARKS].clone()
    put_places(decoder.place_in, decoder, table_in[words + MARKS:])
    put_places(decoder.place_out, decoder, table_out[words + MARKS:])
    own = {n.removeprefix("model."): v for n, v in held.items() if n.startswith("model.")}
    for n in range(config.layers):
        for leaf in ("weight", "bias"):
            parts = held[f"products.{n}.{leaf}"].chunk(3)
            scaled = (parts[0] * config.head_dim**0.5, *parts[1:])
            for name, value in zip(("query", "key", "value"), scaled, strict=True):
                own[f"layers.{n}.{name}.{leaf}"] = value
    put(decoder, own, ("projector.", "words.", "marks.", "place_", "query_bias", "asked."))
    decoder.query_bias.data = torch.tensor(read_unified(folder).query_bias)
    return decoder


def reading_llama(folder, config, frozen=None):
    """The language model's layers of a folder, as far as they read; SPEECH is a new decoder's."""
    decoder = LlamaDecoder(config, frozen)
    put(decoder.projector, held_in(folder, "projector.wide."))
    held = weights_of(folder / "decoder.onnx")
    if "wide.new_in" in held:                  # as folders of before the scene expert have it
        new = held["wide.new_in"]
        decoder.marks.weight.data = new[:MARKS].clone()
        put_places(decoder.place_in, decoder, new[MARKS:])
    else:
        put(decoder.marks, {"weight": held["model.wide.marks.weight"]})
        put(decoder.place_in, {k: held[f"model.wide.place_in.{k}"] for k in ("weight", "bias")})
    for n, adapters in enumerate(decoder.adapters):
        for names in READERS:
            enter = held[f"wide.enter.{n}_{names[0]}"].split(config.rank, 1)
            leave, row, column = held[f"wide.leave.{n}_{names[0]}"], 0, 0
            for name, matrix in zip(names, enter, strict=True):
                width = adapters.leave[name].shape[1]
                adapters.enter[name].data = matrix.clone()
                adapters.leave[name].data = leave[row:row + config.rank,
                                                  column:column + width].clone()
                row, column = row + config.rank, column + width
    return decoder


def restore(compact, regular, library, source, checkpoints=CHECKPOINTS, vocabulary_path=PATH,
            say=print):
    """Write the checkpoints that are not there."""
    vocabulary, llama = Vocabulary(library), source.open()
    if not vocabulary_path.exists():
        vocabulary_path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(compact / "tokenizer.json", vocabulary_path)
    words = Words(vocabulary_path)
    vision = VisionConfig("lite0", KINDS, vocabulary.heads)

    def write(path, folder, stage, state):
        if path.exists():
            say(f"{path}: is there, kept", flush=True)
            return
        record = json.loads((folder / "record.json").read_text())
        held = next(s for s in record["stages"] if s["stage"] == stage)
        schedule.save(path, state | {"steps": held["steps"], "spent_s": held["minutes"] * 60})
        logged = json.loads((folder / "curves.json").read_text()).get(stage, {})
        path.with_name("losses.jsonl").write_text(lines_of(logged))
        say(f"{path}: written", flush=True)

    write(checkpoints / "vision/compact/vision.pt", compact, "vision", {
        "network": put_weights(VisionNetwork(vision, pretrained=False), compact).state_dict(),
        "config": vision.to_dict(), "names": vocabulary.names()})
    network = VisionNetwork(vision, pretrained=False)
    put(network, held_in(regular, "network.fine."),
         (*UNUSED, "pooled."))           # an expert may speak in place of its heads
    write(checkpoints / "vision/regular/vision.pt", regular, "vision",
          {"network": network.state_dict(), "config": vision.to_dict(),
           "names": vocabulary.names()})
    shared = {"words": len(words.tokens), "cell_dim": network.cell_dim,
              "heads_vision": vocabulary.heads, "kinds": len(KINDS), "depth": vision.depth}
    taken = tuple(range(read_unified(regular).streams[0].layers))
    config = LlamaDecoderConfig.of(layout.sizes_of(llama), **(shared | {"taken": taken}))
    wide = reading_llama(regular, config)
    write(checkpoints / "decoder/language/decoder.pt", regular, "language model's adapters",
          {"decoder": wide.state_dict(), "config": config.to_dict()})
    config = DecoderConfig(read_unified(compact).streams[0].layers, **shared)
    narrow = compact_decoder(compact, config)
    write(checkpoints / "decoder/compact/decoder.pt", compact, "decoder",
          {"decoder": narrow.state_dict(), "config": config.to_dict()})


def lines_of(curves):
    """A log of what `curves.thin` kept."""
    lines = []
    for i, step in enumerate(curves.get("step", [])):
        losses = {f"all.{term}": values[i] for term, values in curves.items()
                  if term != "step" and values[i] is not None}
        lines.append(json.dumps({"step": step, "losses": losses}) + "\n")
    return "".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--compact", type=Path, default=Path("models/compact"))
    p.add_argument("--regular", type=Path, default=Path("models/regular"))
    p.add_argument("--source", type=Path, help="file of the frozen weights, if not installed")
    a = p.parse_args()
    restore(a.compact, a.regular, Library(a.data), Source.find(a.source))


if __name__ == "__main__":
    main()

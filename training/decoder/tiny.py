"""Write the tiny, randomly initialised folder of our family that the unit tests load.

    python -m training.decoder.tiny --out test/data/lvlm/tiny_unified
"""

import argparse
import copy
import json
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import nn

from eo_nodes.lvlm.assemble import llama
from eo_nodes.lvlm.manifest import FAMILIES, V2, read_manifest, seal
from training.decoder.export import GRAPHS, write_folder
from training.decoder.ladder import LadderConfig, LadderDecoder
from training.decoder.llama import LlamaDecoder, LlamaDecoderConfig, frozen_of
from training.decoder.model import MARKS, Decoder, DecoderConfig
from training.decoder.perception import LAYOUT
from training.decoder.storage import shorten
from training.decoder.vocabulary import Words
from training.decoder.wordpieces import SPECIAL
from training.stored import weights_of
from training.vision.dual import MIRRORS, SENSORS, DualNetwork, put_weights
from training.vision.expert import Expert, ExpertConfig
from training.vision.network import VisionConfig, VisionNetwork

WORDS = "what does this image show where is find all the ships how many in yes no a b c 1 2 3 ?"
HEADS = (("class_a", 3), ("label_b", 2))
NAMES = {"class_a": ["a", "b", "c"], "label_b": ["yes", "no"]}
KINDS = ("ship", "car")
INPUT_SIZE, COARSE_SIZE = 128, 96      # of the second also of two networks
# The file lies in the repository: what is wide for the sake of quality is narrow here.
VISION = VisionConfig("tiny", KINDS, HEADS, depth=16, match=4, wide=24, hidden=24)
SMALLEST = 200              # weights of so many numbers are stored as int8


def write_words(path):
    """A WordPiece tokenizer of a few words."""
    words = SPECIAL + WORDS.split() + ["##s", "."]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)},
                                           unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    path.write_text(json.dumps(json.loads(tokenizer.to_str())))
    return Words(path)


def networks(words, seed=7):
    """(vision network, decoder), lively enough for answers to differ."""
    torch.manual_seed(seed)
    network = VisionNetwork(VISION, pretrained=False)
    # Maps that differ from place to place: proposals do not tie, masks have shapes.
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    nn.init.normal_(network.heat.weight, std=0.1)
    nn.init.normal_(network.shape.weight, std=0.05)
    nn.init.constant_(network.shape.bias, 1.0)
    nn.init.constant_(network.heat.bias, 0.0)
    decoder = Decoder(DecoderConfig(
        2, len(words.tokens), network.cell_dim, HEADS, len(KINDS), depth=16, positions=96,
        relevance_dim=16, width=32, heads=2))
    for name, parameter in decoder.named_parameters():
        if parameter.ndim > 1 and not name.startswith(("projector", "asked")):
            nn.init.normal_(parameter, std=0.4)
    _wish(decoder, words)
    return network.eval(), decoder.eval()


def _wish(decoder, words):
    """Biases with which answers are worth a test."""
    # Some answers end, places are said, and what has no fixed length is closed.
    ids = words.slis.ids
    decoder.bias.data[words.end], decoder.bias.data[ids.end] = 4.0, 8.0
    for kind, wish in (("point", 2.0), ("box", 4.0), ("seg", 3.0), ("poly", 3.5)):
        decoder.bias.data[ids.markers[kind]] = wish
    decoder.bias.data[len(words.tokens) + MARKS:] = -2.0
    for parameter in (decoder.ask.weight, decoder.offer.weight):
        nn.init.normal_(parameter, std=0.12)


def vary(module):
    """Let no two vectors be equal, which the exporter would write once."""
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.05 * torch.randn_like(parameter)


def write(folder, smallest=None, is_varied=False):
    """The folder; returns (loaded model, vision network, decoder, words).

    smallest: as of ``write_folder``. is_varied: as ``vary`` does it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "words.json"
        words = write_words(path)
        network, decoder = networks(words)
        if is_varied:
            vary(network), vary(decoder)
        model = write_folder(folder, model_id="tiny_unified", network=network, decoder=decoder,
                             words_path=path, sizes=[(INPUT_SIZE, 2.0)], names=NAMES,
                             smallest=smallest)
    return model, network, decoder, words


def ladder_of(decoder, words, source, compact, rank=4):
    """A `LadderDecoder` over a tiny ``decoder``, of which ``compact`` is the written folder; all
    that starts at nothing is something."""
    gguf = source.open()
    sizes = llama.sizes_of(gguf)
    config = LlamaDecoderConfig.of(
        sizes, taken=tuple(range(sizes.layers)), words=len(words.tokens),
        cell_dim=decoder.config.cell_dim, heads_vision=HEADS, kinds=len(KINDS), rank=rank,
        depth=16, positions=96, relevance_dim=16)
    wide = LlamaDecoder(config, frozen_of(gguf, config.taken, words.pieces(gguf)))
    wide.start_new()
    vary(wide.projector)
    for adapter in wide.adapters:
        for parameter in adapter.leave.values():
            nn.init.normal_(parameter, std=0.1)
    ladder = LadderDecoder(LadderConfig.of(config, decoder.config, rank), wide,
                           weights_of(compact / "decoder.onnx"))
    narrow = ladder.projector.narrow
    narrow.coarse.load_state_dict(decoder.projector.state_dict())
    for layer in (ladder.fine_query, narrow.cell[1], narrow.look[1], narrow.pair[1]):
        nn.init.normal_(layer.weight, std=0.05)
    for rung in ladder.rungs:
        nn.init.uniform_(rung.gain, 0.5, 2)
        nn.init.normal_(rung.out.weight, std=0.005)
        nn.init.normal_(rung.out.bias, std=0.02)
    ladder.voice.fill_(0.8)
    for side in ladder.sides.values():
        nn.init.normal_(side.leave, std=0.02)
    nn.init.normal_(ladder.lens.weight, std=0.02)
    return ladder.eval()


def expert_of(rank=2):
    """A scene expert for tiny networks; what starts at nothing is something."""
    expert = Expert(ExpertConfig(HEADS, rank))
    for name, parameter in expert.named_parameters():
        if name.endswith("leave"):
            nn.init.normal_(parameter, std=0.02)
        if name.startswith("heads"):
            parameter.data *= 0.2           # what is random all through says no more than others
    return expert.eval()


def released(folder, like):
    """The vision network of a written folder as its runtime computes; like: it before rounding."""
    return put_weights(copy.deepcopy(like), folder)


def write_ladder(folder, source, smallest=None):
    """As ``write``, with a ladder over the frozen weights of ``source`` (`llama_export.Source`) and
    of ``folder``'s neighbour `compact`, which is written first and whose decoder comes last."""
    compact = folder.parent / "compact"
    _, coarse, decoder, words = write(compact, SMALLEST, is_varied=True)
    ladder = ladder_of(decoder, words, source, compact)
    fine, _ = networks(words, seed=6)
    vary(fine)
    coarse = released(compact, coarse)
    shifts = torch.tensor([[0.2, -0.1]]) * torch.arange(1, len(SENSORS) + 1)[:, None]
    network = DualNetwork(fine, coarse, COARSE_SIZE / INPUT_SIZE, shifts, expert_of(),
                          {HEADS[0][0]: 0.75}, MIRRORS).eval()
    network.to(memory_format=LAYOUT)         # as it comes from training
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "words.json"
        write_words(path)
        model = write_folder(folder, model_id="tiny_ladder", network=network, decoder=ladder,
                             words_path=path, sizes=[(INPUT_SIZE, 2.0), (COARSE_SIZE, 1.5)],
                             names=NAMES, smallest=smallest, source=source, compact=compact)
    return model, network, ladder, words, decoder


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    folder = p.parse_args().out
    write(folder, SMALLEST)
    for graph in GRAPHS:
        shorten(folder / graph, with_weights=True)
    old = read_manifest(folder)
    seal(folder, V2, old.id, FAMILIES[V2], old.golden, old.bands)


if __name__ == "__main__":
    main()

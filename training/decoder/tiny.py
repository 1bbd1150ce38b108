"""Write the tiny, randomly initialised folder of our family that the unit tests load.

    python -m training.decoder.tiny --out test/data/lvlm/tiny_unified
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import nn

from training.decoder.export import write_folder
from training.decoder.model import MARKS, Decoder, DecoderConfig
from training.decoder.vocabulary import Words
from training.vision.network import VisionConfig, VisionNetwork
from training.vocabulary import SPECIAL

WORDS = "what does this image show where is find all the ships how many in yes no a b c 1 2 3 ?"
HEADS = (("class_a", 3), ("label_b", 2))
KINDS = ("ship", "car")
INPUT_SIZE = 128


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


def networks(words, seed=5):
    """(vision network, decoder), lively enough for answers to differ."""
    torch.manual_seed(seed)
    network = VisionNetwork(VisionConfig("tiny", KINDS, HEADS, depth=16, match=4),
                            pretrained=False)
    nn.init.normal_(network.heat.weight, std=1.0)
    nn.init.constant_(network.heat.bias, 0.0)
    decoder = Decoder(DecoderConfig(
        2, len(words.tokens), network.cell_dim, HEADS, len(KINDS), depth=16, positions=96,
        relevance_dim=16, width=32, heads=2))
    for name, parameter in decoder.named_parameters():
        if parameter.ndim > 1 and "projector" not in name:
            nn.init.normal_(parameter, std=0.6)
    decoder.bias.data[words.end] = 3.0                      # some answers end
    # Markers more often than chance would have it, so that the grammar has something to do.
    decoder.bias.data[len(words.tokens):len(words.tokens) + MARKS - 9] = 2.0
    for parameter in (decoder.ask.weight, decoder.offer.weight):
        nn.init.normal_(parameter, std=0.12)
    return network.eval(), decoder.eval()


def write(folder, quantise=True):
    """The folder; returns (loaded model, vision network, decoder, words)."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "words.json"
        words = write_words(path)
        network, decoder = networks(words)
        model = write_folder(folder, model_id="tiny_unified", network=network, decoder=decoder,
                             words_path=path, input_size=INPUT_SIZE, upscale=2.0,
                             quantise=quantise)
    return model, network, decoder, words


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    write(p.parse_args().out)


if __name__ == "__main__":
    main()

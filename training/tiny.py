"""Write the tiny, randomly initialised model folder that the unit tests of eo_nodes.lvlm load.

    python -m training.tiny --out test/data/lvlm/tiny
"""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import nn

from training.export import write_folder
from training.language import LanguageConfig, LanguageModel
from training.vocabulary import SPECIAL

WORDS = "what does this image show how many cars are there is water yes no a b c d e 1 2 3 ?"


class PatchTrunk(nn.Module):
    """One convolution a cell."""

    def __init__(self, dim=12):
        super().__init__()
        self.dim, self.conv = dim, nn.Conv2d(3, dim, 4, 4)
        self.pool = nn.AvgPool2d(8)

    def forward(self, x):
        return self.pool(torch.relu(self.conv(x))).permute(0, 2, 3, 1)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    a = p.parse_args()
    torch.manual_seed(5)
    a.out.mkdir(parents=True, exist_ok=True)
    words = SPECIAL + WORDS.split() + ["##s", "."]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)},
                                           unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    path = a.out / "source.json"
    path.write_text(json.dumps(json.loads(tokenizer.to_str())))
    config = LanguageConfig(2, 12, len(words), positions=64, relevance_dim=16, width=32, heads=2,
                            summary=(("class_a", 3), ("label_b", 2)), kinds=2)
    model = LanguageModel(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.6)      # lively enough for answers to differ
    model.bias.data[SPECIAL.index("[SEP]")] = 3.0    # some answers end
    for parameter in (model.ask.weight, model.offer.weight):
        nn.init.normal_(parameter, std=0.12)         # relevance between the extremes
    write_folder(a.out, model_id="tiny", trunk=PatchTrunk().eval(), model=model, tokenizer=path,
                 input_size=128, upscale=2.0)
    path.unlink()


if __name__ == "__main__":
    main()

"""Word vocabulary of the decoder: MiniLM's, cut to what prompts and answers need.

    python -m training.decoder.vocabulary --data DIR     writes training/checkpoints/words.json
"""

import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.slis import SlisVocabulary, SpatialIds, TokenizerCodec
from training.instruct.builder import stream
from training.recipe import CHECKPOINTS
from training.vocabulary import SPECIAL, cut

PATH = CHECKPOINTS / "words.json"
EPOCHS = 2
LEAST_USES = 2


def texts_of(instructions):
    """Free text of prompts and answers, without their spatial terms."""
    for i in instructions:
        for text in (i.prompt, i.answer):
            yield from (s for s in slis.parse(text) if isinstance(s, str))


class Words:
    """Tokenizer and spatial tokens as one vocabulary.

    Attributes: tokens, words by id; cls, end: ids that open a prompt, and end prompt and answer;
    slis: `SlisVocabulary`.
    """

    def __init__(self, path=PATH):
        raw = json.loads(Path(path).read_text())
        vocabulary = raw["model"]["vocab"]
        self.tokens = sorted(vocabulary, key=vocabulary.get)
        self.cls, self.end = SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")
        self.size = len(self.tokens) + len(slis.SPATIAL_TOKENS)
        codec = TokenizerCodec(Tokenizer.from_str(json.dumps(raw)), range(len(SPECIAL)))
        self.slis = SlisVocabulary(self.size, SpatialIds.block(len(self.tokens)), codec, self.end)

    def prompt(self, text):
        """Ids of a prompt with its opening and closing token."""
        return [self.cls, *self.slis.encode(text), self.end]

    def answer(self, text):
        """Ids of an answer with its end."""
        return [*self.slis.encode(text), self.end]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    a = p.parse_args()
    texts = [t for e in range(EPOCHS) for t in texts_of(stream(a.data, "train", 0, e))]
    PATH.write_text(json.dumps(cut(texts, LEAST_USES)))
    print(len(texts), "texts,", len(Words().tokens), "words")


if __name__ == "__main__":
    main()

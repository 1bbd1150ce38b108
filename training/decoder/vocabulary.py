"""Word vocabulary of both models: MiniLM's, cut to what prompts and answers need.

    python -m training.decoder.vocabulary --data DIR

writes training/checkpoints/words.json. The language model beside the regular size's decoder reads
the same words: each has the mean of the vectors that spell it there.
"""

import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.assemble.tokens import tokenizer_of
from eo_nodes.lvlm.slis import SlisVocabulary, SpatialIds, TokenizerCodec
from training.decoder.wordpieces import SPECIAL, cut
from training.instruct.builder import stream
from training.recipe import CHECKPOINTS

PATH = CHECKPOINTS / "words.json"
# What stands for SPECIAL in the source of the language model.
CONTROL = ("<|endoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>")
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
        self.cls, self.end = vocabulary["[CLS]"], vocabulary["[SEP]"]
        self.size = len(self.tokens) + len(slis.SPATIAL_TOKENS)
        codec = TokenizerCodec(Tokenizer.from_str(json.dumps(raw)), range(len(SPECIAL)))
        self.slis = SlisVocabulary(self.size, SpatialIds.block(len(self.tokens)), codec, self.end)

    def pieces(self, source):
        """Of each word, the ids that spell it in a `GgufFile`: its own piece, mostly."""
        spelling = tokenizer_of(source)
        unknown = (spelling.token_to_id(CONTROL[1]),)

        def ids(word):
            text = word[2:] if word.startswith("##") else f" {word}"
            return tuple(spelling.encode(text, add_special_tokens=False).ids) or unknown

        control = {w: (spelling.token_to_id(t),) for w, t in zip(SPECIAL, CONTROL, strict=True)}
        return [control.get(w) or ids(w) for w in self.tokens]

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
    print(len(texts), "texts,", len(Words(PATH).tokens), "words")


if __name__ == "__main__":
    main()

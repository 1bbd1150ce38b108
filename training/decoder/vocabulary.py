"""Word vocabulary of a decoder: MiniLM's or SmolLM2's, cut to what prompts and answers need.

    python -m training.decoder.vocabulary --data DIR [--model regular [--source FILE]]

writes training/checkpoints/words.json or words_regular.json.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.assemble.tokens import tokenizer_of
from eo_nodes.lvlm.slis import SlisVocabulary, SpatialIds, TokenizerCodec
from training.decoder.wordpieces import EXTRA, SPECIAL, cut
from training.instruct.builder import stream
from training.recipe import CHECKPOINTS

PATH = CHECKPOINTS / "words.json"
PATHS = {"compact": PATH, "regular": CHECKPOINTS / "words_regular.json"}
START, END = "<|im_start|>", "<|im_end|>"
EPOCHS = 2
LEAST_USES = 2


def texts_of(instructions):
    """Free text of prompts and answers, without their spatial terms."""
    for i in instructions:
        for text in (i.prompt, i.answer):
            yield from (s for s in slis.parse(text) if isinstance(s, str))


def cut_bpe(texts, source, least=LEAST_USES):
    """Tokenizer JSON of a `GgufFile`, with pieces used less often left out.

    Kept pieces come with all that merges into them, so texts split as before; and single bytes
    are kept, so that whatever the source can spell is spelt still. The first four stay what they
    are, control tokens; they are no added tokens, so that typed text never turns into one.
    """
    full = json.loads(tokenizer_of(source).to_str())
    tokenizer, merges = Tokenizer.from_str(json.dumps(full)), full["model"]["merges"]
    old = full["model"]["vocab"]
    by_id = sorted(old, key=old.get)
    special = by_id[:len(SPECIAL)]
    control = {a["content"] for a in full["added_tokens"]}
    uses = Counter(t for e in tokenizer.encode_batch(texts, add_special_tokens=False)
                   for t in e.tokens)
    keep = {t for t, n in uses.items() if n >= least} | {t for t in old if len(t) == 1}
    for word in EXTRA.split():
        keep |= {t for form in (word, f" {word}", word.capitalize())
                 for t in tokenizer.encode(form, add_special_tokens=False).tokens}
    parts = {}
    for left, right in merges:
        parts.setdefault(left + right, []).append((left, right))
    waiting = list(keep)
    while waiting:
        for pair in parts.get(waiting.pop(), ()):
            waiting += [t for t in pair if t not in keep]
            keep.update(pair)
    order = special + [t for t in by_id if t in keep - control and t not in special]
    held = set(order)
    full["model"]["vocab"] = {t: i for i, t in enumerate(order)}
    full["model"]["merges"] = [[a, b] for a, b in merges if {a, b, a + b} <= held]
    full["added_tokens"] = []
    return full


class Words:
    """Tokenizer and spatial tokens as one vocabulary.

    Attributes: tokens, words by id; cls, end: ids that open a prompt, and end prompt and answer;
    slis: `SlisVocabulary`.
    """

    def __init__(self, path=PATH):
        raw = json.loads(Path(path).read_text())
        vocabulary = raw["model"]["vocab"]
        self.tokens = sorted(vocabulary, key=vocabulary.get)
        is_bpe = raw["model"]["type"] == "BPE"
        self.cls, self.end = (vocabulary[t] for t in (
            (START, END) if is_bpe else ("[CLS]", "[SEP]")))
        self.size = len(self.tokens) + len(slis.SPATIAL_TOKENS)
        codec = TokenizerCodec(Tokenizer.from_str(json.dumps(raw)), range(len(SPECIAL)))
        self.slis = SlisVocabulary(self.size, SpatialIds.block(len(self.tokens)), codec, self.end)

    def kept(self, source):
        """Ids that the words have in a `GgufFile`."""
        old = {t: i for i, t in enumerate(source.metadata["tokenizer.ggml.tokens"])}
        return [old[t] for t in self.tokens]

    def prompt(self, text):
        """Ids of a prompt with its opening and closing token."""
        return [self.cls, *self.slis.encode(text), self.end]

    def answer(self, text):
        """Ids of an answer with its end."""
        return [*self.slis.encode(text), self.end]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", choices=PATHS, default="compact")
    p.add_argument("--source", type=Path, help="file of the frozen weights")
    a = p.parse_args()
    texts = [t for e in range(EPOCHS) for t in texts_of(stream(a.data, "train", 0, e))]
    if a.model == "compact":
        made = cut(texts, LEAST_USES)
    else:
        from training.decoder.llama_export import Source
        made = cut_bpe(texts, Source.find(a.source).open())
    PATHS[a.model].write_text(json.dumps(made))
    print(len(texts), "texts,", len(Words(PATHS[a.model]).tokens), "words")


if __name__ == "__main__":
    main()

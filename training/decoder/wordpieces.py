"""MiniLM's WordPiece vocabulary, cut to what the texts and likely prompts need."""

import json
from collections import Counter

from tokenizers import Tokenizer

from training.packages import minilm_folder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
NUMBERS = 100
# Words a user may put in a prompt that no training text holds: their pretrained vectors lie near
# those of trained words, characters would not.
EXTRA = """
a an the is are was were be any some of in on at to from with near this that these those there
it its show shows shown see seen visible image images picture photo photograph scene view area
region place map what which where when how many much number count does do did has have had not
and or than more less most built flooded flood water river lake sea ocean coast coastal shore harbor
harbour port ship ships boat boats vessel vessels plane planes airplane aircraft airport runway
road roads highway street bridge railway train station car cars truck trucks bus buses vehicle
vehicles tank
tanks person people persons man human building buildings house houses roof urban rural city town
village industrial factory warehouse residential farm field fields crop crops farmland agriculture
vegetation forest forests tree trees grass meadow desert sand bare soil rock mountain hill snow ice
cloud clouds cloudy smoke fire burn burnt burned damage damaged destroyed change changed changes
new old before after between two dates time day night thermal hot cold radar optical satellite
aerial infrared band land cover use type kind class classify identify describe description caption
short sentence main dominant green red blue white black gray brown yellow dark bright large small
big long open dense sparse medium empty yes no none north south east west left right top bottom
center middle edge corner stadium park parking lot pond beach island school church square resort
football tennis baseball court playground swimming pool pier dock bay river bank oil storage solar
wind turbine power plant dam canal construction site military base airfield object objects target
find count tell me please can you i we they will would should under over
"""


def cut(texts: list[str], least: int = 2) -> dict:
    """Tokenizer JSON with the vocabulary cut; ids are new, in the order of the old ones."""
    full = json.loads((minilm_folder() / "tokenizer.json").read_text())
    full["truncation"] = full["padding"] = full["post_processor"] = None
    tokenizer = Tokenizer.from_str(json.dumps(full))
    uses = Counter(t for e in tokenizer.encode_batch(texts, add_special_tokens=False)
                   for t in e.tokens)
    keep = {t for t, n in uses.items() if n >= least} | set(SPECIAL) | {"."}
    keep |= {t for e in tokenizer.encode_batch(EXTRA.split()) for t in e.tokens}
    keep |= {str(n) for n in range(NUMBERS + 1)}
    old = full["model"]["vocab"]
    # Single characters, so that any word in Latin letters has a spelling.
    keep |= {c for c in old if len(c) == 1 and c.isascii()}
    keep |= {c for c in old if len(c) == 3 and c.startswith("##") and c.isascii()}
    order = SPECIAL + sorted((t for t in keep - set(SPECIAL) if t in old), key=old.get)
    full["model"]["vocab"] = {t: i for i, t in enumerate(order)}
    full["added_tokens"] = [dict(a, id=order.index(a["content"])) for a in full["added_tokens"]
                            if a["content"] in SPECIAL]
    return full

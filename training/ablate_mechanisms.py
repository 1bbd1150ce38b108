"""The mechanisms that are ablated, each a pair of runs; what must run first. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mechanism:
    """title: of its row; with_it, without: names of runs."""

    title: str
    with_it: str
    without: str


MECHANISMS = {
    "maka": Mechanism("G3 MaKA, five teachers / none", "maka", "full"),
    "galileo": Mechanism("Galileo as teacher / none", "galileo", "full"),
    "pretrained": Mechanism("EfficientNet start / random", "full", "random"),
    "any-band": Mechanism("G1 any-band kernels / composites", "full", "composites"),
    "merge": Mechanism("G4 merged specialists / one training", "merged", "full"),
    "pcma": Mechanism("E4 PCMA / X3 one stage", "pcma", "full"),
    "fgvla-heads": Mechanism("E2 all depths in cells / stride 32, heads", "full", "top-cells"),
    "fgvla": Mechanism("E2 all depths in cells / stride 32, answers", "answers", "answers-top"),
    "zoom": Mechanism("X6 four zoom windows / overview", "zoomed", "full"),
    "slis": Mechanism("E3 grammar constraint / free decoding", "answers", "answers-free"),
}
# Runs that another one must precede.
NEEDS = {"zoomed": "full", "answers": "full", "answers-top": "full", "answers-free": "answers"}


def runs_of(names):
    """Names of the runs that mechanisms need, each once, what is needed first."""
    out = []
    for name in names:
        for run in (MECHANISMS[name].without, MECHANISMS[name].with_it):
            chain = [run]
            while chain[-1] in NEEDS:
                chain.append(NEEDS[chain[-1]])
            out += [r for r in reversed(chain) if r not in out]
    return out

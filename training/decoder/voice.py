"""How loudly the language model speaks into the ladder: a factor on the rungs, chosen on val.

    python -m training.decoder.voice --data DIR [--draws 4]

The language model's adapters learnt on the pictures on which the rungs learn to read it: there it
knows the answers better than on pictures that are new to it, so what the rungs learn is too much
trust. Prints the loss of answers on val for each factor, 0 being the narrow stream alone, and
keeps in the checkpoint the smallest one that is within one standard error of the best: where val
does not tell them apart, less of that trust is right.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean, pstdev

import torch

from training import schedule
from training.decoder.examples import Examples
from training.decoder.llama_export import Source
from training.decoder.perception import Memory
from training.decoder.train import (
    NATURAL,
    Trainer,
    check_sight,
    perception_of,
    restored_decoder,
)
from training.decoder.vocabulary import Words
from training.instruct.builder import stream
from training.recipe import CHECKPOINTS

VOICES = (0.0, 0.25, 0.5, 0.75, 1.0)
PACKS = 4


class Reread:
    """The decoder with what it heard once; a trainer calls it as the decoder.

    decoder: `LadderDecoder`; its ``voice`` may change between calls on the same batch.
    """

    def __init__(self, decoder):
        self.decoder, self._heard = decoder, None

    def __getattr__(self, name):
        return getattr(self.decoder, name)

    def forget(self):
        """Another batch comes."""
        self._heard = None

    def __call__(self, *batch):
        if self._heard is None:
            self._heard = self.decoder.listen(*batch)
        return self.decoder.read(self._heard, *batch)


def measure(trainer, draws):
    """{voice: {set: [loss of answers of each draw]}}, ``draws`` of every set."""
    decoder, found = trainer.decoder, {v: defaultdict(list) for v in VOICES}
    for name in trainer.examples.names:
        for _ in range(draws):
            packs = trainer.examples.draw(PACKS, name)
            seen = [trainer.visual(pack, 0.0) for pack in packs]
            batch, wanted = trainer.packed(packs, seen)
            decoder.forget()
            for voice, by_set in found.items():
                decoder.voice.fill_(voice)
                losses = trainer.losses_of(packs, seen, wanted, *decoder(*batch))
                by_set[name].append(losses["answer"].item())
    return found


def report(found):
    """The voice to keep; prints all, and how sure the differences from the narrow stream alone
    are (standard error of draws)."""
    alone = found[0.0]
    for name in sorted(alone):
        print(f"{name:16}", *(f"{v}: {mean(found[v][name]):.3f}" for v in VOICES))
    sums = {v: mean(mean(x) for x in by_set.values()) for v, by_set in found.items()}
    errors = {}
    for voice, total in sums.items():
        spread = [(b - a) / len(alone) for name, x in alone.items()
                  for a, b in zip(x, found[voice][name], strict=True)]
        errors[voice] = pstdev(spread) * len(spread)**0.5 / len(next(iter(alone.values())))
        print(f"{voice}: {total:.4f}, against alone {total - sums[0.0]:+.4f} "
              f"+- {errors[voice]:.4f}")
    best = min(sums, key=sums.get)
    kept = min(v for v, total in sums.items() if total <= sums[best] + errors[best])
    print("best", best, "kept", kept, "" if kept else
          "(the language model is run for nothing: its rungs need more training)")
    return kept


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--draws", type=int, default=4, help=f"of {PACKS} packs, of every set")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--source", type=Path, help="file of the frozen weights")
    p.add_argument("--compact", type=Path, default=Path("models/compact"))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    path = CHECKPOINTS / "decoder" / "regular" / "decoder.pt"
    state, words = schedule.restore(path), Words()
    perception = perception_of("regular", a.compact)
    check_sight(state, perception, path)
    decoder = restored_decoder(state, words, Source.find(a.source), a.compact).eval()
    memory = Memory(perception, path.with_name("seen.pt"))
    made = stream(a.data, "val", 0, 0, natural=NATURAL, augment=False)
    examples = Examples(made, memory, words, a.data, 0)
    trainer = Trainer(Reread(decoder), perception, examples, words, a.data, 0)
    state["decoder"]["voice"] = torch.tensor(report(measure(trainer, a.draws)))
    schedule.save(path, state)


if __name__ == "__main__":
    main()

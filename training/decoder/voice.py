"""How loudly the language model speaks into the ladder: a factor on the rungs, chosen on val.

    python -m training.decoder.voice --data DIR [--draws 60]

The language model's adapters learnt on the pictures on which the rungs learn to read it: there it
knows the answers better than on pictures that are new to it, so what the rungs learn is too much
trust. Prints the loss of answers on val for each factor, 0 being the narrow stream alone, and
keeps the best one in the checkpoint.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean

import torch

from training import schedule
from training.decoder.examples import Examples
from training.decoder.llama_export import Source
from training.decoder.perception import Memory
from training.decoder.train import NATURAL, Trainer, perception_of, restored_decoder
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
    """{voice: {set: mean loss of answers}} on what the trainer's examples give."""
    decoder, found = trainer.decoder, {v: defaultdict(list) for v in VOICES}
    for _ in range(draws):
        packs = trainer.examples.draw(PACKS)
        seen = [trainer.visual(pack, 0.0) for pack in packs]
        batch, wanted = trainer.packed(packs, seen)
        decoder.forget()
        for voice, by_set in found.items():
            decoder.voice.fill_(voice)
            losses = trainer.losses_of(packs, seen, wanted, *decoder(*batch))
            by_set[packs[0][0].instruction.set].append(losses["answer"].item())
    return {v: {name: mean(x) for name, x in by_set.items()} for v, by_set in found.items()}


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--draws", type=int, default=60, help=f"of {PACKS} packs of one set")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--source", type=Path, help="file of the frozen weights")
    p.add_argument("--compact", type=Path, default=Path("models/compact"))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    path = CHECKPOINTS / "decoder" / "regular" / "decoder.pt"
    state, words = schedule.restore(path), Words()
    perception = perception_of("regular", a.compact)
    decoder = restored_decoder(state, words, Source.find(a.source), a.compact).eval()
    memory = Memory(perception, path.with_name("seen.pt"))
    made = stream(a.data, "val", 0, 0, natural=NATURAL, augment=False)
    examples = Examples(made, memory, words, a.data, 0)
    found = measure(Trainer(Reread(decoder), perception, examples, words, a.data, 0), a.draws)
    for name in sorted(found[VOICES[0]]):
        print(f"{name:16}", *(f"{v}: {found[v][name]:.3f}" for v in VOICES))
    sums = {v: mean(by_set.values()) for v, by_set in found.items()}
    best = min(sums, key=sums.get)
    state["decoder"]["voice"] = torch.tensor(best)
    schedule.save(path, state)
    print("all", *(f"{v}: {s:.4f}" for v, s in sums.items()), "best", best)


if __name__ == "__main__":
    main()

"""Stream instructions of a data folder; fetch their images and masks.

    for i in stream(data, "train", seed=0, epoch=0):
        for values, bands, sensor, frame in load_images(i, data): ...

Deterministic: the same folder, split, seed and epoch give the same instructions in the same order.
"""

import functools
import importlib
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from training.instruct.drafting import Context
from training.instruct.records import TASKS, ImageRef, Instruction, MaskRef
from training.instruct.sources import Library
from training.instruct.views import View

MODULES = ("classification", "caption", "vqa", "count", "grounding", "referring", "segmentation",
           "change", "temporal")


@functools.lru_cache(maxsize=4)
def library(data: Path) -> Library:
    """The folder's library, opened once a process."""
    return Library(Path(data))


def instructions_of(lib: Library, name: str, split: str, seed: int, epoch: int, *,
                    tasks: Iterable[str] | None = None, held: bool | None = False,
                    balanced: bool = True, augment: bool = True) -> Iterator[Instruction]:
    """Instructions of one set in the order of its task modules (see `stream`)."""
    samples = lib.samples(name, split, held)
    if not samples:
        return
    augment = augment and split in ("train", "extra")
    context = Context(lib, name, split, seed, epoch, samples, balanced, augment)
    wanted = set(tasks or TASKS)
    for module in MODULES:
        make = importlib.import_module(f"training.instruct.tasks.{module}").make
        yield from (i for i in make(context) if i.task in wanted)


def stream(data: Path, split: str, seed: int, epoch: int, tasks: Iterable[str] | None = None,
           held: bool | None = False, *, sets: Iterable[str] | None = None, balanced: bool = True,
           shuffled: bool = True, augment: bool = True) -> Iterator[Instruction]:
    """All instructions of one epoch, shuffled over sets and tasks.

    Args:
        data: folder of packed sets.
        split: "train" (with "extra" where a set has it), "extra", "val" or "test".
        seed, epoch: of the random choices; val and test use them only for wordings and order.
        tasks: task groups wanted; None all.
        held: for training splits: False what models learn from, True the routing share, None both.
        sets: names wanted; None all in the folder.
        augment: turn and cut pictures of the training splits; False shows them whole, so that
            what a frozen network sees of them can be kept.
        balanced: False asks yes/no and count questions of every sample (natural frequencies).
    Yields:
        Instruction. Pixels are fetched with `load_images`.
    """
    lib = library(data)
    made: list[Instruction] = []
    for name in sets or lib.names:
        for part in ("train", "extra") if split == "train" else (split,):
            made += instructions_of(lib, name, part, seed, epoch, tasks=tasks, held=held,
                                    balanced=balanced, augment=augment)
    if shuffled:
        random.Random(f"{seed}:{epoch}:order").shuffle(made)
    yield from made


def _view(lib: Library, ref: ImageRef) -> View:
    return View(lib, lib.sample(ref.set, ref.id), ref.window, ref.turn)


def load_images(instruction: Instruction, data: Path | None = None
                ) -> list[tuple[np.ndarray, tuple[str, ...], int, int]]:
    """Images of an instruction: (values (H, W, C) native, band names, sensor slot, frame) each.

    `data` is not needed for instructions of the world.
    """
    out = []
    for ref, bands in zip(instruction.images, instruction.bands, strict=True):
        view = _view(library(data), ref)
        values = view.crop(view.library.pixels(view.sample, ref.member))
        if values.dtype == np.float16:           # kept short in memory only
            values = values.astype(np.float32)
        out.append((np.ascontiguousarray(values), bands, ref.sensor, ref.frame))
    return out


def load_mask(target: MaskRef, data: Path | None = None) -> np.ndarray:
    """(H, W) uint8 of the view: 1 to segment, 0 not, 255 without label."""
    stored = _view(library(data), target.image).mask()
    out = np.isin(stored, target.values).astype(np.uint8)
    out[np.isin(stored, target.ignore)] = 255
    return out

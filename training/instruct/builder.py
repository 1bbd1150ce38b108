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

import cv2
import numpy as np

from training.instruct.drafting import Context
from training.instruct.records import TASKS, ImageRef, Instruction, MaskRef
from training.instruct.sources import Library
from training.instruct.views import View
from training.instruct.world import asking
from training.instruct.world import stream as world_stream
from training.instruct.world.sensors import render, sensor_of

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
    context = Context(name, split, seed, epoch, balanced, library=lib, samples=samples,
                      augment=augment)
    wanted = set(tasks or TASKS)
    for module in MODULES:
        make = importlib.import_module(f"training.instruct.tasks.{module}").make
        yield from (i for i in make(context) if i.task in wanted)


def stream(data: Path, split: str, seed: int, epoch: int, tasks: Iterable[str] | None = None,
           held: bool | None = False, *, sets: Iterable[str] | None = None, balanced: bool = True,
           natural: Iterable[str] = (), world: int = 0, shuffled: bool = True,
           augment: bool = True) -> Iterator[Instruction]:
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
        natural: sets whose questions keep their natural frequencies although `balanced`.
        world: scenes of the procedural world to add; its splits are its own.
    Yields:
        Instruction. Pixels are fetched with `load_images`.
    """
    made: list[Instruction] = []
    if world:
        made += world_stream.stream(split, seed, epoch, world, tasks, balanced=balanced,
                                    shuffled=False)
    lib = library(data)
    for name in lib.names if sets is None else sets:
        for part in ("train", "extra") if split == "train" else (split,):
            made += instructions_of(lib, name, part, seed, epoch, tasks=tasks, held=held,
                                    balanced=balanced and name not in natural, augment=augment)
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
        if ref.set == asking.SET:
            out.append((render(ref.id, ref.member, ref.time)[0], bands, ref.sensor, ref.frame))
            continue
        view = _view(library(data), ref)
        values = view.crop(view.library.pixels(view.sample, ref.member))
        if values.dtype == np.float16:           # kept short in memory only
            values = values.astype(np.float32)
        out.append((np.ascontiguousarray(values), bands, ref.sensor, ref.frame))
    return out


def load_mask(target: MaskRef, data: Path | None = None) -> np.ndarray:
    """(H, W) uint8 of the view: 1 to segment, 0 not, 255 without label."""
    ref = target.image
    if ref.set == asking.SET:
        return _world_mask(ref, target.layer)
    stored = _view(library(data), ref).mask()
    out = np.isin(stored, target.values).astype(np.uint8)
    out[np.isin(stored, target.ignore)] = 255
    return out


def _world_mask(ref: ImageRef, layer: str) -> np.ndarray:
    """Layer of a scene in the pixels of its sensor: half of a coarse pixel sets it."""
    mask = asking.layer_mask(ref.id, ref.time, layer).astype(np.uint8)
    coarse = sensor_of(ref.member).coarse
    if coarse == 1:
        return mask
    share = cv2.resize(mask.astype(np.float32), None, fx=1 / coarse, fy=1 / coarse,
                       interpolation=cv2.INTER_AREA)
    return (share >= 0.5).astype(np.uint8)

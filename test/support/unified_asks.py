"""Asking the small folder with random weights of our family."""

from pathlib import Path

import numpy as np

from eo_nodes.lvlm.infer import ImageInput, answer
from eo_nodes.lvlm.unified_pictures import pictures_of_images

TINY = Path(__file__).resolve().parents[1] / "data" / "lvlm" / "tiny_unified"
RGB, RADAR = ("red", "green", "blue"), ("VV", "VH")


def image(seed=0, bands=RGB, shape=(60, 80), frames=1, modality="optical"):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (frames, *shape, len(bands)), np.uint8)
    return ImageInput(values, bands, modality)


def begin(model, images, prompt="what is this ?", places=(), max_tokens=16, cancel=None):
    return model.begin(pictures_of_images(images), prompt, places, max_tokens, cancel)


def ask(model, images, prompt="what is this ?", places=(), max_tokens=24, **more):
    return answer(model, images, prompt, places, clock_ns=lambda: 0, max_tokens=max_tokens, **more)


def logits(model, images, prompt="what is this ?", places=()):
    return begin(model, images, prompt, places).logits

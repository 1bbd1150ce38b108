"""Noise by the window: large banks drawn once, of which each scene takes random parts. Fast, and
the same on every machine because the banks have fixed seeds."""

import functools

import cv2
import numpy as np

BANK = 1536
LOOKS = (1, 3, 5, 9)


@functools.cache
def _normal() -> np.ndarray:
    return np.random.default_rng(11).standard_normal((BANK, BANK), np.float32)


@functools.cache
def _smooth(cell: int) -> np.ndarray:
    small = np.random.default_rng(13 + cell).standard_normal((BANK // cell,) * 2, np.float32)
    big = cv2.resize(small, (BANK, BANK), interpolation=cv2.INTER_CUBIC)
    return (big - big.mean()) / big.std()


@functools.cache
def _speckle(looks: int) -> np.ndarray:
    g = np.random.default_rng(17 + looks).standard_gamma(looks, (BANK, BANK), np.float32)
    return 10 * np.log10(np.maximum(g / looks, 1e-4))


def _part(bank: np.ndarray, rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    y, x = rng.integers(0, BANK - h), rng.integers(0, BANK - w)
    part = bank[y:y + h, x:x + w]
    return part[:, ::-1] if rng.random() < 0.5 else part


def normal(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """(h, w) float32, white, standard normal. Read only."""
    return _part(_normal(), rng, h, w)


def smooth(rng: np.random.Generator, h: int, w: int, cell: int) -> np.ndarray:
    """(h, w) float32, mean 0 and deviation about 1, features of about `cell` pixels."""
    return _part(_smooth(cell), rng, h, w)


def fractal(rng: np.random.Generator, h: int, w: int, cell: int) -> np.ndarray:
    """Smooth noise with finer and weaker octaves: coasts, relief."""
    return sum(smooth(rng, h, w, max(4, cell // 2**k)) * 0.5**k for k in range(3))


def speckle_db(rng: np.random.Generator, h: int, w: int, looks: int) -> np.ndarray:
    """(h, w) float32 dB: multi-look speckle, intensity gamma distributed with `looks`."""
    return _part(_speckle(looks), rng, h, w)

"""Cut and resample windows of a scene into views for the model, in native bands and dtype.

Purpose: an overview of the request's window, never enlarged, and on wish a 2 x 2 of zoom views.
Non-purpose: radiometry and composites, which the model's own rule does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ImageError
from eo_nodes.contracts.values import Scene, View

from .sensors import DTYPES

Array = NDArray[Any]
Window = tuple[int, int, int, int]


def resize(values: Array, height: int, width: int) -> Array:
    """Resample (F, H, W, C) to (F, height, width, C), same dtype.

    Area averaging when either side shrinks, else bilinear; each band on its own, any number.
    """
    frames, old_height, old_width, bands = values.shape
    if (old_height, old_width) == (height, width):
        return np.ascontiguousarray(values)
    shrinks = height < old_height or width < old_width
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    out = np.empty((frames, height, width, bands), values.dtype)
    for frame in range(frames):
        for band in range(bands):
            plane = np.ascontiguousarray(values[frame, :, :, band])
            out[frame, :, :, band] = cv2.resize(plane, (width, height), interpolation=mode)
    return out


def clip_window(window: Sequence[int], height: int, width: int) -> Window:
    """The part of a window (x, y, w, h) that lies inside the scene; empty means the whole scene.

    Raises:
        ImageError: ``empty`` when nothing of it lies inside.
    """
    if not window:
        return 0, 0, width, height
    x, y, w, h = window
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x0 >= x1 or y0 >= y1:
        raise ImageError("empty", f"window {tuple(window)} outside {width} x {height} pixels")
    return x0, y0, x1 - x0, y1 - y0


def crop(frame: Array, window: Window) -> Array:
    """The window (x, y, w, h) of (F, H, W, C), without a copy."""
    x, y, w, h = window
    return frame[:, y : y + h, x : x + w, :]


def prepare_views(
    frame: Array,
    scene: Scene,
    window: Sequence[int],
    *,
    overview_px: int = 224,
    zoom: bool = False,
) -> list[View]:
    """Views of one request, the overview first.

    Args:
        frame: (F, H, W, C) pixels of the scene.
        window: x, y, w, h in scene pixels; empty for the whole scene.
        overview_px: longest side of each view.
        zoom: add the four quarters, when the overview loses detail.
    Raises:
        ImageError: ``empty`` window or ``wrong_layout`` when frame and scene do not match.
    """
    expected = (scene.frames, scene.height, scene.width, scene.bands)
    if frame.shape != expected or frame.dtype.name != scene.dtype:
        raise ImageError("wrong_layout", f"frame {frame.shape} {frame.dtype}, scene {expected}")
    place = clip_window(window, scene.height, scene.width)
    return views_of(
        crop(frame, place), place, scene.band_names, overview_px=overview_px, zoom=zoom
    )


def views_of(
    pixels: Array,
    window: Window,
    band_names: tuple[str, ...],
    *,
    overview_px: int = 224,
    zoom: bool = False,
) -> list[View]:
    """As `prepare_views`, for the pixels (F, h, w, C) of the window alone."""
    views = [_view("overview", pixels, window, band_names, overview_px)]
    _, height, width, _ = pixels.shape
    if zoom and max(height, width) > overview_px and min(height, width) >= 2:
        x, y = window[:2]
        for top, bottom in ((0, height // 2), (height // 2, height)):
            for left, right in ((0, width // 2), (width // 2, width)):
                part = (x + left, y + top, right - left, bottom - top)
                cut = pixels[:, top:bottom, left:right, :]
                views.append(_view("zoom", cut, part, band_names, overview_px))
    return views


def fit(height: int, width: int, longest_px: int) -> tuple[int, int]:
    """(height, width) scaled so that the longer side is at most ``longest_px``; never enlarged."""
    scale = min(1.0, longest_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _view(
    kind: str, pixels: Array, window: Window, band_names: tuple[str, ...], longest_px: int
) -> View:
    values = resize(pixels, *fit(pixels.shape[1], pixels.shape[2], longest_px))
    frames, height, width, bands = values.shape
    return View(
        kind=kind, window=window, frames=frames, height=height, width=width, bands=bands,
        dtype=values.dtype.name, band_names=band_names,
        data=values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(),
    )  # fmt: skip


def view_array(view: View) -> Array:
    """Pixels (F, H, W, C) of a view, read only.

    Raises:
        ImageError: ``wrong_dtype`` or ``wrong_layout``: the bytes do not fit the shape.
    """
    if view.dtype not in DTYPES:
        raise ImageError("wrong_dtype", f"{view.dtype!r}")
    shape = (view.frames, view.height, view.width, view.bands)
    dtype = np.dtype(view.dtype).newbyteorder("<")
    if min(shape) < 1 or len(view.data) != int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise ImageError("wrong_layout", f"{len(view.data)} bytes for {shape} {view.dtype}")
    return np.frombuffer(view.data, dtype).reshape(shape)

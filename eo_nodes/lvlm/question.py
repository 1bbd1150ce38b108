"""The question about a window of a scene: places in scene pixels, said in the window's bins.

A model sees a window as a whole image, and on board and on the ground alike the text that it reads
says where the asker points, within that window (docs/slis.md). Zoom views of the window change
nothing in it: their coordinates are the window's too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.visual_prompts import VisualPrompt, VisualPromptError, compose, from_pixels

Place = tuple[str, Sequence[float], str]
"""Kind (point, box, polygon), x and y in scene pixels, label; as a ``VisualPrompt`` message."""
MAX_CHARS = 2000
_LEAST_SHARE = 1e-9     # of the window's area: what is cut to less has no area


def question_about(window: Sequence[int], prompt: str, places: Sequence[Place]) -> str:
    """The text that a model reads about a window of a scene.

    What reaches beyond the window is cut to it. A place that lies outside is an error and not left
    out: an answer without it would be an answer to another question.

    Args:
        window: x, y, width, height in scene pixels, width and height > 0.
        prompt: question; spatial values in it are on the window already.
        places: of the first image of the request.
    Returns:
        At most 2,000 characters.
    Raises:
        VisualPromptError: a place outside the window, malformed places, or too many.
        SlisSyntaxError: a spatial value in the prompt is malformed.
    """
    width, height = float(window[2]), float(window[3])
    inside = [cut_to(window, place, number) for number, place in enumerate(places, 1)]
    text, _ = compose(prompt, inside, [(width, height)])
    if len(text) > MAX_CHARS:
        raise VisualPromptError("count", f"{len(text)} characters with what it points at, at most "
                                         f"{MAX_CHARS}")
    return text


def plain_words(text: str) -> str:
    """A question without its places, for models that know none; as it is where nothing is left."""
    try:
        words = [part for part in slis.parse(text) if isinstance(part, str)]
    except slis.SlisSyntaxError:
        return text
    return " ".join(" ".join(words).split()) or text


def cut_to(window: Sequence[int], place: Place, number: int) -> VisualPrompt:
    """A place in pixels of a picture as one on a window of it.

    Args:
        window: as of `question_about`. number: what an error calls the place.
    Raises:
        VisualPromptError: it lies outside the window, or is malformed.
    """
    kind, xy, label = place
    x, y, width, height = (float(v) for v in window)
    if len(xy) % 2:
        raise VisualPromptError("xy", f"{len(xy)} numbers are no {kind}")
    vertices = np.array(xy, np.float64).reshape(-1, 2)
    if not np.isfinite(vertices).all():
        raise VisualPromptError("xy", "a coordinate is not finite")
    vertices -= (x, y)
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    if kind == "box" and len(vertices) == 2:
        if not (vertices[0] < vertices[1]).all():
            raise VisualPromptError("xy", f"box {tuple(xy)} is empty or has its corners out of "
                                          "order")
        vertices = np.clip(vertices, 0.0, corners[2])
        is_inside = bool((vertices[0] < vertices[1]).all())
    elif kind == "polygon" and len(vertices) > 2:
        vertices = slis.clip_convex(vertices, corners)
        is_inside = _area(vertices) > _LEAST_SHARE * width * height
    else:
        is_inside = bool((vertices >= 0).all() and (vertices <= corners[2]).all())
    if not is_inside:
        name = f" {label!r}" if label else ""
        raise VisualPromptError("xy", f"place {number}, {kind}{name}, lies outside the window "
                                      f"{tuple(window)}")
    return from_pixels(kind, np.clip(vertices, 0.0, corners[2]).ravel().tolist(), int(width),
                       int(height), label=label)


def _area(vertices: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    x, y = vertices[:, 0], vertices[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2

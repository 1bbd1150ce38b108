"""Write spatial terms of the SLIS grammar (points, boxes, polygons, run-length masks, spans).

Coordinates come in as 0..1 of the image's width and height.
"""

import cv2
import numpy as np

BINS = 512


def _bin(v: float) -> int:
    return min(BINS - 1, max(0, int(v * BINS)))


def _term(kind: str, image: int | None, values) -> str:
    where = [] if image is None else [f"@{image}"]
    return "<" + " ".join([kind, *where, *map(str, values)]) + ">"


def point(x: float, y: float, image: int | None = None) -> str:
    return _term("point", image, (_bin(x), _bin(y)))


def box(xyxy, image: int | None = None) -> str:
    """Box of (x1, y1, x2, y2), x1 <= x2, y1 <= y2."""
    return _term("box", image, map(_bin, xyxy))


def boxes(list_of_xyxy, image: int | None = None) -> str:
    return " ".join(box(b, image) for b in list_of_xyxy)


def obox(cx, cy, w, h, angle_deg, image: int | None = None) -> str:
    """Oriented box; the angle of its width axis, [0, 180) degrees, goes to 0..511."""
    a = int((angle_deg % 180.0) / 180.0 * BINS)
    return _term("obox", image, [*map(_bin, (cx, cy, w, h)), min(a, BINS - 1)])


def span(first: int, last: int) -> str:
    return _term("span", None, (first, last))


SEG = "<seg>"


def poly(mask: np.ndarray, most: int = 8, image: int | None = None) -> str:
    """Polygon of 3..most vertices around the largest part of a mask (H, W)."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL,
                                   cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        raise ValueError("an empty mask has no outline")
    outline = max(outlines, key=cv2.contourArea)
    tolerance = 0.01 * cv2.arcLength(outline, True)
    shape = outline
    while len(shape) > most:
        shape = cv2.approxPolyDP(outline, tolerance, True)
        tolerance *= 1.4
    points = shape[:, 0, :].astype(float)
    if len(points) < 3:
        x, y, w, h = cv2.boundingRect(outline)
        points = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], float)
    size = np.array(mask.shape[::-1], float)
    return _term("poly", image, [_bin(v) for p in points / size for v in p])


def mask_runs(mask: np.ndarray, image: int | None = None) -> str:
    """Run-length mask of a small boolean grid (rows, cols), starting with the zeros' run."""
    rows, cols = mask.shape
    flat, runs, value = mask.astype(bool).ravel(), [], False
    start = 0
    edges = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    if flat[0]:
        runs.append(0)
        value = True
    for end in edges:
        length = end - start
        while length > BINS - 1:
            runs += [BINS - 1, 0]
            length -= BINS - 1
        runs.append(length)
        start, value = end, not value
    return _term("mask", image, [rows, cols, *runs])


def coarse(mask: np.ndarray, cells: int = 12) -> np.ndarray:
    """Grid (cells, cells) of a mask: a cell is set when half of it is; the fullest cell always."""
    share = cv2.resize(mask.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    return (share >= 0.5) | (share == share.max())

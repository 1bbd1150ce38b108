"""Write spatial terms of the SLIS grammar from coordinates 0..1 of an image.

Grammar and binning are those of `eo_nodes.lvlm.slis`; here are the shapes that labels come in.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.slis import write_value

SEG = write_value(slis.Seg())


def point(x: float, y: float, image: int = 0) -> str:
    return write_value(slis.point_from(x, y, image))


def box(xyxy: Sequence[float], image: int = 0) -> str:
    """Box of (x1, y1, x2, y2), x1 <= x2, y1 <= y2."""
    return write_value(slis.box_from(*xyxy, image=image))


def boxes(list_of_xyxy: Iterable[Sequence[float]], image: int = 0) -> str:
    return " ".join(box(b, image) for b in list_of_xyxy)


def obox(corners: np.ndarray, image_size: tuple[float, float] = (1, 1), image: int = 0) -> str:
    """Oriented box around (N, 2) corners; see `slis.oriented_from`."""
    return write_value(slis.oriented_from(corners, image_size, image))


def span(first: int, last: int) -> str:
    return write_value(slis.Span(first, last))


def polygon(vertices: np.ndarray, image: int = 0) -> str:
    return write_value(slis.polygon_from(vertices, image))


def outline(mask: np.ndarray, most: int = 8, image: int = 0) -> str:
    """Polygon of 3..most vertices around the largest part of a mask (H, W)."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not found:
        raise ValueError("an empty mask has no outline")
    line = max(found, key=cv2.contourArea)
    tolerance = 0.01 * cv2.arcLength(line, True)
    shape = line
    while len(shape) > most:
        shape = cv2.approxPolyDP(line, tolerance, True)
        tolerance *= 1.4
    if len(shape) < 3:
        x, y, w, h = cv2.boundingRect(line)
        shape = np.array([[[x, y]], [[x + w, y]], [[x + w, y + h]], [[x, y + h]]])
    return polygon((shape[:, 0] + 0.5) / mask.shape[::-1], image)


def mask(cells: np.ndarray, image: int = 0) -> str:
    """Run-length mask of a small boolean grid (rows, cols)."""
    return write_value(slis.mask_from(cells, image))


def coarse(full: np.ndarray, cells: int = 12) -> np.ndarray:
    """Grid (cells, cells) of a mask: a cell is set when half of it is; the fullest cell always."""
    share = cv2.resize(full.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    return (share >= 0.5) | (share == share.max())

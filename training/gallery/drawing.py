"""Small pictures of a question: what was shown, pointed at, true and said; PNG with a palette."""

import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np

from eo_nodes.lvlm import slis, spectrum
from eo_nodes.lvlm.draw import display

SIDE_PX = 150
GAP_PX = 4
MOST_IMAGES = 3                    # of a series, spread over it
COLOURS = 26
PROMPT, TRUTH, SAID = (255, 255, 255), (0, 200, 90), (255, 140, 0)


def tile(image, side=SIDE_PX):
    """(side, w, 3) uint8 of an image; small ones enlarged without smoothing."""
    return fit(display(visible(image)), side)


def visible(image):
    """Of many bands the three nearest to red, green and blue; others as they are."""
    if len(image.bands) < 4:
        return image
    centres = np.array([b.centre_nm for b in spectrum.parse_bands(image.bands)])
    nearest = [int(np.abs(centres - nm).argmin()) for nm in (660, 560, 480)]
    return replace(image, values=image.values[..., nearest], bands=("red", "green", "blue"))


def fit(picture, side=SIDE_PX):
    """Scale to a height of ``side``, at most two sides wide."""
    height, width = picture.shape[:2]
    scale = min(side / height, 2 * side / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.ascontiguousarray(cv2.resize(picture, size, interpolation=mode))


def _line(picture, xy, colour, thick):
    height, width = picture.shape[:2]
    points = np.round(np.clip(xy, -4, 5) * (width, height)).astype(np.int32)
    cv2.polylines(picture, [points], True, colour, thick)


def draw(picture, value, colour, thick=1):
    """Paint one spatial value."""
    height, width = picture.shape[:2]
    if isinstance(value, slis.Point):
        x, y = slis.point_xy(value)
        cv2.circle(picture, (int(x * width), int(y * height)), 4, colour, thick)
    elif isinstance(value, slis.Box):
        x0, y0, x1, y1 = slis.box_xyxy(value)
        _line(picture, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), colour, thick)
    elif isinstance(value, slis.OrientedBox):
        _line(picture, slis.oriented_corners(value, (width, height)), colour, thick)
    elif isinstance(value, slis.Polygon):
        _line(picture, slis.polygon_xy(value), colour, thick)
    elif isinstance(value, slis.Mask):
        draw_area(picture, slis.resize_mask(slis.mask_cells(value), height, width), colour, thick)


def draw_area(picture, covered, colour, thick=1):
    """Outline of a (h, w) mask of any size."""
    height, width = picture.shape[:2]
    scaled = cv2.resize(covered.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    lines, _ = cv2.findContours(scaled, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, lines, -1, colour, thick)


def spatial(text):
    """Spatial values of a text; none of a malformed one."""
    try:
        return [v for v in slis.parse(text) if not isinstance(v, str)]
    except slis.SlisSyntaxError:
        return []


def sheet(images, prompt, truth, said, mask=None, extra=()):
    """Images side by side with what was pointed at (white), true (green) and said (orange).

    mask: (H, W) of the true area on the last image of a pair, else the first; extra: more pictures.
    """
    frames = list(enumerate(images))
    if len(frames) > MOST_IMAGES:
        chosen = np.linspace(0, len(frames) - 1, MOST_IMAGES).round().astype(int)
        frames = [frames[n] for n in chosen]
    tiles = []
    for number, image in frames:
        picture = tile(image)
        if mask is not None and number == (1 if len(images) == 2 else 0):
            draw_area(picture, mask == 1, TRUTH)
        for text, colour, thick in ((truth, TRUTH, 1), (said, SAID, 1), (prompt, PROMPT, 2)):
            for value in spatial(text):
                if getattr(value, "image", 0) == number:
                    draw(picture, value, colour, thick)
        tiles.append(picture)
    tiles += [fit(picture) for picture in extra]
    height = max(t.shape[0] for t in tiles)
    width = sum(t.shape[1] for t in tiles) + GAP_PX * (len(tiles) - 1)
    out, left = np.full((height, width, 3), 255, np.uint8), 0
    for t in tiles:
        out[:t.shape[0], left:left + t.shape[1]] = t
        left += t.shape[1] + GAP_PX
    return out


def feature_colours(pixel):
    """(depth, h, w) feature map -> (h, w, 3) uint8: its three strongest components as colours."""
    flat = pixel.reshape(len(pixel), -1).astype(np.float64)
    flat = flat - flat.mean(1, keepdims=True)
    _, vectors = np.linalg.eigh(flat @ flat.T)
    three = vectors[:, -3:].T @ flat
    # The sign of a component is free: the same one on every machine.
    three *= np.where(three[:, :1] < 0, -1, 1)
    low, high = np.quantile(three, (0.02, 0.98), axis=1, keepdims=True)
    shown = np.clip((three - low) / np.maximum(high - low, 1e-9), 0, 1) * 255
    return np.ascontiguousarray(shown.T.reshape(*pixel.shape[1:], 3).astype(np.uint8))


def palette(picture, colours=COLOURS):
    """(H, W) indices and (n, 3) colours by median cut; what was drawn keeps its own colours."""
    drawn = np.array([PROMPT, TRUTH, SAID], np.uint8)
    flat = picture.reshape(-1, 3)
    parts = [flat]
    while len(parts) < colours:
        widest = max(range(len(parts)), key=lambda i: np.ptp(parts[i], axis=0).max() *
                     len(parts[i]) ** 0.5)
        part = parts.pop(widest)
        axis = int(np.ptp(part, axis=0).argmax())
        order = np.sort(part[:, axis], kind="stable")
        cut = order[len(order) // 2]
        low, high = part[part[:, axis] < cut], part[part[:, axis] >= cut]
        if not len(low) or not len(high):
            parts.append(part)
            break
        parts += [low, high]
    table = np.concatenate([drawn, np.array([p.mean(0).round() for p in parts], np.uint8)])
    gaps = ((flat[:, None].astype(np.int32) - table[None].astype(np.int32)) ** 2).sum(-1)
    return gaps.argmin(1).reshape(picture.shape[:2]).astype(np.uint8), table


def png(picture):
    """Bytes of a PNG file with a palette: the same picture gives the same bytes."""
    indices, table = palette(picture)
    height, width = indices.shape

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"PLTE", table.tobytes())
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))

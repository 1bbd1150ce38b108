"""Draw a contact sheet of the world: python -m training.instruct.world.sheet OUT.png"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from training.instruct.world.layout import KINDS
from training.instruct.world.scene import TIMES, event_of, scene_at
from training.instruct.world.sensors import render

TILE = 256


def picture(key: str, sensor: str, time: int = 0) -> np.ndarray:
    """(TILE, TILE, 3) uint8 RGB for the eye."""
    values, bands = render(key, sensor, time)
    v = values.astype(np.float32)
    if len(bands) >= 12:                                   # near infrared, red, green
        order = (7, 3, 2) if len(bands) == 13 else (26, 15, 9)
        v = v[..., order]
    elif len(bands) == 6:
        v = v[..., (4, 3, 2)]
    elif len(bands) == 2:
        v = np.dstack([v[..., 0], v[..., 1] + 7, v[..., 0] - v[..., 1] - 24])
    elif len(bands) == 4:
        v = v[..., (3, 0, 1)]
    v = v[..., :3] if v.shape[2] >= 3 else v[..., :1]
    if values.dtype != np.uint8:
        low, high = np.quantile(v, 0.01), np.quantile(v, 0.99)
        v = (v - low) / max(high - low, 1e-6) * 255
    v = np.repeat(v, 3 // v.shape[2], 2).clip(0, 255).astype(np.uint8)
    return cv2.resize(v, (TILE, TILE), interpolation=cv2.INTER_NEAREST)


def captioned(tile: np.ndarray, text: str) -> np.ndarray:
    """A tile with its border, oriented boxes are not drawn, and a line of text."""
    tile = tile.copy()
    cv2.putText(tile, text[:44], (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 3)
    cv2.putText(tile, text[:44], (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1)
    return cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_CONSTANT)


def _boxes(tile: np.ndarray, key: str, time: int) -> np.ndarray:
    for item in scene_at(key, time).items:
        cv2.polylines(tile, [np.round(item.corners()).astype(np.int32)], True, (255, 255, 0), 1)
    return tile


def _find(episode: str, wanted, start: int = 0) -> str:
    for n in range(start, start + 400):
        key = f"train-{episode}-{n}"
        if wanted(key):
            return key
    raise LookupError(episode)


def sheet(sensors=("rgb", "six", "s2", "hyper", "sar", "sar_hh", "thermal", "elevation")
          ) -> np.ndarray:
    """Kinds of scene by sensor, then events, seasons and video; (H, W, 3) uint8."""
    rows = []
    for kind in KINDS:
        key = _find("still", lambda k, kind=kind: scene_at(k).kind == kind
                    and scene_at(k).clouds is None and len(scene_at(k).items) >= 3 * (
                        kind not in ("farmland", "lake")))
        row = [captioned(picture(key, s), f"{kind}, {s}") for s in sensors]
        row[0] = captioned(_boxes(picture(key, "rgb"), key, 0), f"{kind}, rgb with boxes")
        rows.append(row)
    tiles = []
    for kind in ("new buildings", "flood", "fire", "felling", "ships"):
        key = _find("change", lambda k, kind=kind: (e := event_of(k)) and e.kind == kind)
        tiles += [captioned(picture(key, "rgb", 0), "before"),
                  captioned(picture(key, "rgb", 1), event_of(key).caption)]
    rows += [tiles[:8], [*tiles[8:], *(captioned(picture("train-still-3", s), s)
                                      for s in ("pan", "four", "thermal_k"))]]
    key = _find("series", lambda k: scene_at(k).kind == "farmland")
    rows.append([captioned(picture(key, "s2", t), f"day {scene_at(key, t).day_of_year:.0f}")
                 for t in range(TIMES["series"])])
    key = _find("video", lambda k: sum(i.is_moving for i in scene_at(k).items) == 0 and len(
        {(i.cx) for t in (0, 7) for i in scene_at(k, t).items}) > len(scene_at(k).items) + 3)
    rows.append([captioned(_boxes(picture(key, "rgb", t), key, t), f"frame {t}")
                 for t in range(TIMES["video"])])
    wide = max(map(len, rows))
    blank = np.zeros((TILE + 2, TILE + 2, 3), np.uint8)
    return np.vstack([np.hstack([*r, *[blank] * (wide - len(r))]) for r in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    if not cv2.imwrite(str(out), sheet()[..., ::-1]):
        raise SystemExit(f"cannot write {out}")


if __name__ == "__main__":
    main()

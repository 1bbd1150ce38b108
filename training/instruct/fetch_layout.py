"""Build a packed set from its publisher's folder:

    python -m training.instruct.fetch_layout NAME ORIGINAL --out DIR

writes DIR/NAME/{meta.json,index.jsonl,images.zip}. Which layout each set expects, and in what the
result differs from the set the models were trained on, stands in `README.md` beside this file
and in the functions of `layouts`. Which sample belongs to which split is in `splits.json.gz`.
"""

import argparse
import gzip
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SPLITS = Path(__file__).with_name("splits.json.gz")
Row = dict
Member = tuple[str, bytes]


def splits_of(name: str) -> dict[str, str]:
    """Sample id -> split, in the order of the set."""
    return {sample: split for split, ids in facts(name).items() for sample in ids}


def facts(name: str) -> Any:
    """An entry of the file of splits."""
    with gzip.open(SPLITS, "rt", encoding="utf-8") as f:
        return json.load(f)[name]


def encode(a: np.ndarray, kind: str, quality: int = 0) -> bytes:
    """(H, W) or (H, W, 3) RGB -> bytes of a file; kind: png, webp or jp2 (lossless)."""
    options = {"webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
               "jp2": [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]}.get(kind, [])
    done, data = cv2.imencode(f".{kind}", a[..., ::-1] if a.ndim == 3 else a, options)
    if not done:
        raise ValueError(f"cannot encode {a.shape} {a.dtype} as {kind}")
    return data.tobytes()


def stacked(a: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (C * H, W): the bands one below the other."""
    return np.ascontiguousarray(np.moveaxis(a, -1, 0).reshape(-1, a.shape[1]))


def read(path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3) RGB of a picture file."""
    a = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if a is None:
        raise ValueError(f"{path} is no picture")
    return a if a.ndim == 2 else np.ascontiguousarray(a[..., 2::-1])


def read_bands(path: Path) -> np.ndarray:
    """(C, H, W) of a GeoTIFF with any number of bands."""
    import rasterio

    with rasterio.open(path) as f:
        return f.read()


def half_size(a: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(a, (width, height), interpolation=cv2.INTER_AREA)


def write(out: Path, name: str, meta: dict, samples: Iterator[tuple[Row, list[Member]]]) -> int:
    """Write a packed set, whole or not at all; gives the number of samples.

    Raises:
        FileExistsError: the set is there.  ValueError: the original folder held no sample.
    """
    folder, partial = out / name, out / f"{name}.partial"
    if (folder / "index.jsonl").exists():
        raise FileExistsError(f"{folder} is there already")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    lines = []
    try:
        with zipfile.ZipFile(partial / "images.zip", "w", zipfile.ZIP_STORED) as archive:
            for row, members in samples:
                for member, data in members:
                    archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), data)
                lines.append(json.dumps(row, separators=(",", ":")))
        if not lines:
            raise ValueError("no sample found: is this the publisher's layout? See README.md")
        (partial / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        (partial / "index.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    from training.instruct import layouts

    makers: dict[str, tuple[dict, Callable]] = layouts.MAKERS
    parser = argparse.ArgumentParser(description="Build a packed set from its original layout.")
    parser.add_argument("name", choices=sorted(makers))
    parser.add_argument("original", type=Path, help="the publisher's folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of packed sets")
    a = parser.parse_args(argv)
    meta, maker = makers[a.name]
    try:
        if not a.original.is_dir():
            raise NotADirectoryError(f"{a.original} is no folder")
        many = write(a.out, a.name, meta, maker(a.original))
    except (OSError, ValueError, KeyError) as fault:
        wanted = " ".join((maker.__doc__ or "").split())
        print(f"{a.name}: {fault}\nexpected: {wanted}", file=sys.stderr)
        return 1
    print(f"{a.out / a.name}: {many} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())

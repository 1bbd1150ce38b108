"""The product file: one request's regions and overview, self-describing, safe to read.

Layout: ``EOPC``, version (1 byte), 3 zero bytes, header length and header CRC-32 (little endian,
4 bytes each), a zlib stream, then what is left of the blobs without gaps: the overview if there is
one, then each region not dropped, in header order. The stream holds the header JSON in UTF-8, a
zero byte, and the heads of the blobs in the same order: they hardly differ from each other, and of
a small block the head is most. The header has length and CRC-32 of every blob, and how much of it
is its head; what it says of regions stands column by column. So a reader needs nothing but the
file; it allocates only what the bytes can hold, and any bytes give content or `ImageError`.
Non-purpose: authentication and transfer, which are the link's.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ContractError, ImageError
from eo_nodes.contracts.rules import MODALITIES, ZOOM_AS_CONFIGURED, ZOOM_OUT
from eo_nodes.contracts.values import Region, View, validate

from . import codecs
from .prepare import fit, resize, views_of
from .sensors import DTYPES

Array = NDArray[Any]
MAGIC = b"EOPC"
_VERSION = 2
_PREFIX = struct.Struct("<4sB3xII")
_MAX_HEADER_BYTES = 4 << 20
_MAX_REGIONS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductHeader:
    """What the ground must know to answer without asking back.

    Attributes:
        window: x, y, w, h in scene pixels; regions lie inside it. zoom: as of a `Task`.
        visual_prompts: (kind, x and y of each vertex, label), as `VisualPrompt`.
        raw_bytes: samples of the window before any reduction.
        steps: dated history so far, name and orbital time in ns.
    """

    request_id: str
    task_id: str = ""
    scene_id: str = ""
    prompt: str = ""
    sensor: str = ""
    modality: str = "optical"
    place: str = ""
    capture_ns: int = 0
    window: tuple[int, ...] = ()
    zoom: int = 0
    frames: int = 1
    dtype: str = "uint8"
    band_names: tuple[str, ...] = ()
    gsd_m: float = 0.0
    visual_prompts: tuple[tuple[str, tuple[float, ...], str], ...] = ()
    raw_bytes: int = 0
    steps: tuple[tuple[str, int], ...] = ()


_HEADER_FIELDS = tuple(f.name for f in fields(ProductHeader))
_REGION_FIELDS = tuple(f.name for f in fields(Region))
_PLACE = ("x", "y", "w", "h")
_SAID = ("action", "scale", "relevance", "codec")
_BLOB = ("length", "crc32", "head")


@dataclass(frozen=True, slots=True)
class CodedRegion:
    """A region and its coded block; ``data`` is empty when the region was dropped."""

    region: Region
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class ContainerContent:
    """What a product file holds; ``overview`` is the coded block of the whole window or empty."""

    header: ProductHeader
    overview: bytes
    regions: tuple[CodedRegion, ...]


def code_region(
    frame: Array, region: Region, *, codec: str = codecs.DEFAULT_CODEC, max_error: float = 0.0,
    wavelet_step: float = 0.0,
) -> CodedRegion:
    """Cut a region from the scene (F, H, W, C), scale it by its action and code it.

    Kept regions are within ``max_error`` of the scene, exact by default; downsampled ones are
    averages anyway and are coded to a 510th of their range. With a ``wavelet_step`` both are coded
    with the irreversible wavelet and this step in units of the samples (HTJ2K only).

    Returns:
        The region with ``codec`` and ``coded_bytes`` filled in, and its block. The codec is a name
        of ``codecs.CODECS``, with ``/STEP`` behind it where there is a wavelet step.
    Raises:
        ImageError: the window lies outside the scene, or as `codecs.encode`.
    """
    facts = _facts(region)
    if region.action == "drop":
        return CodedRegion(Region(**{**facts, "scale": 0.0, "codec": "", "coded_bytes": 0}))
    x, y, w, h = region.window
    block = frame[:, y : y + h, x : x + w, :]
    if block.shape[1:3] != (h, w):
        raise ImageError("empty", f"region {region.window} outside {frame.shape}")
    if region.action == "downsample":
        block = resize(block, max(1, round(h * region.scale)), max(1, round(w * region.scale)))
        max_error = max(max_error, _coarse(block))
    data = codecs.encode(block, codec, max_error=max_error, wavelet_step=wavelet_step)
    name = f"{codec}/{wavelet_step:g}" if wavelet_step else codec
    return CodedRegion(Region(**{**facts, "codec": name, "coded_bytes": len(data)}), data)


def code_overview(
    frame: Array, window: Sequence[int], *, longest_px: int = 32, wavelet_step: float = 0.0
) -> bytes:
    """Code the whole window (x, y, w, h), shrunk to ``longest_px``.

    To a 510th of its range, or with this step of the irreversible wavelet.
    """
    x, y, w, h = window
    block = frame[:, y : y + h, x : x + w, :]
    block = resize(block, *fit(block.shape[1], block.shape[2], longest_px))
    return codecs.encode(block, max_error=_coarse(block), wavelet_step=wavelet_step)


def _coarse(block: Array) -> float:
    """Error bound that leaves 256 levels of a block's range."""
    return float(np.float64(block.max()) - np.float64(block.min())) / 510


def write_container(
    header: ProductHeader, overview: bytes, regions: Sequence[CodedRegion]
) -> bytes:
    """Write a product file.

    Args:
        overview: from `code_overview`, or empty.
        regions: from `code_region`.
    """
    blobs = [overview, *(r.data for r in regions)]
    heads = [codecs.head_length(blob) for blob in blobs]
    places = zip(*(r.region.window for r in regions), strict=True) if regions else [()] * 4
    columns: dict[str, Any] = dict(zip(_PLACE, places, strict=True))
    columns |= {name: [getattr(r.region, name) for r in regions] for name in _SAID}
    stored = [[len(blob) for blob in blobs], [zlib.crc32(blob) for blob in blobs], heads]
    tree = {
        "product": {name: getattr(header, name) for name in _HEADER_FIELDS},
        "overview": {name: column[0] for name, column in zip(_BLOB, stored, strict=True)},
        "regions": columns | {
            name: column[1:] for name, column in zip(_BLOB, stored, strict=True)},
    }
    parts = list(zip(blobs, heads, strict=True))
    plain = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode() + b"\0"
    text = zlib.compress(plain + b"".join(blob[:head] for blob, head in parts), 9)
    prefix = _PREFIX.pack(MAGIC, _VERSION, len(text), zlib.crc32(text))
    return b"".join([prefix, text, *(blob[head:] for blob, head in parts)])


def _facts(region: Region) -> dict[str, Any]:
    """Fields of a region; ``asdict`` copies deeply, and there may be hundreds."""
    return {name: getattr(region, name) for name in _REGION_FIELDS}


def read_container(data: bytes, *, is_cut: bool = False) -> ContainerContent:
    """Read a product file; total against any bytes.

    Args:
        is_cut: take a file whose end is missing (a pass broke off): regions behind the cut count
            as dropped, the one that the cut goes through as well unless its codec has layers.
    Raises:
        ImageError: not_a_product, truncated, corrupt.
    """
    if len(data) < _PREFIX.size or not data.startswith(MAGIC):
        raise ImageError("not_a_product", f"{len(data)} bytes, no product file")
    _, version, length, crc = _PREFIX.unpack_from(data)
    if version != _VERSION:
        raise ImageError("not_a_product", f"product file of version {version}")
    if length > _MAX_HEADER_BYTES:
        raise ImageError("corrupt", f"product header of {length} bytes")
    text = data[_PREFIX.size : _PREFIX.size + length]
    if len(text) < length:
        raise ImageError("truncated", "product header is cut")
    if zlib.crc32(text) != crc:
        raise ImageError("corrupt", "product header does not match its CRC")
    try:
        plain, _, heads = _inflate(text).partition(b"\0")
        tree = json.loads(plain)
        header = _header(tree["product"])
        entries = [tree["overview"], *_entries(tree["regions"])]
        blobs = _blobs(data, _PREFIX.size + length, heads, entries, is_cut)
        regions = tuple(
            CodedRegion(_region(_as_come(entry, blob, is_cut), header, blob), blob)
            for entry, blob in zip(entries[1:], blobs[1:], strict=True)
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ContractError,
            OverflowError, zlib.error) as error:  # fmt: skip
        raise ImageError("corrupt", f"product header: {str(error)[:200]}") from error
    return ContainerContent(header, blobs[0], regions)


def _inflate(text: bytes) -> bytes:
    """Inflate the header; a small stream must not claim gigabytes."""
    stream = zlib.decompressobj()
    plain = stream.decompress(text, _MAX_HEADER_BYTES)
    if not stream.eof or stream.unused_data:
        raise ImageError("corrupt", "product header does not end where it should")
    return plain


def _entries(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said of each region, from the header's columns."""
    count = len(columns["length"])
    if count >= _MAX_REGIONS:
        raise ImageError("corrupt", f"{count} regions")
    rows = zip(*(columns[name] for name in (*_PLACE, *_SAID, *_BLOB)), strict=True)
    found = []
    for row in rows:
        entry = dict(zip((*_SAID, *_BLOB), row[len(_PLACE) :], strict=True))
        found.append({**entry, "window": row[: len(_PLACE)], "coded_bytes": entry["length"]})
    return found


def _as_come(entry: dict[str, Any], blob: bytes, is_cut: bool) -> dict[str, Any]:
    """A region's entry with what a cut left of it."""
    if not is_cut or len(blob) == entry["length"]:
        return entry
    gone = {} if blob else {"action": "drop", "scale": 0.0, "codec": ""}
    return {**entry, **gone, "coded_bytes": len(blob)}


def _blobs(
    data: bytes, start: int, heads: bytes, entries: Sequence[dict[str, Any]], is_cut: bool
) -> list[bytes]:
    blobs, at, head_at = [], start, 0
    for entry in entries:
        length, head = entry["length"], entry["head"]
        if type(length) is not int or type(head) is not int or not 0 <= head <= length:
            raise ImageError("corrupt", "blob without a length")
        body = data[at : at + length - head]
        blob = heads[head_at : head_at + head] + body
        at, head_at = at + length - head, head_at + head
        if len(body) < length - head and is_cut:
            has_layers = entry.get("codec") == "jpeg2000_layers"
            blobs.append(blob if has_layers and body else b"")
            continue
        if len(body) < length - head:
            raise ImageError("truncated", f"product file ends {at - len(data)} bytes early")
        if len(blob) < length or zlib.crc32(blob) != entry["crc32"]:
            raise ImageError("corrupt", "blob does not match its CRC")
        blobs.append(blob)
    if at != len(data) and not (is_cut and at > len(data)):
        raise ImageError("corrupt", f"{len(data) - at} bytes behind the last blob")
    if head_at != len(heads):
        raise ImageError("corrupt", f"heads of {len(heads)} bytes, {head_at} of blobs")
    return blobs


def _header(tree: dict[str, Any]) -> ProductHeader:
    allowed = set(_HEADER_FIELDS)
    known = {key: value for key, value in tree.items() if key in allowed}
    for name in ("window", "band_names"):
        known[name] = tuple(known.get(name, ()))
    prompts = known.get("visual_prompts", ())
    known["visual_prompts"] = tuple((str(k), tuple(map(float, xy)), str(t)) for k, xy, t in prompts)
    known["steps"] = tuple((str(name), int(ns)) for name, ns in known.get("steps", ()))
    header = ProductHeader(**known)
    texts = (header.request_id, header.task_id, header.scene_id, header.prompt, header.sensor,
             header.place, *header.band_names)  # fmt: skip
    counts = (*header.window, header.zoom, header.frames, header.capture_ns, header.raw_bytes)
    if not all(isinstance(t, str) for t in texts) or not all(type(c) is int for c in counts):
        raise ImageError("corrupt", "product header with a field of the wrong type")
    _check_geometry(header)
    if not ZOOM_AS_CONFIGURED <= header.zoom <= ZOOM_OUT:
        raise ImageError("corrupt", f"zoom {header.zoom}")
    if not 0.0 <= float(header.gsd_m) < 1e7:
        raise ImageError("corrupt", "gsd_m out of range")
    return header


def _check_geometry(header: ProductHeader) -> None:
    if header.modality not in MODALITIES or header.dtype not in DTYPES:
        raise ImageError("corrupt", f"modality {header.modality!r}, dtype {header.dtype!r}")
    if len(header.window) != 4 or min(header.window[:2]) < 0 or min(header.window[2:]) < 1:
        raise ImageError("corrupt", f"window {header.window}")
    if max(*header.window, header.frames) > 65535 or header.frames < 1 or not header.band_names:
        raise ImageError("corrupt", "window, frames or bands out of range")


def _region(entry: dict[str, Any], header: ProductHeader, blob: bytes) -> Region:
    known = {name: entry[name] for name in _REGION_FIELDS}
    known["window"] = tuple(known["window"])
    region = Region(**known)
    validate(region)
    if not all(type(v) is int for v in region.window) or not isinstance(region.codec, str):
        raise ImageError("corrupt", "region with a field of the wrong type")
    x, y, w, h = region.window
    x0, y0, width, height = header.window
    if x < x0 or y < y0 or x + w > x0 + width or y + h > y0 + height:
        raise ImageError("corrupt", f"region {region.window} outside {header.window}")
    if (region.action == "drop") != (not blob) or region.coded_bytes != len(blob):
        raise ImageError("corrupt", f"region {region.window} with {len(blob)} bytes")
    return region


def overview_scale(content: ContainerContent) -> float:
    """Side length of a product's overview, as a share of the window's; 0 without one.

    Raises:
        ImageError: as `codecs.decode`.
    """
    if not content.overview:
        return 0.0
    block = codecs.decode(content.overview)
    _, _, width, height = content.header.window
    return float(max(block.shape[1:3]) / max(width, height))


def join(first: ContainerContent, later: ContainerContent) -> ContainerContent:
    """Add the regions of a refinement to the product it refines.

    Args:
        later: of a window inside the first one's; its overview is left out.
    Returns:
        Header and overview of the first; the coarsest regions first, so that `compose` puts finer
        ones on top.
    Raises:
        ImageError: wrong_layout: another request, or other bands, frames or dtype.
    """
    a, b = first.header, later.header
    if (a.request_id, a.frames, a.dtype, a.band_names) != (
        b.request_id,
        b.frames,
        b.dtype,
        b.band_names,
    ):
        raise ImageError("wrong_layout", f"a refinement of {b.request_id} for {a.request_id}")
    (x0, y0, width, height), (x, y, w, h) = a.window, b.window
    if x < x0 or y < y0 or x + w > x0 + width or y + h > y0 + height:
        raise ImageError("wrong_layout", f"refinement {b.window} outside {a.window}")
    parts = sorted((*first.regions, *later.regions), key=lambda part: part.region.scale)
    return ContainerContent(a, first.overview, tuple(parts))


def compose(*contents: ContainerContent, max_samples: int = 256_000_000) -> Array:
    """Put the window together: the overview enlarged below the regions, later files on top.

    Args:
        contents: products of one request (overview, regions, refinements), same window.
        max_samples: F * h * w * C that may be allocated.
    Returns:
        (F, h, w, C) in the scene's dtype; zeros where nothing was sent.
    Raises:
        ImageError: wrong_layout, too_large, or as `codecs.decode`.
    """
    if not contents:
        raise ImageError("wrong_layout", "no product to compose")
    header = contents[0].header
    if any(_shape(c.header) != _shape(header) for c in contents[1:]):
        raise ImageError("wrong_layout", "products of different windows")
    x0, y0, width, height = header.window
    shape = (header.frames, height, width, len(header.band_names))
    if int(np.prod(shape, dtype=object)) > max_samples:
        raise ImageError("too_large", f"window of {shape}")
    mosaic = np.zeros(shape, header.dtype)
    for content in contents:
        if content.overview:
            mosaic = resize(_block(content.overview, header, max_samples), height, width)
    for content in contents:
        for part in content.regions:
            if part.data:
                x, y, w, h = part.region.window
                block = _cut_block(part, header, max_samples)
                if block is None:
                    continue
                block = resize(block, h, w)
                mosaic[:, y - y0 : y - y0 + h, x - x0 : x - x0 + w, :] = block
    return mosaic


def _shape(header: ProductHeader) -> tuple[Any, ...]:
    return header.window, header.frames, header.dtype, header.band_names


def _cut_block(part: CodedRegion, header: ProductHeader, max_samples: int) -> Array | None:
    """Pixels of a region; None when a cut left too little of its layers to show anything."""
    try:
        return _block(part.data, header, max_samples)
    except ImageError:
        if part.region.codec != "jpeg2000_layers":
            raise
        return None


def _block(data: bytes, header: ProductHeader, max_samples: int) -> Array:
    block = codecs.decode(data, max_samples=max_samples)
    if (block.shape[0], block.shape[3]) != (header.frames, len(header.band_names)):
        raise ImageError("corrupt", f"block of {block.shape}")
    if block.dtype.name != header.dtype:
        raise ImageError("corrupt", f"block of {block.dtype}, product of {header.dtype}")
    return block


def views_from(
    *contents: ContainerContent, overview_px: int = 448, zoom: bool = False
) -> list[View]:
    """Views for the ground model from the products of one request; as `prepare.prepare_views`."""
    pixels = compose(*contents)
    x, y, w, h = contents[0].header.window
    names = contents[0].header.band_names
    return views_of(pixels, (x, y, w, h), names, overview_px=overview_px, zoom=zoom)

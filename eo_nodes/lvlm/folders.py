"""What a model folder is and whether it may be used, for lists and set-up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.assemble import require_assembled
from eo_nodes.lvlm.hf import is_hf_folder, read_layout
from eo_nodes.lvlm.hf.model import digest_of, used_files
from eo_nodes.lvlm.manifest import HF, MANIFEST, read_manifest, verify_files


@dataclass(frozen=True, slots=True)
class FolderState:
    """One model folder.

    Attributes:
        folder: its path. id, family: "" where they cannot be read. digest: SHA-256 (hex), "" when
            refused. size_bytes: of all files. bands: as the manifest has them.
        fault: why the folder is refused, "" for one that is right.
    """

    folder: Path
    id: str
    family: str
    digest: str
    size_bytes: int
    bands: tuple[str, ...]
    fault: str


def model_folders(root: Path) -> Iterator[Path]:
    """Yield the folders below ``root`` that are meant as models, sorted."""
    if not root.is_dir():
        return
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        if (folder / MANIFEST).is_file() or is_hf_folder(folder):
            yield folder


def state_of(folder: Path) -> FolderState:
    """Check a folder's files; graphs are not opened and the self test is not run."""
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    model_id = family = ""
    try:
        if not (folder / MANIFEST).is_file():
            config = read_layout(folder)
            digest = digest_of(folder, used_files(folder, config))
            return FolderState(folder, config.id, HF, digest, size, (), "")
        manifest = read_manifest(folder)
        model_id, family = manifest.id, manifest.family
        require_assembled(folder)
        verify_files(folder, manifest)
        return FolderState(folder, model_id, family, manifest.digest, size, manifest.bands, "")
    except ModelError as error:
        return FolderState(folder, model_id, family, "", size, (), str(error))

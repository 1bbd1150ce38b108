"""Load a model folder of any family, with onnxruntime and without torch."""

from __future__ import annotations

from pathlib import Path

from eo_nodes.lvlm.hf import is_hf_folder, load_hf
from eo_nodes.lvlm.interface import VisionLanguageModel
from eo_nodes.lvlm.manifest import HF, MANIFEST, read_manifest
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.unified import load_unified


def load_model(
    folder: Path, *, threads: int = 1, options: RuntimeOptions | None = None
) -> VisionLanguageModel:
    """Verify a model folder, load it, and run its golden input.

    Args:
        folder: as ``manifest`` describes, or in the layout of ``hf.layout``.
        threads: of onnxruntime, >= 1; the same number gives the same bits.
        options: instead of threads: all that a session can be told.
    Raises:
        ModelError: names the file or check that failed.
    """
    options = options or RuntimeOptions(threads=threads)
    if (folder / MANIFEST).is_file():
        is_hf = read_manifest(folder).family == HF
    else:
        is_hf = is_hf_folder(folder)
    return load_hf(folder, options) if is_hf else load_unified(folder, options)

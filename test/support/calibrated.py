"""A copy of the tiny model whose calibration suggests other thresholds."""

import json
import shutil
from pathlib import Path

from eo_nodes.lvlm.manifest import read_manifest, seal

TINY = Path(__file__).parents[1] / "data" / "lvlm" / "tiny_unified"


def calibrated(folder, above, below):
    """Make the folder, sealed. above, below: thresholds to answer and to offload, three stages."""
    shutil.copytree(TINY, folder)
    path = folder / "calibration.json"
    raw = json.loads(path.read_text())
    for stage, (high, low) in enumerate(zip(above, below, strict=True), 1):
        raw["stages"][str(stage)] |= {"answer_above": high, "offload_below": low}
    path.write_text(json.dumps(raw))
    old = read_manifest(folder)
    seal(folder, old.family, old.id, list(old.files), old.golden, old.bands)
    return str(folder)

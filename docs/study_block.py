"""README's section of the study: written from the table that is kept, see `eo_sim.study.keep`."""

from __future__ import annotations

import json
from pathlib import Path

from eo_sim.study.keep import FILE, REASONS, reasons
from eo_sim.study.page_kept import section

ROOT = Path(__file__).resolve().parent.parent


def study_section(root: Path = ROOT) -> str:
    """Return the section; without a kept table, that there is no trace."""
    path = root / FILE
    table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return section(table, reasons(root / REASONS))

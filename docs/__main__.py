"""Write the parts of the documentation that come from the code, or check that they are current.

    python -m docs            write docs/nodes.md, docs/graph.svg, parts of README.md and others
    python -m docs --check    change nothing; exit 1 and name what is out of date

What is written into a page stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from . import pages
from .draw_graph import draw
from .study_block import study_section

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = {
    "README.md": {
        "nodes": pages.nodes_table,
        "node-sections": pages.node_sections,
        "topics": pages.topics_table,
        "study": study_section,
    },
    "docs/operations.md": {
        "events": pages.events_table,
        "qualities": pages.quality_table,
    },
}


def wanted() -> dict[Path, str]:
    """Return what each file should hold."""
    result = {
        ROOT / "docs/nodes.md": pages.nodes_page(),
        ROOT / "docs/graph.svg": draw(),
    }
    for name, blocks in BLOCKS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        for label, make in blocks.items():
            text = _replace(text, label, make(), name)
        result[ROOT / name] = text
    return result


def stale() -> list[str]:
    """Return the names of files that the code has moved away from."""
    return [
        str(path.relative_to(ROOT))
        for path, text in wanted().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def _replace(text: str, label: str, content: str, name: str) -> str:
    pattern = re.compile(rf"(<!-- {label} -->\n).*?(<!-- /{label} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{name}: no block <!-- {label} --> ... <!-- /{label} -->")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def main() -> int:
    """Write or check; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when stale")
    if parser.parse_args().check:
        names = stale()
        for name in names:
            sys.stderr.write(f"{name} is out of date: run python -m docs\n")
        return 1 if names else 0
    for path, text in wanted().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Fly what the study found: write the routing of the kept table into the mission's parameters.

    python -m eo_sim.study.fly [--table FILE] [--params config/params/space.yaml] [--dry-run]

Only values of the node ``confidence`` change, comments and order stay. Prints what changed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eo_nodes.graph.paths import project_file

from .errors import StudyError

TABLE, PARAMS = "sim/assets/study/table.json", "config/params/space.yaml"
_BLOCK = "/**/confidence:"


def flown(text: str, routing: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The file with other values, and what changed, a line each.

    Args:
        text: of a parameter file. routing: value by name of a parameter.
    Raises:
        StudyError: the block, or one of the parameters, is not in it.
    """
    lines, changes, left = text.splitlines(keepends=True), [], dict(routing)
    is_inside = False
    for number, line in enumerate(lines):
        if line.strip() and not line[0].isspace() and not line.startswith("#"):
            is_inside = line.strip() == _BLOCK
        found = re.match(r"(\s+)(\w+): (.*?)(\s+#.*)?(\n?)$", line)
        if not is_inside or found is None or found[2] not in left:
            continue
        value = json.dumps(left.pop(found[2]))
        if value != found[3]:
            changes.append(f"{found[2]}: {found[3]} -> {value}")
            lines[number] = f"{found[1]}{found[2]}: {value}{found[4] or ''}{found[5]}"
    if left:
        raise StudyError(f"{_BLOCK} lacks {', '.join(sorted(left))}")
    return "".join(lines), changes


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m eo_sim.study.fly", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--table", type=Path, default=project_file(TABLE))
    p.add_argument("--params", type=Path, default=project_file(PARAMS))
    p.add_argument("--dry-run", action="store_true", help="only print what would change")
    a = p.parse_args(argv)
    try:
        routing = json.loads(a.table.read_text(encoding="utf-8"))["routing"]
        text, changes = flown(a.params.read_text(encoding="utf-8"), routing)
    except (OSError, KeyError, ValueError, StudyError) as error:
        print(f"fly: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n".join(changes) or f"{a.params} flies it already")
    if changes and not a.dry_run:
        a.params.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

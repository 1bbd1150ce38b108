"""Replay the committed trace: tune, replay, form the figures; write build/study.

    python -m eo_sim.study [--policy FILE]... [--trace FILE] [--out build/study] [--keep]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from eo_nodes.contracts.errors import ConfigError, EoError
from eo_nodes.graph.paths import project_file

from .config import StudyConfig, load_config
from .errors import StudyError, TraceError
from .formats import mark
from .goals import MOST_MINUTES
from .keep import FILE, sources, write_kept
from .trace import Trace, load_trace

_NO_TRACE = """there is no trace: {path}
The trace holds what both models said to the study's questions, recorded once per pair of models.
To record it, with the data folder of training/README.md (hours; it goes on where it was stopped):

    make trace DATA=DIR

then run `make study` again."""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    p = argparse.ArgumentParser(
        prog="python -m eo_sim.study", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--policy", type=Path, action="append", default=[],
                   help="a Python file with decide(view, link); several allowed")
    p.add_argument("--config", type=Path, help="instead of config/study.yaml")
    p.add_argument("--trace", type=Path, help="instead of the committed one")
    p.add_argument("--out", type=Path, default=Path("build/study"))
    p.add_argument("--recompute", type=int, default=30,
                   help="requests asked again of both models, on the chips of the source tree, "
                        "and compared; 0: none")
    p.add_argument("--no-ablations", action="store_true")
    p.add_argument("--no-speed", action="store_true",
                   help="leave out replays of ten thousand requests and more, some minutes")
    p.add_argument("--keep", action="store_true",
                   help=f"write what is claimed to {FILE} too: of the committed trace and "
                        "configuration, whole, with requests asked again")
    a = p.parse_args(argv)
    if a.keep and (a.policy or a.config or a.trace or a.no_ablations or a.no_speed
                   or not a.recompute):
        p.error("--keep is of the whole study, as it stands in the tree")
    return a


def open_trace(config: StudyConfig, given: Path | None) -> Trace:
    """The trace; StudyError that says how to make one where there is none."""
    try:
        path = given or project_file(config.trace)
        return load_trace(path)
    except ConfigError as error:
        raise StudyError(_NO_TRACE.format(path=config.trace)) from error
    except TraceError as error:
        if given is None or given.exists():
            raise
        raise StudyError(_NO_TRACE.format(path=given)) from error


def run(a: argparse.Namespace) -> int:
    """Run the study; the exit status."""
    from .measured import complete, folders, kept_file
    from .report import write
    from .run import Study
    from .speed_table import COUNTS
    from .user import load_policy

    begun_s = time.monotonic()
    at = a.config or project_file("config/study.yaml")
    config = load_config(at)
    trace = open_trace(config, a.trace)
    extra = [load_policy(path) for path in a.policy]
    checked = 0
    if a.recompute:
        from .recompute import recompute

        checked = recompute(trace, a.recompute)
        print(f"{checked} requests asked again, no difference", flush=True)

    def tell(line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{line[:78]:78s}", end="", file=sys.stderr, flush=True)

    study = Study(trace, config, project_file("config/mission"), tell)
    table = complete(
        study.table(extra, with_ablations=not a.no_ablations), trace, config, begun_s=begun_s,
        recomputed=checked, models=folders(), kept_at=kept_file(),
        counts=() if a.no_speed else COUNTS,
        made_from=sources(at, a.trace or project_file(config.trace), trace),
    )  # fmt: skip
    path = write(table, a.out)
    if a.keep:
        size = write_kept(table, at.parents[1] / FILE)
        print(f"\n{size} bytes in {FILE}; `python -m docs` writes README from it")
    print(f"\n{path.read_text(encoding='utf-8').split('## Policies')[0]}")
    minutes = table["machine"]["seconds"] / 60
    print(f"table: {path}; {minutes:.1f} min of at most {MOST_MINUTES:g}: "
          f"{mark(minutes < MOST_MINUTES)}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    try:
        return run(arguments(argv))
    except EoError as error:
        print(f"study: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""The `spaceverse` command: names, help and exit codes; each command loads its room when run.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 timeout, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from eo_nodes import __version__

from . import ask, bags, embed, infer, learn, models, study, system, watch

app = typer.Typer(
    name="spaceverse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Ask what a satellite sees; fly the graph, watch it, record it, replay it.\n\n"
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 timeout, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"spaceverse {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Version, then end.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


system.register(app)
ask.register(app)
watch.register(app)
bags.register(app)
infer.register(app)
embed.register(app)
models.register(app)
learn.register(app)
study.register(app)


def main() -> None:
    """Run the command and exit."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

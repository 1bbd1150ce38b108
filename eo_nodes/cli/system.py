"""`spaceverse demo` and `spaceverse up`: run the whole graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import UsageError, guarded


@guarded
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/demo"),
    scenario: Annotated[
        Path | None, typer.Option(help="Scenario file; default: the profile's.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.0, help="Orbital seconds per second; 0: as fast as possible.")
    ] = 0.0,
    record: Annotated[Path | None, typer.Option(help="Also record an MCAP bag here.")] = None,
    profile: Annotated[str, typer.Option(help="demo, or pair: two satellites.")] = "demo",
) -> None:
    """Fly the demo: satellite, stations, contacts, questions, answers; then write the report.

    Example: spaceverse demo --out build/demo --record build/demo/demo.mcap
    """
    from eo_sim import demo as driver

    status = driver.main(
        out_dir=out, scenario=scenario, rate=rate, record=record, profile=profile
    )
    raise typer.Exit(status)


def _up_is_missing(context: typer.Context) -> None:
    """Run the graph (needs the extra ``up``: pip install "spaceverse[up]")."""
    raise UsageError(f"{context.info_name} needs circus: pip install 'spaceverse[up]'")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo)
    try:
        from .up import up
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "circus":
            raise
        anything = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command("up", context_settings=anything)(guarded(_up_is_missing))
    else:
        app.command()(guarded(up))

"""`spaceverse study`: replay routing policies over real orbits, a policy of yours among them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import guarded


@guarded
def study(
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="A Python file with decide(view, link); several allowed."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of table and plots.")] = Path("build/study"),
    trace: Annotated[
        Path | None, typer.Option(help="A trace of your own; default: the committed one.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Instead of config/study.yaml.")] = None,
    recompute: Annotated[
        int, typer.Option(
            min=0, help="Requests asked again of both models, on chips of the tree; 0: none.")
    ] = 30,
    ablations: Annotated[bool, typer.Option(help="Replay the ablations too.")] = True,
    speed: Annotated[
        bool, typer.Option(help="Time replays of ten thousand requests and more, some minutes.")
    ] = True,
) -> None:
    """Tune every policy on val, replay all on test, write build/study/table.md and plots.

    Examples:

        spaceverse study

        spaceverse study --policy my_policy.py --recompute 0 --no-ablations --no-speed
    """
    from eo_sim.study.__main__ import arguments, run

    given = ["--out", str(out), "--recompute", str(recompute)]
    for file in policy or []:
        given += ["--policy", str(file)]
    for name, path in (("--trace", trace), ("--config", config)):
        given += [name, str(path)] if path else []
    given += [] if ablations else ["--no-ablations"]
    given += [] if speed else ["--no-speed"]
    raise typer.Exit(run(arguments(given)))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(study)

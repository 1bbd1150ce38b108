"""`spaceverse train` and `spaceverse evaluate`: what lies in `training`, under one command."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import UsageError, guarded

# What the extra lacks: packages read for their weights alone (teachers, the regular model's
# language layers). They want --no-deps, else much comes along, and an extra cannot say that.
LOCK = "training/requirements.lock"
_REST = {"allow_extra_args": True, "ignore_unknown_options": True}


def _stages() -> list[str]:
    """Modules of `training` that are commands: those that define ``main``."""
    found, folder = [], Path(importlib.import_module("training").__path__[0])
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # A package's `__main__` is a command of its own: `spaceverse evaluate`.
        if path.stem != "__main__" and any(
            isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body
        ):
            found.append(".".join(path.relative_to(folder).with_suffix("").parts))
    return sorted(found)


def _run(name: str, command: str, arguments: list[str], **more: Any) -> int:
    """Run ``training.NAME`` as this command; its exit status. more: for its ``main``."""
    sys.argv = [command, *arguments]
    try:
        # By name: the checks of this package's types stop at its own border.
        return importlib.import_module(f"training.{name}").main(**more) or 0
    except ModuleNotFoundError as error:
        raise UsageError(f"{command} needs {error.name}: pip install 'spaceverse[train]'; for all "
                         f"stages, in an environment of its own, pip install --no-deps "
                         f"--requirement {LOCK}") from None  # fmt: skip


@guarded
def train(
    context: typer.Context,
    stage: Annotated[
        str, typer.Argument(help="Stage of training/README.md; without one they are listed.")
    ] = "",
) -> None:
    """Run one stage of the training; most need the extra ``train`` (torch).

    What follows the stage goes to it as it is; after ``--`` also ``--help``.

    Examples:

        spaceverse train

        spaceverse train decoder.vocabulary --data DIR

        spaceverse train vision.train -- --help
    """
    stages = _stages()
    if not stage:
        print("\n".join(stages))
        return
    if stage not in stages:
        raise UsageError(f"no stage {stage!r}; known: {', '.join(stages)}")
    raise typer.Exit(_run(stage, f"spaceverse train {stage}", context.args))


@guarded
def evaluate(context: typer.Context) -> None:
    """Score models on the held-out splits of the data folder; goes on where it was stopped.

    Options are those of the evaluation itself, which also answers ``--help``.
    """
    from eo_nodes.api import model_folder

    raise typer.Exit(_run("evaluation.__main__", "spaceverse evaluate", context.args,
                          folder_of=model_folder))  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings=_REST)(train)
    # Its parser knows all options, and says them: no help of this side before it.
    app.command(context_settings={**_REST, "help_option_names": []})(evaluate)

"""`spaceverse train` and `spaceverse evaluate`: what lies in `training`, under one command."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from .common import UsageError, guarded

_REST = {"allow_extra_args": True, "ignore_unknown_options": True}


def _stages() -> list[str]:
    """Modules of `training` that are commands: those that define ``main``."""
    found, folder = [], importlib.import_module("training").__path__[0]
    for module in pkgutil.iter_modules([folder]):
        path = Path(folder) / f"{module.name}.py"
        if path.is_file():
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body):
                found.append(module.name)
    return sorted(found)


@guarded
def train(
    context: typer.Context,
    stage: Annotated[
        str, typer.Argument(help="Stage of training/README.md; without one they are listed.")
    ] = "",
) -> None:
    """Run one stage of the training; needs the extra ``train`` (torch).

    What follows the stage goes to it as it is.

    Examples:

        spaceverse train

        spaceverse train vocabulary --data DIR
    """
    stages = _stages()
    if not stage:
        print("\n".join(stages))
        return
    if stage not in stages:
        raise UsageError(f"no stage {stage!r}; known: {', '.join(stages)}")
    for library in ("torch", "torchvision"):
        if importlib.util.find_spec(library) is None:
            raise UsageError(f"training needs {library}: pip install 'spaceverse[train]'")
    try:
        module = importlib.import_module(f"training.{stage}")
    except ModuleNotFoundError as error:
        raise UsageError(f"training needs {error.name}: see training/requirements.lock") from None
    sys.argv = [f"spaceverse train {stage}", *context.args]
    raise typer.Exit(module.main() or 0)


@guarded
def evaluate(
    data: Annotated[Path, typer.Option(help="The data folder; see training/README.md.")],
    model: Annotated[
        list[str] | None, typer.Option(help="compact, regular or a folder; default: both.")
    ] = None,
    cells: Annotated[str, typer.Option(help="Patterns of SET.CELL, apart by commas.")] = "*",
    split: Annotated[str, typer.Option(help="test | val")] = "test",
    limit: Annotated[int, typer.Option(min=0, help="Questions a cell; 0: all.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of scores.json.")] = Path("build/eval"),
    threads: Annotated[int, typer.Option(min=1, help="Of the inference.")] = 1,
    controls: Annotated[bool, typer.Option(help="Ask blind and altered pictures too.")] = True,
) -> None:
    """Score models on the held-out splits of the data folder; goes on where it was stopped.

    Examples:

        spaceverse evaluate --data DIR --model compact --limit 20

        spaceverse evaluate --data DIR --cells "eurosat*" --split val
    """
    from eo_nodes.api import model_folder

    if split not in ("test", "val"):
        raise UsageError("--split: test or val")
    arguments = ["--data", str(data), "--cells", cells, "--split", split, "--limit", str(limit),
                 "--out", str(out), "--threads", str(threads)]  # fmt: skip
    for name in model or ("compact", "regular"):
        arguments += ["--model", str(model_folder(name))]
    # By name: the checks of this package's types stop at its own border.
    module = importlib.import_module("training.evaluation.__main__")
    raise typer.Exit(module.main(arguments + ([] if controls else ["--no-controls"])))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings=_REST)(train)
    app.command()(evaluate)

"""`spaceverse models`: the model folders, no graph, no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from eo_nodes.contracts.errors import ModelError

from .common import FAILED, JsonFlag, guarded, print_json


def model_folder(name: str) -> Path:
    """Return a model folder: a path as it is, else by its name below ``models``.

    Raises:
        ConfigError: there is none.
    """
    from eo_nodes.graph.paths import project_file

    path = Path(name)
    return path if path.is_dir() else project_file(f"models/{name}")


models = typer.Typer(no_args_is_help=True, help="List and verify the model folders.")


def _folders() -> list[Path]:
    from eo_nodes.graph.paths import project_file
    from eo_nodes.lvlm.manifest import MANIFEST

    return sorted(path.parent for path in project_file("models").glob(f"*/{MANIFEST}"))


@models.command("list")
@guarded
def list_models(as_json: JsonFlag = False) -> None:
    """List the models that come with the project.

    Example: spaceverse models list --json
    """
    from eo_nodes.console.show import show, table
    from eo_nodes.console.text import size
    from eo_nodes.lvlm.manifest import MANIFEST, read_config, sha256_of

    rows = [
        {
            "folder": folder.name,
            "id": read_config(folder).id,
            "digest": sha256_of(folder / MANIFEST),
            "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        }
        for folder in _folders()
    ]
    if as_json:
        print_json(rows)
    else:
        cells = [
            [str(r["folder"]), str(r["id"]), str(r["digest"])[:12], size(cast(int, r["bytes"]))]
            for r in rows
        ]
        show(table(["folder", "id", "digest", ">size"], cells))


@models.command("verify")
@guarded
def verify(
    folders: Annotated[
        list[str] | None, typer.Argument(help="Names or folders; default: all.")
    ] = None,
) -> None:
    """Check every file against its manifest, and that the model answers its self test.

    Example: spaceverse models verify compact
    """
    from eo_nodes.console.text import clean

    bad = 0
    for folder in map(model_folder, folders) if folders else _folders():
        fault = _fault(folder)
        bad += bool(fault)
        print(f"{folder.name}: REFUSED {clean(fault)}" if fault else f"{folder.name}: ok")
    if bad:
        raise typer.Exit(FAILED)


def _fault(folder: Path) -> str:
    """Return why a model folder is refused, or an empty string."""
    from eo_nodes.lvlm.model import load_model

    try:
        load_model(folder)
    except ModelError as error:
        return str(error)
    return ""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models, name="models")

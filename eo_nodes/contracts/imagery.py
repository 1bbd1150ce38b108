"""Scenes, tasks and requests: what is seen and what is asked.

Field units and ranges stand in ``msg/*.msg``; the rules here are what a node checks on entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .rules import (
    MODALITIES,
    ZOOM_AS_CONFIGURED,
    ZOOM_OUT,
    between,
    checked,
    finite,
    length,
    one_of,
    outline,
    pixel_window,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualPrompt:
    """A place in the image that a prompt points at."""

    kind: str = checked("", one_of("point", "box", "polygon"))
    xy: tuple[float, ...] = checked((), finite(2, 512))
    label: str = checked("", length(0, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One captured scene; the pixels stay in the frame store of the same machine."""

    id: str = checked("", length(1, 128))
    stamp_ns: int = 0
    capture_ns: int = 0
    sensor: str = checked("", length(1, 256))
    modality: str = checked("", one_of(*MODALITIES))
    place: str = checked("", length(0, 128))
    frame_key: str = checked("", length(1, 256))
    frames: int = checked(0, between(1, 65535))
    height: int = checked(0, between(1, 65535))
    width: int = checked(0, between(1, 65535))
    bands: int = checked(0, between(1, 65535))
    dtype: str = checked("", one_of("uint8", "uint16", "int16", "float32"))
    sha256: str = checked("", length(64, 64))
    band_names: tuple[str, ...] = ()
    wavelength_um: tuple[float, ...] = checked((), finite())
    gsd_m: float = checked(0.0, between(0, 1e6))
    crs: str = ""
    geotransform: tuple[float, ...] = checked((), finite())
    footprint: tuple[float, ...] = checked((), outline())
    flags: tuple[str, ...] = ()
    raw_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A question and the scenes it is asked of."""

    id: str = checked("", length(1, 128))
    stamp_ns: int = 0
    asked_ns: int = 0
    asker: str = checked("", length(0, 128))
    prompt: str = checked("", length(1, 2000))
    modality: str = checked("", one_of("", *MODALITIES))
    sensor: str = checked("", length(0, 128))
    place: str = checked("", length(0, 128))
    area: tuple[float, ...] = checked((), outline())
    window: tuple[int, ...] = checked((), pixel_window())
    zoom: int = checked(ZOOM_AS_CONFIGURED, between(ZOOM_AS_CONFIGURED, ZOOM_OUT))
    visual_prompts: tuple[VisualPrompt, ...] = ()
    valid_from_ns: int = checked(0, between(0, 2**63 - 1))
    deadline_ns: int = checked(0, between(0, 2**63 - 1))
    priority: int = checked(0, between(0, 7))
    consumer: str = checked("", one_of("ground", "onboard"))
    max_answers: int = checked(0, between(1, 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One task applied to one scene."""

    id: str = checked("", length(1, 128))
    task_id: str = checked("", length(1, 128))
    scene_id: str = checked("", length(1, 128))
    scene: Scene = field(default_factory=Scene)
    stamp_ns: int = 0
    capture_ns: int = 0
    prompt: str = checked("", length(1, 2000))
    modality: str = checked("", one_of(*MODALITIES))
    window: tuple[int, ...] = checked((), pixel_window(required=True))
    zoom: int = checked(ZOOM_AS_CONFIGURED, between(ZOOM_AS_CONFIGURED, ZOOM_OUT))
    visual_prompts: tuple[VisualPrompt, ...] = ()
    deadline_ns: int = 0
    priority: int = checked(0, between(0, 7))
    consumer: str = checked("", one_of("ground", "onboard"))
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Pixels for the model: a part of a scene, resampled, native bands."""

    kind: str = checked("", one_of("overview", "zoom"))
    window: tuple[int, ...] = checked((), pixel_window(required=True))
    frames: int = checked(0, between(1, 65535))
    height: int = checked(0, between(1, 65535))
    width: int = checked(0, between(1, 65535))
    bands: int = checked(0, between(1, 65535))
    dtype: str = checked("", one_of("uint8", "uint16", "int16", "float32"))
    band_names: tuple[str, ...] = ()
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Everything the model needs for one request."""

    request_id: str = checked("", length(1, 128))
    scene_id: str = ""
    stamp_ns: int = 0
    modality: str = checked("", one_of(*MODALITIES))
    prompt: str = checked("", length(1, 2000))
    attempt: int = 0
    views: tuple[View, ...] = ()

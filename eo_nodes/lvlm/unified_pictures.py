"""From the views and images of a request to pictures, and whether they belong together."""

from __future__ import annotations

from collections.abc import Sequence

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.views import ViewTensor
from eo_nodes.lvlm.visual_prompts import VisualPrompt
from eo_nodes.lvlm.zoom import MAX_PICTURES

_ROUNDING = 1e-6


def check_request(pictures: Sequence[Picture], places: Sequence[VisualPrompt]) -> None:
    """Refuse a request whose parts do not belong together."""
    if not 1 <= len(pictures) <= MAX_PICTURES:
        raise ModelError(f"{len(pictures)} pictures, expected 1 to {MAX_PICTURES}")
    images = [p.image for p in pictures if p.kind == "overview"]
    if not 1 <= len(images) <= slis.MAX_IMAGES or images != list(range(len(images))):
        raise ModelError(f"{len(images)} images, expected 1 to {slis.MAX_IMAGES}")
    for picture in pictures:
        x, y, w, h = picture.window
        if min(x, y) < -_ROUNDING or max(x + w, y + h) > 1 + _ROUNDING:
            raise ModelError(f"window {picture.window} lies outside its scene")
        if picture.image not in images:
            raise ModelError(f"a zoom into image {picture.image}, the last one is {images[-1]}")
    for place in places:
        if place.image not in images:
            raise ModelError(f"a place is on image {place.image}, the last one is {images[-1]}")


def pictures_of(views: Sequence[ViewTensor]) -> list[Picture]:
    """Views of the graph's nodes as pictures: windows in units of the first overview's.

    Raises:
        ModelError: no overview, or a shape that no view has.
    """
    first = next((v for v in views if v.kind == "overview"), None)
    if first is None:
        raise ModelError("no overview among the views")
    out: list[Picture] = []
    image = 0
    for view in views:
        if view.values.ndim != 4 or 0 in view.values.shape:
            raise ModelError(f"view of shape {view.values.shape}, expected (F, H, W, C)")
        x0, y0, w0, h0 = first.window
        x, y, w, h = view.window
        if min(w0, h0, w, h) <= 0:
            raise ModelError(f"window {view.window} is empty")
        window = ((x - x0) / w0, (y - y0) / h0, w / w0, h / h0)
        is_zoom = view.kind == "zoom"
        sensor = 0 if is_zoom else _slot(out, view.bands)
        for frame, values in enumerate(view.values):
            at = frame if is_zoom else image + frame
            out.append(Picture(values, view.bands, view.modality,
                               window if is_zoom else (0.0, 0.0, 1.0, 1.0),
                               view.kind, at, sensor, frame))
        image += 0 if is_zoom else len(view.values)
    return out


def pictures_of_images(images: Sequence[ImageInput]) -> list[Picture]:
    """Images of a request as pictures: of one set of bands they are dates, else sensors.

    Radar pictures to be compared with an optical one are candidates, not dates: only images
    beside no other sensor, or marked as temporal or video, count frames.
    """
    out: list[Picture] = []
    same = len({i.bands for i in images}) == 1
    for image in images:
        sensor = _slot(out, image.bands)
        for values in image.values:
            is_date = same or image.modality in ("temporal", "video")
            frame = len(out) if is_date else 0
            modality = "temporal" if same and len(images) > 1 and (
                image.modality != "video") else image.modality
            out.append(Picture(values, image.bands, modality, image=len(out), sensor=sensor,
                               frame=frame))
    return out


def _slot(before: Sequence[Picture], bands: tuple[str, ...]) -> int:
    """Sensor slot of an image: one a set of bands, in order of appearance."""
    known = list(dict.fromkeys(p.bands for p in before))
    return known.index(bands) if bands in known else len(known)

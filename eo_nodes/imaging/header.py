"""Fill in a product's header from the request that it answers: one function for node and study."""

from __future__ import annotations

from eo_nodes.contracts.values import Request

from .container import ProductHeader

CAPTURED, MATCHED, DECIDED = "captured", "matched", "decided"


def header_of(request: Request, decided_ns: int = 0) -> ProductHeader:
    """What the ground is told of a request beside its pixels.

    Args:
        decided_ns: orbital time of the verdict; 0 leaves all steps out, as a later product of the
            same request does.
    """
    scene = request.scene
    steps = ((CAPTURED, request.capture_ns), (MATCHED, request.stamp_ns), (DECIDED, decided_ns))
    return ProductHeader(
        request_id=request.id,
        task_id=request.task_id,
        scene_id=scene.id,
        prompt=request.prompt,
        visual_prompts=places_of(request),
        sensor=scene.sensor,
        modality=scene.modality,
        place=scene.place,
        capture_ns=request.capture_ns,
        window=tuple(request.window),
        zoom=request.zoom,
        frames=scene.frames,
        dtype=scene.dtype,
        band_names=scene.band_names,
        gsd_m=scene.gsd_m,
        raw_bytes=raw_bytes_of(request),
        steps=steps if decided_ns else (),
    )


def places_of(request: Request) -> tuple[tuple[str, tuple[float, ...], str], ...]:
    """What a request points at, scene pixels."""
    return tuple((p.kind, tuple(p.xy), p.label) for p in request.visual_prompts)


def raw_bytes_of(request: Request) -> int:
    """Bytes of the asked window as the sensor stores it."""
    scene = request.scene
    pixels = scene.width * scene.height
    return scene.raw_bytes * request.window[2] * request.window[3] // pixels

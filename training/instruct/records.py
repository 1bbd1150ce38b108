"""Values of the instruction builder: what one training or exam sample is. JSON in, JSON out.

Nothing here reads a file. Pixels and masks are fetched by reference (`builder.load_images`,
`builder.load_mask`), so an instruction stays small enough to hold a whole epoch in memory.
"""

import json
from dataclasses import asdict, dataclass, field

TASKS = ("classification", "vqa", "caption", "count", "grounding", "referring", "segmentation",
         "change", "temporal")
MODALITIES = ("optical", "sar", "thermal", "multispectral", "temporal", "video")
MOST_IMAGES = 8


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image of an instruction.

    Args:
        set: folder name of a real set, or "world".
        id: sample id in that set; for the world the scene's key (see `world.scene`).
        member: which image of the sample ("image", "image2"); for the world the sensor's name.
        window: part of the sample shown, (x, y, width, height) in its pixels; None shows all.
        turn: 0..7, quarter turns counter-clockwise (turn % 4), then mirrored if turn >= 4.
        sensor: slot 0..3, one per co-registered sensor of the request.
        frame: 0..7, index of date or video frame.
        time: index of the frame or date in the source (world, clips).
        modality: one of `MODALITIES`.
    """

    set: str
    id: str
    member: str = "image"
    window: tuple[int, int, int, int] | None = None
    turn: int = 0
    sensor: int = 0
    frame: int = 0
    time: int = 0
    modality: str = "optical"


@dataclass(frozen=True, slots=True)
class MaskRef:
    """A mask to predict: pixels of `image` whose stored value is one of `values`; `ignore` are
    stored values without a label. For the world `values` name a layer instead."""

    image: ImageRef
    values: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Targets:
    """What the sample is known to hold beside the answer's text.

    boxes: (image index, x1, y1, x2, y2) of every labelled object, 0..1; labels: their kinds.
    oboxes: (image index, cx, cy, w, h, angle in degrees [0, 180)), in step with `boxes` where set.
    mask: what `<seg>` stands for. references: all reference captions. scene: cluster for
    intervals. pair: shared by instructions whose only difference is a region. focus_mask: pixels
    that the prompt points at.
    """

    boxes: tuple[tuple[float, ...], ...] = ()
    labels: tuple[str, ...] = ()
    oboxes: tuple[tuple[float, ...], ...] = ()
    mask: MaskRef | None = None
    references: tuple[str, ...] = ()
    scene: str = ""
    pair: str = ""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A prompt with images and the answer to be learnt.

    modality: of the request, one of `MODALITIES` or "fusion" (several sensors). bands: names per
    image. prompt and answer: text with SLIS spatial terms. focus: "", "all", "mask" or the kind
    of object the prompt is about. group: questions that are balanced against each other.
    """

    id: str
    set: str
    split: str
    task: str
    kind: str
    images: tuple[ImageRef, ...]
    modality: str
    bands: tuple[tuple[str, ...], ...]
    prompt: str
    answer: str
    targets: Targets = field(default_factory=Targets)
    focus: str = ""
    group: str = ""

    def to_json(self) -> str:
        """One line of JSON; `from_json` is its inverse."""
        return json.dumps(asdict(self), separators=(",", ":"))


def _image(d: dict) -> ImageRef:
    return ImageRef(**{**d, "window": tuple(d["window"]) if d["window"] else None})


def _mask(d: dict | None) -> MaskRef | None:
    return d and MaskRef(_image(d["image"]), tuple(d["values"]), tuple(d["ignore"]), d["layer"])


def from_json(line: str) -> Instruction:
    """Instruction of a line written by `Instruction.to_json`."""
    d = json.loads(line)
    t = d["targets"]
    t = Targets(tuple(map(tuple, t["boxes"])), tuple(t["labels"]), tuple(map(tuple, t["oboxes"])),
                _mask(t["mask"]), tuple(t["references"]), t["scene"], t["pair"])
    return Instruction(**{**d, "images": tuple(map(_image, d["images"])),
                          "bands": tuple(map(tuple, d["bands"])), "targets": t})

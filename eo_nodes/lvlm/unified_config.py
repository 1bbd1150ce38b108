"""Configuration of a folder of our own model family: how its graphs were made and must be fed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.choosing import ORDERS
from eo_nodes.lvlm.counting import Counting
from eo_nodes.lvlm.manifest import read_json
from eo_nodes.lvlm.slis import SlisValueError, SpatialIds
from eo_nodes.lvlm.spectrum import SENSORS
from eo_nodes.lvlm.told import Classes, size_of

WEIGHTS = "language.bin"
"""Weights of the decoder graph that are put together at set-up, where a folder has such."""
_STREAM = ("layers", "heads", "kv_heads", "head_dim", "layer_macs")
FILES = ("vision.onnx", "scene.onnx", "pair.onnx", "decoder.onnx", WEIGHTS)


@dataclass(frozen=True, slots=True)
class Stream:
    """Layers of a decoder that share a width: layers, heads, kv_heads, head_dim; layer_macs:
    multiply-accumulates of the matrices of one of them for one token, adapters included."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    layer_macs: int

    @property
    def width(self) -> int:
        """Of a hidden state."""
        return self.heads * self.head_dim

    @property
    def values_per_token(self) -> int:
        """Numbers that the KV cache keeps of one token."""
        return self.layers * 2 * self.kv_heads * self.head_dim

    def macs(self, rows: int, context: int) -> int:
        """Multiply-accumulates of ``rows`` new tokens, ``context`` with those before."""
        return rows * self.layers * (self.layer_macs + 2 * self.width * context)


@dataclass(frozen=True, slots=True)
class Coarse:
    """The coarse network of a vision graph: fields as those of the same name below."""

    input_size: int
    upscale: float
    vision_macs_per_cell: int


@dataclass(frozen=True, slots=True)
class UnifiedConfig:
    """Content of ``config.json``.

    Attributes:
        id: name of the model, e.g. ``compact``.
        input_size, upscale: as in ``sight.input_shape``.
        coarse: of the second network, which sees every picture smaller; None where there is one.
        streams: of the decoder; logits come from the last one. Files of decoders with one may
            write its fields beside the others instead.
        words, vocabulary: word pieces; all tokens, the spatial ones included.
        positions: longest prompt plus answer in tokens.
        cls_token, end_token: ids that open the prompt, and end prompt and answer.
        kinds: names of the objects that the heat map knows. chances: numbers of all heads.
        depth: channels of the pixel map. query_bias: added to query . pixel.
        spatial: where the spatial tokens lie.
        vision_macs_per_cell: multiply-accumulates of the vision network for one 32 x 32 px cell.
        temperature: divides the logits for the session's confidence; fitted on val.
        classes: groups of classes that the heads tell apart, in the order of ``told``.
        labels: what a head says is in a picture or not, in that order, None: nothing is told of it.
        counting: how peaks count in the pictures of each sensor.
        listing: least score of each kind in lists of boxes, see ``told.lists``; none: none is told.
        choosing: whether what the vision graph says of each of ``choosing.ORDERS`` is told.
    """

    id: str
    input_size: int
    upscale: float
    streams: tuple[Stream, ...]
    words: int
    vocabulary: int
    positions: int
    cls_token: int
    end_token: int
    kinds: tuple[str, ...]
    chances: int
    depth: int
    query_bias: float
    spatial: SpatialIds
    vision_macs_per_cell: int
    temperature: float
    coarse: Coarse | None = None
    classes: tuple[Classes, ...] = ()
    labels: Classes | None = None
    counting: Mapping[str, Counting] = field(default_factory=dict)
    listing: tuple[float, ...] = ()
    choosing: tuple[bool, ...] = ()

    @property
    def asked_size(self) -> int:
        """Scores of what is asked for."""
        labels = 0 if self.labels is None else len(self.labels.names)
        return size_of(len(self.kinds), len(self.classes), labels)

    @property
    def width(self) -> int:
        """Of a visual token, which is those of all streams side by side."""
        return sum(s.width for s in self.streams)

    @property
    def values_per_token(self) -> int:
        """Numbers that the KV cache keeps of one token."""
        return sum(s.values_per_token for s in self.streams)

    def decoder_macs(self, rows: int, context: int) -> int:
        """Multiply-accumulates of one run on ``rows`` new tokens, ``context`` with those before."""
        last = self.streams[-1].width
        return sum(s.macs(rows, context) for s in self.streams) + last * (last + self.vocabulary)

    def as_json(self) -> dict[str, Any]:
        """Content for the file; ``read_unified`` is the inverse."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**plain, "kinds": list(self.kinds), "spatial": self.spatial.as_json(),
                "streams": [asdict(s) for s in self.streams],
                "coarse": None if self.coarse is None else asdict(self.coarse),
                "classes": [_plain(g) for g in self.classes],
                "labels": None if self.labels is None else _plain(self.labels),
                "counting": {sensor: asdict(v) for sensor, v in self.counting.items()},
                "listing": list(self.listing), "choosing": list(self.choosing)}


def _plain(outputs: Classes) -> dict[str, Any]:
    return {"at": outputs.at, "names": list(outputs.names)}


def _classes(raw: Mapping[str, Any]) -> Classes:
    return Classes(int(raw["at"]), tuple(map(str, raw["names"])))


def read_unified(folder: Path) -> UnifiedConfig:
    """Read ``config.json`` of a folder.

    Raises:
        ModelError: unreadable, a field missing or unknown.
    """
    raw = dict(read_json(folder / "config.json"))
    try:
        if "streams" not in raw:
            raw["streams"] = [{name: raw.pop(name) for name in _STREAM}]
            raw.pop("width")
        streams = tuple(Stream(**s) for s in raw["streams"])
        if not streams:
            raise ValueError("no stream")
        coarse = raw.get("coarse")
        raw["coarse"] = None if coarse is None else Coarse(**coarse)
        raw["classes"] = tuple(_classes(g) for g in raw.get("classes", ()))
        labels = raw.get("labels")
        raw["labels"] = None if labels is None else _classes(labels)
        kinds = len(raw["kinds"])
        raw["counting"] = {str(sensor): Counting(**{k: tuple(map(float, v))
                                                    for k, v in rule.items()})
                           for sensor, rule in raw.get("counting", {}).items()}
        for sensor, rule in raw["counting"].items():
            if sensor not in SENSORS or len(rule.shifts) != kinds:
                raise ValueError(f"counting of {sensor}: {rule}")
        raw["listing"] = tuple(map(float, raw.get("listing", ())))
        if len(raw["listing"]) not in (0, kinds) or any(not 0 <= v < 1 for v in raw["listing"]):
            raise ValueError(f"listing {raw['listing']}")
        raw["choosing"] = tuple(raw.get("choosing", ()))
        if len(raw["choosing"]) not in (0, len(ORDERS)) or any(
                not isinstance(v, bool) for v in raw["choosing"]):
            raise ValueError(f"choosing {raw['choosing']}")
        told = [*raw["classes"], *([] if labels is None else [raw["labels"]])]
        if any(g.at < 0 or g.at + len(g.names) > raw["chances"] for g in told):
            raise ValueError("classes or labels beyond the chances")
        return UnifiedConfig(**{**raw, "kinds": tuple(raw["kinds"]), "streams": streams,
                                "spatial": SpatialIds.read(raw["spatial"])})
    except (AttributeError, KeyError, TypeError, ValueError, SlisValueError) as error:
        raise ModelError(f"config.json does not fit: {error}") from error

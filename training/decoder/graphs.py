"""The four graphs of a model folder, as `eo_nodes.lvlm.unified` runs them."""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.spectrum import CODE_SIZE
from training.decoder.perception import candidates
from training.vision.backbone import Backbone
from training.vision.dual import DualNetwork
from training.vision.expert import exported_convs
from training.vision.network import chances_of

VISION_INPUTS = ("pixels", "codes", "geometry", "tags", "pool")
VISION_OUTPUTS = ("cells", "chances", "meaning", "totals", "score", "boxes", "kinds", "look",
                  "pixel", "cell_meaning", "signature")
SCENE_INPUTS = ("chances", "meaning", "totals", "peaks", "boxes", "look", "kinds", "score",
                "is_prompt", "rank", "tags")


class _GivenKernels(torch.autograd.Function):
    """Convolution of stride 2 whose kernels are computed, padded behind as TensorFlow's 'same'.

    The exporter writes convolutions of constant kernels alone; ONNX itself has no such limit.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        return functional.conv2d(functional.pad(x, (0, 1, 0, 1)), weight, bias, stride=2)

    @staticmethod
    def symbolic(g, x, weight, bias):
        return g.op("Conv", x, weight, bias, kernel_shape_i=[3, 3], strides_i=[2, 2],
                    pads_i=[0, 0, 1, 1])


class _ExportedStem(nn.Module):
    """`BandStem` as one convolution of the graph, for any number of pictures."""

    def __init__(self, stem):
        super().__init__()
        self.stem, self.width = stem, stem.width

    def forward(self, x, band_codes):
        weight = self.stem.kernels(band_codes).transpose(0, 1) / band_codes.shape[0]
        return functional.relu6(_GivenKernels.apply(x, weight, self.stem.bias))


@contextmanager
def exported_stem(network):
    """The network with the stems that its graph gets."""
    parts = [m for m in network.modules() if isinstance(m, Backbone)]
    stems = [part.stem for part in parts]
    for part in parts:
        part.stem = _ExportedStem(part.stem)
    try:
        yield network
    finally:
        for part, stem in zip(parts, stems, strict=True):
            part.stem = stem


class VisionGraph(nn.Module):
    """Pictures of one size and one set of bands -> cell tokens, what the summary is made of,
    proposals, pixel map. coarse: the same pictures once more, for a `DualNetwork`."""

    def __init__(self, network, projector):
        super().__init__()
        self.network, self.projector = network, projector

    def forward(self, pixels, codes, geometry, tags, pool, *coarse):
        n, p = self.network, self.projector
        found = n(pixels, codes, *coarse)
        chances = chances_of(n.logits(found, p.heads), p.heads)
        flat = found["cells"].flatten(1, 2)
        cells = p.cells(pool[None] @ flat, geometry, tags)
        score, boxes, kinds, look = candidates(found["heat"], found["shape"], found["pixel"])
        return (cells, chances, n.meaning(found), n.totals(found), score, boxes, kinds, look,
                found["pixel"], n.cell_meaning(found).flatten(1, 2), n.signature(found["pixel"]))


class SceneGraph(nn.Module):
    """Summary and regions of one image -> (1, S + R, width)."""

    def __init__(self, projector):
        super().__init__()
        self.projector, self.split = projector, [n for _, n in projector.heads]

    def forward(self, chances, meaning, totals, peaks, boxes, look, kinds, score, is_prompt, rank,
                tags):
        p = self.projector
        parts = {k: v for (k, _), v in zip(p.heads, chances.split(self.split, 1), strict=True)}
        return torch.cat([p.summary(parts, meaning, totals, peaks, tags),
                          p.regions(boxes, look, kinds, score, is_prompt, rank, tags)], 1)


class PairGraph(nn.Module):
    """Pixel maps of two dates -> the map of their change, and its tokens."""

    def __init__(self, network, projector):
        super().__init__()
        self.network, self.projector = network, projector

    def forward(self, first, last):
        change = self.network.compare(first, last)
        pooled = torch.cat([change.mean((2, 3)), change.amax((2, 3))], 1)
        return change, self.projector.change(pooled)


def cache_names(layers):
    """(past inputs, present outputs): keys and values of each layer apart, (1, heads, P, d), so
    that a step copies each of them once and not to cut and stack them as well."""
    parts = [f"{i}.{part}" for i in range(layers) for part in ("key", "value")]
    return [f"past.{p}" for p in parts], [f"present.{p}" for p in parts]


def blocked(queries, past, visual):
    """(n, P + n) added to scores: causal for text; in the first run all see the visual tokens."""
    keys = torch.arange(past + queries)[None]
    allow = (keys <= torch.arange(queries)[:, None] + past) | (keys < visual)
    return torch.where(allow, 0.0, -1e9)


class DecoderGraph(nn.Module):
    """One step with a cache: prompt with visual tokens, or one decoded token without any.

    tokens (1, T), places (1, T), visual (1, V, width), past as `cache_names` has it ->
    logits (1, K), hidden (1, width), query (1, depth) of the last token, relevance (1, V), aim
    (1, P + 2) of the last token and held (1, V, P) for `eo_nodes.lvlm.pointer`, asked for
    `eo_nodes.lvlm.told`, present.
    Queries, keys and values are one product; the scale of the scores lies in its weights.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.table_in = nn.Parameter(model.table(model.place_in).detach())
        self.table_out = nn.Parameter(model.table(model.place_out).detach())
        scale = model.config.head_dim**-0.5
        self.products = nn.ModuleList(_joined(layer, scale) for layer in model.layers)

    def forward(self, tokens, places, visual, *past):
        m, c = self.model, self.model.config
        words = functional.embedding(tokens, self.table_in)
        text = m.text_norm(words + m.positions(places))
        x = torch.cat([visual, text], 1)
        v, n = visual.shape[1], x.shape[1]
        unseen = blocked(n, past[0].shape[2], v)
        present = []
        for i, layer in enumerate(m.layers):
            split = self.products[i](x).reshape(1, -1, 3 * c.heads, c.head_dim).transpose(1, 2)
            q, k, w = split.split(c.heads, 1)
            k, w = torch.cat([past[2 * i], k], 2), torch.cat([past[2 * i + 1], w], 2)
            present += [k, w]
            mixed = (q @ k.transpose(2, 3) + unseen).softmax(-1) @ w
            mixed = mixed.transpose(1, 2).reshape(1, -1, c.width)
            x = layer.norm1(x + layer.out(mixed))
            x = layer.norm2(x + layer.down(functional.gelu(layer.up(x))))
        last = x[:, -1]
        seen = torch.sigmoid(m.relevance(last[:, None], x[:, :v])[:, 0])
        logits = functional.linear(last, self.table_out, m.bias)
        asked = () if m.asked is None else (m.asked(last, words),)
        return (logits, last, m.query(last), seen, m.aim(last), m.held(x[:, :v]), *asked,
                *present)


def _joined(layer, scale):
    """Query (times ``scale``), key and value of a layer as one product."""
    parts = (layer.query, layer.key, layer.value)
    joined = nn.Linear(layer.query.in_features, sum(p.out_features for p in parts))
    for leaf in ("weight", "bias"):
        values = [getattr(p, leaf).detach() for p in parts]
        getattr(joined, leaf).data = torch.cat([values[0] * scale, *values[1:]])
    return joined


def _export(graph, feed, path, inputs, outputs, free):
    torch.onnx.export(graph.eval(), feed, str(path), dynamo=False, opset_version=17,
                      do_constant_folding=False, input_names=list(inputs),
                      output_names=list(outputs), dynamic_axes=free)


def export_vision(network, projector, path, bands=3, cells=(4, 4)):
    """Any number of pictures, bands, height, width and tokens."""
    rows, cols = cells
    n, t = 2, rows * cols
    feed = [torch.zeros(n, bands, rows * 32, cols * 32), torch.zeros(bands, CODE_SIZE),
            torch.full((n, t, 4), 0.5), torch.zeros(n, 4, dtype=torch.long), torch.eye(t)]
    inputs = list(VISION_INPUTS)
    free = {name: {0: "pictures"} for name in ("pixels", "geometry", "tags", *VISION_OUTPUTS)}
    free["pixels"] |= {1: "bands", 2: "height", 3: "width"}
    free |= {"codes": {0: "bands"}, "pool": {0: "tokens", 1: "cells"}}
    for name, more in (("geometry", {1: "tokens"}), ("cells", {1: "tokens"}),
                       ("pixel", {2: "rows", 3: "cols"}), ("cell_meaning", {1: "cells"})):
        free[name] |= more
    if isinstance(network, DualNetwork):
        feed.append(torch.zeros(n, bands, (rows - 1) * 32, (cols - 1) * 32))
        inputs.append("coarse")
        free["coarse"] = {0: "pictures", 1: "bands", 2: "coarse_height", 3: "coarse_width"}
    with exported_stem(network), exported_convs(network):
        _export(VisionGraph(network, projector), tuple(feed), path, inputs, VISION_OUTPUTS, free)


def export_scene(projector, kinds, depth, path):
    """Any number of regions."""
    r = 5
    feed = (torch.zeros(1, sum(n for _, n in projector.heads)), torch.zeros(1, 384),
            torch.zeros(1, kinds), torch.zeros(1, kinds), torch.zeros(1, r, 4),
            torch.zeros(1, r, depth), torch.zeros(1, r, kinds), torch.zeros(1, r),
            torch.zeros(1, r), torch.zeros(1, r, dtype=torch.long),
            torch.zeros(1, 4, dtype=torch.long))
    free = {n: {1: "regions"} for n in ("boxes", "look", "kinds", "score", "is_prompt", "rank")}
    free["tokens"] = {1: "all"}
    _export(SceneGraph(projector), feed, path, SCENE_INPUTS, ["tokens"], free)


def export_pair(network, projector, depth, path):
    """Any size of map."""
    feed = (torch.zeros(1, depth, 8, 8), torch.zeros(1, depth, 8, 8))
    size = {2: "rows", 3: "cols"}
    _export(PairGraph(network, projector), feed, path, ["first", "last"], ["pixel", "tokens"],
            {"first": size, "last": size, "pixel": size})


def decoder_axes(config, tells):
    """(example cache, inputs, outputs, free axes) that every decoder graph has."""
    shapes = [(heads, size) for layers, _, heads, size, _ in config.streams
              for _ in range(2 * layers)]
    past, present = cache_names(len(shapes) // 2)
    free = {"tokens": {1: "text"}, "places": {1: "text"}, "visual": {1: "visual"},
            "relevance": {1: "visual"}, "held": {1: "visual"}}
    free |= {name: {2: "past"} for name in past} | {name: {2: "total"} for name in present}
    cache = [torch.zeros(1, heads, 3, size) for heads, size in shapes]
    return (cache, ["tokens", "places", "visual", *past],
            ["logits", "hidden", "query", "relevance", "aim", "held",
             *(["asked"] if tells else []), *present], free)


def export_decoder(model, path):
    """Free text, visual and cache lengths."""
    cache, inputs, outputs, free = decoder_axes(model.config, model.asked is not None)
    feed = (torch.zeros(1, 5, dtype=torch.long), torch.arange(5)[None],
            torch.zeros(1, 7, model.config.width), *cache)
    _export(DecoderGraph(model), feed, path, inputs, outputs, free)

"""The decoder graph of the regular size: both streams, frozen weights outside.

The graph has the inputs and outputs of `graphs.DecoderGraph`; a visual token is that of the wide
stream and that of the narrow one side by side, the cache is the wide layers' and then the narrow
ones'. What is frozen is lent (`lending`): SmolLM2's layers, and matrices of the compact folder.
"""

import torch
from torch import nn
from torch.nn import functional

from training.decoder.graphs import blocked, decoder_axes
from training.decoder.ladder import SIDE
from training.decoder.lending import PREFIX
from training.decoder.llama_export import WideStream


class LadderGraph(nn.Module):
    """One step with a cache, as `graphs.DecoderGraph`; frozen weights follow as inputs."""

    def __init__(self, model):
        super().__init__()
        self.model, self.wide = model, WideStream(model.wide)
        self.names = names_of(model)
        self.rungs = nn.ModuleList(_folded(rung, model.voice) for rung in model.rungs)
        self.ones = nn.Parameter(torch.ones(model.config.wide.width))

    def times(self, x, name, lent):
        """Product with a matrix of the compact decoder and its adapter."""
        weight, bias = lent[f"{name}.weight"], self.model.value(f"{name}.bias")
        side = self.model.sides[f"{name}.weight".replace(".", "_")]
        return x @ weight.T + bias + x @ side.enter @ side.leave

    def forward(self, tokens, places, visual, *rest):
        m, c = self.model, self.model.config
        deep, layers = 2 * c.wide.layers, 2 * (c.wide.layers + c.side_layers)
        past, frozen = rest[:layers], dict(zip(self.names, rest[layers:], strict=True))
        lent = {n.removeprefix(PREFIX): w for n, w in frozen.items() if n.startswith(PREFIX)}
        wide, narrow = visual.split([c.wide.width, c.side_width], -1)
        heard, present = self.wide(tokens, places, wide, past[:deep], frozen, c.taps)
        read = [rung(self.wide.norm(states, self.ones))
                for rung, states in zip(self.rungs, heard, strict=True)]

        words = functional.embedding(tokens, lent["table_in"])
        text = words + functional.embedding(places, lent["model.positions.weight"])
        x = torch.cat([narrow, m.norm(text, "model.text_norm")], 1)
        v, n = visual.shape[1], x.shape[1]
        unseen = blocked(n, past[deep].shape[2], v)
        for i in range(c.side_layers):
            x = x + read[i]
            qkv, out, up, down = (name.format(i) for name in SIDE)
            split = self.times(x, qkv, lent).reshape(1, -1, 3 * c.side_heads, c.side_head_dim)
            q, k, w = split.transpose(1, 2).split(c.side_heads, 1)
            at = deep + 2 * i
            k, w = torch.cat([past[at], k], 2), torch.cat([past[at + 1], w], 2)
            present += [k, w]
            mixed = (q @ k.transpose(2, 3) + unseen).softmax(-1) @ w
            mixed = mixed.transpose(1, 2).reshape(1, -1, c.side_width)
            norms = f"model.layers.{i}"
            x = m.norm(x + self.times(mixed, out, lent), f"{norms}.norm1")
            y = self.times(functional.gelu(self.times(x, up, lent)), down, lent)
            x = m.norm(x + y, f"{norms}.norm2")
        x = x + read[-1]
        last = x[:, -1]
        seen = torch.sigmoid(m.relevance(last[:, None], x[:, :v])[:, 0])
        logits = functional.linear(last + m.lens(last), lent["table_out"], m.bias)
        asked = () if m.asked is None else (m.asked(last, words),)
        return (logits, last, m.query(last), seen, m.aim(last), m.held(x[:, :v]), *asked,
                *present)


def names_of(model):
    """Names of the frozen weights, in the order in which the graph takes them."""
    return [*model.wide.names, *(PREFIX + n for n in model.frozen_names)]


def _folded(rung, voice):
    """The rung's product with its gain and the common factor in it."""
    out = nn.Linear(rung.out.in_features, rung.out.out_features)
    out.weight.data = rung.out.weight.detach() * rung.gain * voice
    out.bias.data = rung.out.bias.detach() * voice
    return out


def export_ladder(model, path):
    """Free text, visual and cache lengths; the frozen weights are inputs until `attach`."""
    cache, inputs, outputs, free = decoder_axes(model.config, model.asked is not None)
    frozen = [*model.wide.frozen.values(), *(model.value(n) for n in model.frozen_names)]
    feed = (torch.zeros(1, 5, dtype=torch.long), torch.arange(5)[None],
            torch.zeros(1, 7, model.config.width), *cache, *frozen)
    torch.onnx.export(
        LadderGraph(model).eval(), feed, str(path), dynamo=False, opset_version=17,
        do_constant_folding=False, input_names=[*inputs, *names_of(model)],
        output_names=outputs, dynamic_axes=free)

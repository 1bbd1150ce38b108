"""The graph of a Llama-class model on assembled weights, against a plain forward pass."""


import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytestmark = pytest.mark.training
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from gguf_writer import tiny_llama  # noqa: E402

from eo_nodes.lvlm.assemble import GgufFile, assemble, llama, read_recipe  # noqa: E402
from eo_nodes.lvlm.runtime import RuntimeOptions, open_session  # noqa: E402
from eo_nodes.lvlm.runtime_cache import CachedDecoder  # noqa: E402
from training import llama_graph  # noqa: E402


def plain_logits(gguf, ids, visual):
    """Rotary pairs side by side, as the file has them; no cache."""
    s, size = llama.sizes_of(gguf), 16
    x = np.concatenate([visual, gguf.tensor("token_embd.weight")[ids]]).astype(np.float64)
    n = len(x)
    angle = np.arange(n)[:, None] * s.base ** (-np.arange(0, size, 2) / size)

    def norm(y, name):
        root = np.sqrt((y * y).mean(-1, keepdims=True) + s.eps)
        return y / root * gguf.tensor(f"{name}.weight")

    def turn(y):
        even, odd = y[..., 0::2], y[..., 1::2]
        pair = (even * np.cos(angle) - odd * np.sin(angle),
                even * np.sin(angle) + odd * np.cos(angle))
        return np.stack(pair, -1).reshape(y.shape)

    for i in range(s.layers):
        def w(name, i=i):
            return gguf.tensor(f"blk.{i}.{name}.weight").T

        y = norm(x, f"blk.{i}.attn_norm")
        q, k, v = ((y @ w(f"attn_{c}")).reshape(n, -1, size).swapaxes(0, 1) for c in "qkv")
        q, k = turn(q), turn(k)
        k, v = (t.repeat(s.heads // s.kv_heads, 0) for t in (k, v))
        scores = q @ k.swapaxes(1, 2) / size**0.5 + np.triu(np.full((n, n), -1e9), 1)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (p / p.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(n, -1)
        x = x + seen @ w("attn_output")
        y = norm(x, f"blk.{i}.ffn_norm")
        gate = y @ w("ffn_gate")
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w("ffn_up"))) @ w("ffn_down")
    return norm(x, "output_norm") @ gguf.tensor("token_embd.weight").T


@pytest.mark.parametrize(("storage", "worst"), [("float32", 1e-4), ("int8", 0.5)])
def test_graph_on_assembled_weights_equals_the_plain_pass(tmp_path, storage, worst):
    source = tmp_path / "tiny.gguf"
    tiny_llama(source)
    folder = tmp_path / "model"
    llama_graph.write(source, folder, range(2), storage, ("none", "1", "tiny.gguf"))
    (folder / "language.bin").unlink()
    assemble(folder, read_recipe(folder), source)
    decoder = CachedDecoder(open_session(folder / "decoder.onnx", RuntimeOptions()),
                            {"past": "present"})
    ids, visual = [5, 9, 1, 30, 17], np.random.default_rng(1).normal(size=(3, 64))
    expected = plain_logits(GgufFile(source), ids, visual)
    cache = decoder.empty({"past": (2, 2, 1, 2, 0, 16)})
    none = np.zeros((1, 0, 64))
    for count, seen in ((2, visual[None]), (1, none), (1, none), (1, none)):
        past = cache.shape("past")[4]
        new = count + seen.shape[1]
        done = max(0, past - 3)
        feed = {"tokens": np.array([ids[done : done + count]]), "visual": seen,
                "places": np.arange(past, past + new)[None]}
        logits, hidden = decoder.run(feed, cache, ("logits", "hidden"))
        assert np.abs(logits[0] - expected[past + new - 1]).max() < worst
        assert hidden.shape == (1, 64)


def test_perplexity_is_that_of_the_plain_pass(tmp_path):
    source = tmp_path / "tiny.gguf"
    tiny_llama(source)
    llama_graph.write(source, tmp_path / "model", range(2), "float32", ("none", "1", "tiny.gguf"))
    ids = [5, 9, 1, 30, 17]
    logits = plain_logits(GgufFile(source), ids, np.zeros((0, 64)))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.exp(-np.mean([np.log(shares[i, ids[i + 1]]) for i in range(4)]))
    assert llama_graph.perplexity(tmp_path / "model", ids) == pytest.approx(expected, rel=1e-3)
    plain, shuffled = llama_graph.sentences().values()
    assert plain != shuffled and sorted(plain.split()) == sorted(shuffled.split())

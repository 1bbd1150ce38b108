"""Unit vectors of sentences in the space of all-MiniLM-L6-v2 (Apache-2.0), computed once."""

import json

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from training.minilm import Layer
from training.packages import minilm_folder

_BATCH = 64


class SentenceEncoder:
    """text -> (384,) float32, mean over the last hidden states, of length one."""

    def __init__(self):
        source = load_file(minilm_folder() / "model.safetensors")
        full = json.loads((minilm_folder() / "tokenizer.json").read_text())
        full["truncation"] = full["padding"] = None
        self.tokenizer = Tokenizer.from_str(json.dumps(full))
        get = source.__getitem__
        self.words, self.positions = (get(f"embeddings.{n}_embeddings.weight")
                                      for n in ("word", "position"))
        self.kind = get("embeddings.token_type_embeddings.weight")[0]
        self.norm = nn.LayerNorm(384, 1e-12)
        self.layers = [Layer(384, 12).eval() for _ in range(6)]
        names = {"attention.self.query": "query", "attention.self.key": "key",
                 "attention.self.value": "value", "attention.output.dense": "out",
                 "intermediate.dense": "up", "output.dense": "down",
                 "attention.output.LayerNorm": "norm1", "output.LayerNorm": "norm2"}
        for leaf in ("weight", "bias"):
            getattr(self.norm, leaf).data = get(f"embeddings.LayerNorm.{leaf}")
            for i, layer in enumerate(self.layers):
                for theirs, ours in names.items():
                    getattr(getattr(layer, ours), leaf).data = get(
                        f"encoder.layer.{i}.{theirs}.{leaf}")

    @torch.no_grad()
    def __call__(self, texts):
        """List of n texts -> (n, 384) float32 numpy."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = np.zeros((len(texts), 384), np.float32)
        for start in range(0, len(order), _BATCH):
            part = order[start:start + _BATCH]
            ids = [self.tokenizer.encode(texts[i]).ids[:128] for i in part]
            longest = max(map(len, ids))
            tokens = torch.tensor([i + [0] * (longest - len(i)) for i in ids])
            mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in ids]).bool()
            x = self.norm(self.words[tokens] + self.positions[:longest] + self.kind)
            for layer in self.layers:
                q, k, v = layer.project(x)
                mixed = functional.scaled_dot_product_attention(
                    q, k, v, attn_mask=mask[:, None, None])
                x = layer.finish(x, mixed, 0.0)
            mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[part] = functional.normalize(mean, dim=-1).numpy()
        return out


class TextTable:
    """text -> vector, for the texts given when made."""

    def __init__(self, texts, path=None):
        texts = sorted(set(texts))
        if path is not None and path.exists():
            with np.load(path, allow_pickle=False) as stored:
                if list(stored["texts"]) == texts:
                    self._vectors = stored["vectors"].astype(np.float32)
                    self._row = {t: i for i, t in enumerate(texts)}
                    return
        self._vectors = SentenceEncoder()(texts)
        self._row = {t: i for i, t in enumerate(texts)}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, texts=np.array(texts), vectors=self._vectors.astype("f2"))

    def __call__(self, texts):
        """List of n texts -> (n, 384) float32."""
        return self._vectors[[self._row[t] for t in texts]]

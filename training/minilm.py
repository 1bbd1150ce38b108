"""The transformer block of MiniLM, for the decoder (causal) and the sentence teacher.

Origin: BERT block (Devlin 2018); all-MiniLM-L6-v2 has six of them (Apache-2.0).
"""

from torch import nn
from torch.nn import functional


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)

    def project(self, x):
        """(B, T, width) -> query, key, value, each (B, heads, T, head_dim)."""
        return tuple(f(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
                     for f in (self.query, self.key, self.value))

    def finish(self, x, mixed, drop):
        mixed = mixed.transpose(1, 2).flatten(2)
        x = self.norm1(x + functional.dropout(self.out(mixed), drop, self.training))
        y = self.down(functional.gelu(self.up(x)))
        return self.norm2(x + functional.dropout(y, drop, self.training))

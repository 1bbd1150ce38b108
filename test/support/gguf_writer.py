"""Write small GGUF files for tests: metadata, and tensors in the formats that are read."""

import struct

import numpy as np

F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8


def _string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value):
    """Type number and bytes."""
    if isinstance(value, str):
        return 8, _string(value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    kinds = [_value(item) for item in value]
    head = struct.pack("<IQ", kinds[0][0], len(kinds))
    return 9, head + b"".join(raw for _, raw in kinds)


def pack(values, kind):
    """A float array in one of the formats; quantised as the formats' own tools do."""
    flat = np.asarray(values, np.float32).reshape(-1)
    if kind == F32:
        return flat.astype("<f4").tobytes()
    if kind == F16:
        return flat.astype("<f2").tobytes()
    out = []
    for block in flat.reshape(-1, 32):
        if kind == Q8_0:
            scale = np.float16(np.abs(block).max() / 127 or 1)
            packed = np.rint(block / np.float32(scale)).clip(-127, 127).astype(np.int8)
            out.append(scale.tobytes() + packed.tobytes())
        else:
            least = np.float16(block.min())
            scale = np.float16((block.max() - block.min()) / 15 or 1)
            q = np.rint((block - np.float32(least)) / np.float32(scale)).clip(0, 15)
            q = q.astype(np.uint8)
            out.append(scale.tobytes() + least.tobytes() + (q[:16] | q[16:] << 4).tobytes())
    return b"".join(out)


def write_gguf(path, metadata, tensors):
    """tensors: name -> (float array, format)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, raw = _value(value)
        head += _string(key) + struct.pack("<I", kind) + raw
    body = b""
    for name, (values, kind) in tensors.items():
        dims = tuple(reversed(np.shape(values)))
        head += _string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        head += struct.pack("<IQ", kind, len(body))
        body += pack(values, kind)
        body += bytes(-len(body) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + body)


def tiny_llama(path, seed=0, layers=2, heads=4, kv_heads=2, width=64, inner=96):
    """A random Llama-class file; returns its float tensors before packing."""
    rng = np.random.default_rng(seed)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "Ġ", *letters, "Ġt", "he", "Ġthe", "1",
             "2"]
    merges = ["Ġ t", "h e", "Ġt he"]
    kv = width // heads * kv_heads

    def draw(*shape):
        return rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)

    tensors = {"token_embd.weight": (draw(len(words), width) * 4, Q8_0)}
    for n in range(layers):
        for name, shape in (("attn_q", (width, width)), ("attn_k", (kv, width)),
                            ("attn_v", (kv, width)), ("attn_output", (width, width)),
                            ("ffn_gate", (inner, width)), ("ffn_up", (inner, width)),
                            ("ffn_down", (width, inner))):
            tensors[f"blk.{n}.{name}.weight"] = draw(*shape), Q4_1
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{n}.{name}.weight"] = rng.uniform(0.5, 1.5, width), F32
    tensors["output_norm.weight"] = rng.uniform(0.5, 1.5, width), F32
    metadata = {
        "general.architecture": "llama", "llama.block_count": layers,
        "llama.attention.head_count": heads, "llama.attention.head_count_kv": kv_heads,
        "llama.embedding_length": width, "llama.feed_forward_length": inner,
        "llama.rope.freq_base": 10000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [3, 3, 3] + [1] * (len(words) - 3),
        "tokenizer.ggml.merges": merges}
    write_gguf(path, metadata, tensors)
    return {name: values for name, (values, _) in tensors.items()}

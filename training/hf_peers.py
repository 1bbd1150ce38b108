"""Small, randomly initialised Idefics3- and Qwen2-VL-class checkpoints, exported as ONNX parts.

    python -m training.hf_peers --out test/data/lvlm

They prove that folders in the layout of Hugging Face ONNX exports run unchanged: the networks are
those of the transformers library, the parts and their inputs and outputs are named as in the
published exports (`vision_encoder`, `embed_tokens`, `decoder_model_merged`). Needs transformers.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    DynamicCache,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from eo_nodes.lvlm.golden import golden_entry
from eo_nodes.lvlm.hf.model import load_hf, used_files
from eo_nodes.lvlm.manifest import HF, seal

OPSET = 17
PATCH = 8      # of the Qwen2-VL class; published checkpoints have 14
IDEFICS3_SPECIAL = ["<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<image>",
                    "<global-img>", "<end_of_utterance>",
                    *(f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7))]
QWEN2_VL_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>",
                    "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
# Llama and Qwen split numbers and words before merging; whole answers do not depend on it here.
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("e", "r"), ("o", "n"), ("a", "r")]


def byte_tokenizer(special):
    """Byte-level BPE over 256 bytes and a few merges, then special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = alphabet + ["".join(pair) for pair in MERGES]
    tokenizer = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    return tokenizer


def lively(model, seed):
    """Draw weights wide enough for answers to differ and end tokens to come."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.2 / parameter.shape[-1] ** 0.5)
        elif parameter.ndim == 1:
            nn.init.normal_(parameter, mean=float(parameter.mean()), std=0.1)
    return model.eval()


def idefics3(seed=3):
    """(model, tokenizer, preprocessor configuration)."""
    tokenizer = byte_tokenizer(IDEFICS3_SPECIAL)
    begin, end = tokenizer.token_to_id("<|im_start|>"), tokenizer.token_to_id("<end_of_utterance>")
    config = Idefics3Config(
        image_token_id=tokenizer.token_to_id("<image>"), scale_factor=2,
        vision_config={"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
                       "num_attention_heads": 2, "image_size": 32, "patch_size": 8},
        text_config={"model_type": "llama", "hidden_size": 24, "intermediate_size": 48,
                     "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1,
                     "head_dim": 8, "vocab_size": tokenizer.get_vocab_size(),
                     "max_position_embeddings": 1024, "bos_token_id": begin, "eos_token_id": end,
                     "pad_token_id": begin})
    config._attn_implementation = "eager"
    image = {"image_processor_type": "Idefics3ImageProcessor", "do_image_splitting": True,
             "do_convert_rgb": True, "do_normalize": True, "do_pad": True, "do_rescale": True,
             "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 1,
             "rescale_factor": 1 / 255, "size": {"longest_edge": 64},
             "max_image_size": {"longest_edge": 32}}
    return lively(Idefics3ForConditionalGeneration(config), seed), tokenizer, image


def qwen2_vl(seed=4):
    """(model, tokenizer, preprocessor configuration)."""
    tokenizer = byte_tokenizer(QWEN2_VL_SPECIAL)
    named = {k: tokenizer.token_to_id(v) for k, v in (
        ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"),
        ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>"))}
    config = Qwen2VLConfig(
        **named,
        vision_config={"depth": 2, "embed_dim": 16, "hidden_size": 24, "num_heads": 2,
                       "mlp_ratio": 2, "patch_size": PATCH, "spatial_merge_size": 2,
                       "temporal_patch_size": 2},
        text_config={"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
                     "num_attention_heads": 3, "num_key_value_heads": 1,
                     "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 1024,
                     "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
                     "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
                     "rope_parameters": {"rope_type": "default", "rope_theta": 1e6,
                                         "mrope_section": [2, 1, 1]}})
    config._attn_implementation = "eager"
    image = {"image_processor_type": "Qwen2VLImageProcessor", "do_convert_rgb": True,
             "do_normalize": True, "do_rescale": True, "do_resize": True, "patch_size": PATCH,
             "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 16 * PATCH**2,
             "max_pixels": 96 * PATCH**2, "resample": 3, "rescale_factor": 1 / 255,
             "image_mean": [0.48145466, 0.4578275, 0.40821073],
             "image_std": [0.26862954, 0.26130258, 0.27577711]}
    return lively(Qwen2VLForConditionalGeneration(config), seed), tokenizer, image


class Idefics3Vision(nn.Module):
    """pixel_values (B, N, 3, H, W), pixel_attention_mask (B, N, H, W) -> image_features."""

    def __init__(self, model):
        super().__init__()
        self.vision, self.connector = model.model.vision_model, model.model.connector
        self.patch = model.config.vision_config.patch_size

    def forward(self, pixel_values, pixel_attention_mask):
        pixels, p = pixel_values.flatten(0, 1), self.patch
        mask = pixel_attention_mask.flatten(0, 1).float()
        patches = nn.functional.max_pool2d(mask[:, None], p, p)[:, 0] > 0
        # Tiles are always whole, so that patch n has position n.
        e = self.vision.embeddings
        x = e.patch_embedding(pixels).flatten(2).transpose(1, 2) + e.position_embedding.weight
        hidden = ~patches.flatten(1)[:, None, None]
        x = self.vision.encoder(x, hidden.float() * -1e9).last_hidden_state
        return self.connector(self.vision.post_layernorm(x))


class Qwen2VLVision(nn.Module):
    """pixel_values (P, C), grid_thw (1, 3) of one picture -> image_features (P / merge², D)."""

    def __init__(self, model):
        super().__init__()
        self.vision = model.model.visual

    def places(self, grid):
        """Row and column of each patch, neighbours of a merge side by side: (P, 2)."""
        m, height, width = self.vision.spatial_merge_size, grid[0, 1], grid[0, 2]
        n = torch.arange(height * width)
        cell, inside, per_row = n // (m * m), n % (m * m), width // m
        return torch.stack([cell // per_row * m + inside // m, cell % per_row * m + inside % m], 1)

    def forward(self, pixel_values, grid_thw):
        v = self.vision
        x = v.patch_embed(pixel_values)
        cos, sin = (t[None, None] for t in v.rotary_pos_emb(x, self.places(grid_thw)))
        for block in v.blocks:
            a = block.attn
            q, k, w = a.qkv(block.norm1(x)).view(-1, 3, a.num_heads, a.head_dim).permute(1, 2, 0, 3)
            q, k = (rotate(t[None], cos, sin)[0] for t in (q, k))
            scores = (q @ k.transpose(1, 2) * a.scaling).softmax(-1)
            x = x + a.proj((scores @ w).transpose(0, 1).flatten(1))
            x = x + block.mlp(block.norm2(x))
        return v.merger(x)


def rotate(x, cos, sin):
    """Rotary embedding by halves."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Decoder(nn.Module):
    """inputs_embeds, attention_mask, position_ids, past -> logits of all positions, present."""

    def __init__(self, model):
        super().__init__()
        inner = model.model
        self.text = inner.text_model if hasattr(inner, "text_model") else inner.language_model
        self.head = model.lm_head

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        cache = DynamicCache(config=self.text.config)
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        new, total = inputs_embeds.shape[1], attention_mask.shape[1]
        places = torch.arange(total)
        allow = places[None] <= places[total - new :, None]
        allow = allow[None, None] & (attention_mask[:, None, None] > 0)
        mask = torch.where(allow, 0.0, -1e9)
        out = self.text(
            inputs_embeds=inputs_embeds, attention_mask=self.masks(mask),
            position_ids=position_ids, past_key_values=cache, use_cache=True)
        present = [t for layer in cache.layers for t in (layer.keys, layer.values)]
        return self.head(out.last_hidden_state), *present

    def masks(self, mask):
        """One class takes a mask, the other one for each kind of layer."""
        return {"full_attention": mask} if hasattr(self.text, "has_sliding_layers") else mask


def export(model, folder):
    """Write the three parts."""
    folder.mkdir(parents=True, exist_ok=True)
    text, is_qwen = model.config.text_config, hasattr(model.model, "visual")
    if is_qwen:
        patches = 3 * 2 * PATCH * PATCH
        save(Qwen2VLVision(model), (torch.rand(24, patches), torch.tensor([[1, 4, 6]])),
             folder / "vision_encoder.onnx", ["pixel_values", "grid_thw"], ["image_features"],
             {"pixel_values": {0: "patches"}, "image_features": {0: "tokens"}})
    else:
        side = model.config.vision_config.image_size
        save(Idefics3Vision(model), (torch.rand(1, 2, 3, side, side),
                                     torch.ones(1, 2, side, side, dtype=torch.bool)),
             folder / "vision_encoder.onnx", ["pixel_values", "pixel_attention_mask"],
             ["image_features"], {"pixel_values": {1: "images"}, "image_features": {0: "images"},
                                  "pixel_attention_mask": {1: "images"}})
    save(model.get_input_embeddings(), (torch.tensor([[1, 2, 3]]),), folder / "embed_tokens.onnx",
         ["input_ids"], ["inputs_embeds"],
         {"input_ids": {1: "sequence"}, "inputs_embeds": {1: "sequence"}})
    heads = text.num_key_value_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    names = [f"{layer}.{kind}" for layer in range(text.num_hidden_layers)
             for kind in ("key", "value")]
    past = [torch.rand(1, heads, 5, size) for _ in names]
    places = torch.arange(5, 9)[None]
    axes = {"inputs_embeds": {1: "sequence"}, "attention_mask": {1: "total"},
            "position_ids": {2 if is_qwen else 1: "sequence"}, "logits": {1: "sequence"}}
    axes |= {f"past_key_values.{n}": {2: "past"} for n in names}
    axes |= {f"present.{n}": {2: "total"} for n in names}
    save(Decoder(model), (torch.rand(1, 4, text.hidden_size), torch.ones(1, 9, dtype=torch.long),
                          places.expand(3, 1, -1) if is_qwen else places, *past),
         folder / "decoder_model_merged.onnx",
         ["inputs_embeds", "attention_mask", "position_ids",
          *(f"past_key_values.{n}" for n in names)],
         ["logits", *(f"present.{n}" for n in names)], axes)


def save(module, feed, path, inputs, outputs, axes):
    """Trace one part."""
    with torch.no_grad():
        torch.onnx.export(module.eval(), feed, str(path), dynamo=False, opset_version=OPSET,
                          input_names=inputs, output_names=outputs, dynamic_axes=axes)


def write_folder(folder, model, tokenizer, image):
    """A whole model folder, as a hub would hold it."""
    export(model, folder / "onnx")
    model.config.save_pretrained(folder)
    end = model.config.text_config.eos_token_id
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(image, indent=1) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


PEERS = {"hf_idefics3": idefics3, "hf_qwen2_vl": qwen2_vl}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    a = p.parse_args()
    for name, make in PEERS.items():
        folder = a.out / name
        folder.mkdir(parents=True, exist_ok=True)
        write_folder(folder, *make())
        loaded = load_hf(folder)
        seal(folder, HF, name, used_files(folder, loaded.config),
             golden_entry(loaded, "What is in the picture?", 6))
        sizes = [f.stat().st_size for f in folder.rglob("*") if f.is_file()]
        print(name, np.sum(sizes), "bytes")


if __name__ == "__main__":
    main()

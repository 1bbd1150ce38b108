"""Stage 4: write the model folder: two ONNX graphs, tokenizer, configuration, manifest.

    python -m training.export --model compact --out models/compact

Calibration is the identity until `training.calibrate` has run.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import nn

from eo_nodes.lvlm.calibration import FEATURES
from eo_nodes.lvlm.manifest import FILES, MANIFEST, sha256_of
from eo_nodes.lvlm.model import LvlmModel, golden_view
from training import schedule
from training.cache_features import tuned_trunk
from training.graphs import export_decoder, export_vision, store_weights_as_int8
from training.language import LanguageConfig, LanguageModel
from training.recipe import CHECKPOINTS, RECIPES
from training.train_language import CLS, SEP

GOLDEN_PROMPT, GOLDEN_TOKENS = "What does this image show?", 8


def macs_per_cell(trunk, width, cells=4):
    """Multiply-accumulates of trunk and projector for one 32 x 32 px cell."""
    total = 0

    def add(module, _, output):
        nonlocal total
        weight = module.weight
        total += output.shape[2] * output.shape[3] * weight.numel()

    hooks = [m.register_forward_hook(add) for m in trunk.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        trunk(torch.zeros(1, 3, 32 * cells, 32 * cells))
    for hook in hooks:
        hook.remove()
    return total // cells**2 + trunk.dim * width


def neutral_calibration():
    stage = {"features": list(FEATURES), "weights": [1.0, 0.0, 0.0, 0.0, 0.0], "bias": 0.0,
             "answer_above": 0.5, "offload_below": 0.2, "ece": 1.0, "n": 0}
    return {"stages": {str(k): stage for k in (1, 2, 3)}}


def write_manifest(folder: Path, model_id: str) -> None:
    """Run the golden input and seal the folder."""
    model = LvlmModel(folder, "", threads=1, providers=["CPUExecutionProvider"])
    session = model.start([golden_view()], GOLDEN_PROMPT, max_tokens=GOLDEN_TOKENS)
    session.decode(GOLDEN_TOKENS)
    manifest = {
        "id": model_id,
        "files": {n: {"bytes": (folder / n).stat().st_size, "sha256": sha256_of(folder / n)}
                  for n in FILES},
        "golden": {"image": "eo_nodes.lvlm.manifest.golden_image", "prompt": GOLDEN_PROMPT,
                   "max_tokens": GOLDEN_TOKENS, "text": session.text,
                   "logprobs": [round(v, 5) for v in session.token_logprobs]}}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def write_folder(folder, *, model_id, trunk, model, tokenizer, input_size, upscale):
    """Everything but the card. tokenizer: path of a tokenizer JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    export_vision(trunk, model.projector, folder / "vision.onnx")
    export_decoder(model, folder / "decoder.onnx")
    for name in ("vision.onnx", "decoder.onnx"):
        store_weights_as_int8(folder / name)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    c = model.config
    config = {"id": model_id, "input_size": input_size, "upscale": upscale,
              "layers": c.layers, "heads": c.heads, "head_dim": c.head_dim, "width": c.width,
              "vocabulary": c.vocabulary, "positions": c.positions,
              "cls_token": CLS, "end_token": SEP,
              "summary_tokens": model.projector.summary_tokens,
              "vision_macs_per_cell": int(macs_per_cell(trunk, c.width)), "temperature": 1.0}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "calibration.json").write_text(json.dumps(neutral_calibration(), indent=1) + "\n")
    write_manifest(folder, model_id)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=RECIPES, required=True)
    p.add_argument("--out", type=Path, required=True)
    a = p.parse_args()
    recipe = RECIPES[a.model]
    state = schedule.restore(recipe.folder / "language.pt")
    model = LanguageModel(LanguageConfig(**state["config"]))
    model.load_state_dict(state["model"])
    write_folder(a.out, model_id=recipe.name, trunk=tuned_trunk(recipe), model=model.eval(),
                 tokenizer=CHECKPOINTS / "tokenizer.json", input_size=recipe.input_size,
                 upscale=recipe.upscale)
    sizes = {f.name: f.stat().st_size for f in a.out.iterdir()}
    print(sizes, "sum", np.sum(list(sizes.values())))


if __name__ == "__main__":
    main()

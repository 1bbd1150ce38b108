"""Checkpoints from released folders: what they compute is what the folders compute."""

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from gguf_writer import tiny_llama  # noqa: E402

from training import curves, restore, stored  # noqa: E402
from training.decoder import tiny  # noqa: E402
from training.decoder.llama import frozen_of  # noqa: E402
from training.decoder.llama_export import Source  # noqa: E402
from training.vision.dual import UNUSED  # noqa: E402
from training.vision.network import VisionNetwork  # noqa: E402

pytestmark = pytest.mark.training


def batch(width, vocabulary):
    """Arguments of a decoder's forward pass."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(0, vocabulary, (1, 9), generator=draw)
    return (torch.randn(1, 5, width, generator=draw), torch.ones(1, 5, dtype=torch.bool), ids,
            torch.arange(9)[None], torch.ones_like(ids))


@torch.no_grad()
def test_the_compact_decoder_comes_back_whole(tmp_path):
    _, _, decoder, _ = tiny.write(tmp_path, is_varied=True)
    found = restore.compact_decoder(tmp_path, decoder.config).eval()
    given = batch(decoder.config.width, decoder.config.vocabulary)
    (_, mine), (_, theirs) = decoder(*given), found(*given)
    assert torch.allclose(mine, theirs, atol=1e-4)
    assert torch.allclose(decoder.logits(mine), found.logits(theirs), atol=1e-3)
    for name, value in decoder.state_dict().items():
        assert torch.allclose(value, found.state_dict()[name], atol=1e-3), name


@torch.no_grad()
def test_what_the_language_model_learnt_to_read_and_the_fine_network_come_back(tmp_path):
    tiny_llama(tmp_path / "tiny.gguf")
    source = Source(tmp_path / "tiny.gguf", "none", "1", "tiny.gguf")
    folder = tmp_path / "model"
    _, network, ladder, words, _ = tiny.write_ladder(folder, source)
    config = ladder.config.wide
    gguf = source.open()
    found = restore.reading_llama(folder, config, frozen_of(
        gguf, config.taken, words.pieces(gguf)))
    given = batch(config.width, config.vocabulary)
    states = [[], []]
    for decoder, heard in zip((ladder.wide, found), states, strict=True):
        decoder(*given, lambda n, x, heard=heard: heard.append(x))
    for mine, theirs in zip(*states, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)

    fine = VisionNetwork(tiny.VISION, pretrained=False)
    stored.put(fine, restore.held_in(folder, "network.fine."), (*UNUSED, "pooled."))
    codes = torch.zeros(3, network.fine.backbone.stem.generator[0].in_features)
    x = torch.randn(1, 3, 64, 64)
    mine, theirs = network.fine.eval()(x, codes), fine.eval()(x, codes)
    assert torch.allclose(mine["heat"], theirs["heat"], atol=1e-4)
    with pytest.raises(ValueError, match="weights lack"):
        stored.put(fine, {})


def test_a_log_comes_back_as_it_was_thinned(tmp_path):
    kept = {"step": [25, 50], "answer": [1.5, 0.7], "aim": [None, 0.2]}
    path = tmp_path / "losses.jsonl"
    path.write_text(restore.lines_of(kept))
    assert curves.thin(path, 50) == kept
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [25, 50]
    assert restore.lines_of({}) == ""

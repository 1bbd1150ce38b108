"""The ablation runs: every arm a few steps on tiny packed sets, answers, table by hand."""

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from eo_nodes.lvlm import slis  # noqa: E402
from eo_nodes.lvlm.spectrum import codes, parse_bands  # noqa: E402
from training import ablate, ablate_answers, ablate_table, ablate_vision  # noqa: E402
from training.ablate_vision import ARMS, Budget  # noqa: E402
from training.decoder import tiny  # noqa: E402
from training.vision.composites import CompositeSource  # noqa: E402

pytestmark = pytest.mark.training

# -- arms ------------------------------------------------------------

VAL_KEYS = {"eurosat_rgb.accuracy", "eurosat_ms.accuracy", "hit_uav.f1", "objects_rgb.f1",
            "flood_s1.iou"}


@pytest.mark.parametrize("name", ["full", "random", "composites", "top-cells", "pcma", "merged",
                                  "galileo"])
def test_arm_runs_and_scores_every_set(name, world, galileo_file):
    scores, facts = ablate_vision.train(ARMS[name], world, 0, Budget(steps=4))
    assert scores.keys() >= VAL_KEYS
    assert facts["steps"] == (2 if name == "merged" else 4)


def test_runs_by_steps_are_reproducible(world):
    first, second = (ablate_vision.train(ARMS["full"], world, 3, Budget(steps=2))[0]
                     for _ in range(2))
    assert first == second


def test_a_budget_is_of_steps_or_of_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(ablate_vision.time, "monotonic", lambda: now[0])
    by_time, by_steps = Budget(minutes=1).clock(0.5), Budget(steps=10).clock(0.5)
    now[0] += 15
    assert (by_time(3), by_steps(3)) == (0.5, 0.6)


def test_top_cells_hold_the_deepest_map_only(world):
    pupil = ablate_vision.network_of(ARMS["top-cells"], world, 0).eval()
    batch = world.source(0).batch(0, "hit_uav")
    with torch.no_grad():
        found = pupil(batch["x"], batch["codes"])
    deepest = found["maps"][3].permute(0, 2, 3, 1)
    assert torch.equal(found["cells"][..., :pupil.top_dim], deepest)
    assert found["cells"][..., pupil.top_dim:].abs().max() == 0


def test_random_start_keeps_the_size_of_activations(world):
    pupil = ablate_vision.network_of(ARMS["random"], world, 0)
    with torch.no_grad():
        maps = pupil.backbone(torch.randn(2, 3, 64, 64),
                              torch.from_numpy(codes(parse_bands(["red", "green", "blue"]))))
    assert all(0.02 < m.std() < 50 for m in maps)


def test_composites_have_three_channels_and_ignore_the_codes(world):
    source = world.source(0, kind=CompositeSource)
    for name in source.names:
        assert source.batch(5, name)["x"].shape[1] == 3
    pupil = ablate_vision.network_of(ARMS["composites"], world, 0).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        a, b = (pupil(x, torch.full((3, source.codes(None).shape[1]), v))["pixel"]
                for v in (0.0, 1.0))
    assert torch.equal(a, b)


def test_zoom_quarters_tile_the_picture_inside_their_windows():
    made = ablate_vision.windows(101, 64)
    assert sum((q[2] - q[0]) * (q[3] - q[1]) for _, q in made) == 101 * 64
    for (x, y, w, h), (x0, y0, x1, y1) in made:
        assert 0 <= x <= x0 and 0 <= y <= y0 and x1 <= x + w <= 101 and y1 <= y + h <= 64


def test_zoomed_boxes_come_back_in_pixels_of_the_picture(world, monkeypatch):
    """A network that sees one object in the middle of every window finds four."""
    source = world.source(0)
    sample = world.library.samples("objects_rgb", "val")[0]

    class Middle:
        def __call__(self, x, band_codes):
            h, w = x.shape[2] // 4, x.shape[3] // 4
            heat = torch.full((1, 6, h, w), -9.0)
            heat[0, 1, h // 2, w // 2] = 9.0
            return {"heat": heat, "shape": torch.zeros(1, 4, h, w)}

    found = ablate_vision._zoom_boxes(Middle(), world, source, sample, "cpu")
    assert [k for k, _, _ in found] == [1] * 4
    centres = sorted((round((b[0] + b[2]) / 2), round((b[1] + b[3]) / 2)) for _, b, _ in found)
    window = round(96 * 0.62)
    near, far = window / 2, 96 - window / 2
    assert np.abs(np.array(centres) - [(near, near), (near, far), (far, near), (far, far)]
                  ).max() < 4


# -- answers ------------------------------------------------------------

def values(text):
    return slis.parse(text)


@pytest.mark.parametrize(("said", "truth", "share"), [
    ("Yes", "yes", 1.0),
    ("no", "yes", 0.0),
    ("<box 10 10 19 19>", "<box 10 10 19 19>", 1.0),
    ("<box 10 10 19 19>", "<box 15 10 24 19>", 0.0),                  # IoU 1/3
    ("<box 0 0 9 9> <box 40 40 60 60>", "<box 0 0 9 9>", 2 / 3),
    ("<point 100 100>", "<point 120 90>", 1.0),
    ("<point 100 100>", "<point 130 90>", 0.0),
    ("a lake", "<box 0 0 9 9>", 0.0),
    ("<seg>", "<seg>", 1.0),
])
def test_score_of_an_answer_by_hand(said, truth, share):
    assert ablate_answers.score(values(said), values(truth)) == pytest.approx(share)


def test_a_malformed_answer_scores_nothing():
    assert ablate_answers.score(None, values("yes")) == 0.0


def test_decoding_within_the_grammar_is_never_malformed_and_free_decoding_can_be(words):
    _, decoder = tiny.networks(words)
    decoder.bias.data[:] = 0
    decoder.bias.data[words.slis.ids.markers["box"]] = 30.0          # boxes, again and again
    visual = torch.randn(1, 3, decoder.config.width)
    prompt = words.prompt("where is the ship ?")
    inside = ablate_answers.decode(decoder, words, visual, prompt, 1, True, 12)
    words.slis.segments(inside)
    free = ablate_answers.decode(decoder, words, visual, prompt, 1, False, 12)
    with pytest.raises(slis.SlisError):
        words.slis.segments(free)


def test_decoding_with_a_cache_is_the_training_pass_token_by_token(words):
    _, decoder = tiny.networks(words)
    decoder.bias.data[words.end] = -9.0
    visual = torch.randn(1, 3, decoder.config.width)
    prompt = words.prompt("what is this ?")
    said = ablate_answers.decode(decoder, words, visual, prompt, 1, False, 9)
    ids = torch.tensor([[*prompt, *said]])
    with torch.no_grad():
        _, text = decoder(visual, torch.ones(1, 3, dtype=torch.bool), ids,
                          torch.arange(ids.shape[1])[None], torch.ones_like(ids))
        best = decoder.logits(text[0]).argmax(-1).tolist()
    assert best[len(prompt) - 1:-1] == said and len(set(said)) > 1


def test_projector_reads_only_the_cells_it_is_let(words):
    _, decoder = tiny.networks(words)
    p, k = decoder.projector, 5
    cells = torch.randn(1, 4, p.norm.normalized_shape[0])
    other = cells.clone()
    other[..., k:] = 7.0
    geometry, tags = torch.full((1, 4, 4), 0.5), torch.zeros(1, 4, dtype=torch.long)
    assert not torch.allclose(p.cells(cells, geometry, tags), p.cells(other, geometry, tags))
    p.cell_channels = k
    assert torch.equal(p.cells(cells, geometry, tags), p.cells(other, geometry, tags))


# -- the command ------------------------------------------------------------

@pytest.fixture(scope="module")
def runs(world, words, galileo_file, tmp_path_factory):
    settings = {"sets": world.sets, "steps": 2, "minutes": 0.0, "backbone": "tiny"}
    return ablate.Runs(settings, tmp_path_factory.mktemp("runs"), lambda: world, lambda: words)


def test_what_a_run_needs_comes_first():
    assert ablate.runs_of(["slis"]) == ["full", "answers", "answers-free"]
    assert ablate.runs_of(["zoom", "pretrained"]) == ["full", "zoomed", "random"]
    every = ablate.runs_of(ablate.MECHANISMS)
    assert len(every) == len(set(every)) == len(ARMS) + len(ablate.NEEDS)


def test_a_finished_run_is_not_repeated(runs, monkeypatch):
    first = runs.make("full", 0)
    monkeypatch.setattr(runs, "_run", lambda *_: pytest.fail("ran again"))
    assert runs.make("full", 0) == first


def test_a_time_budget_of_the_decoder_starts_when_all_pictures_are_seen(runs, words, monkeypatch):
    runs.make("full", 0)
    bench = ablate_answers.Bench(runs.world, runs.path("full", 0, ".pt"), words, 0)
    calls = []
    monkeypatch.setattr(bench.perception, "see", lambda images, see=bench.perception.see: (
        calls.append(len(images)), see(images))[1])
    bench.fill()
    assert sum(calls) == len(bench.memory) > 20
    bench.examples("train").seen(next(iter(bench.examples("train").draw(1)))[0])
    assert sum(calls) == len(bench.memory)


@pytest.mark.parametrize("name", ["zoom", "slis", "fgvla"])
def test_mechanism_over_a_stored_network(name, runs, monkeypatch):
    monkeypatch.setattr(ablate_answers, "ASKED", 4)
    for run in ablate.runs_of([name]):
        scores = runs.make(run, 0)["scores"]
        if run == "answers":
            spatial = [v for k, v in scores.items() if k.endswith("malformed")]
            assert spatial and max(spatial) == 0.0
    m = ablate.MECHANISMS[name]
    rows = ablate_table.rows_of(m.title, runs.scores(m.with_it, [0]), runs.scores(m.without, [0]))
    assert rows[0]["seeds"] == 1 and rows[0]["verdict"] == ablate_table.ONE_SEED


def test_table_names_every_mechanism_run_or_not(runs, tmp_path):
    path = tmp_path / "table.md"
    ablate.write_table(runs, range(2), path)
    rows = json.loads(path.with_suffix(".json").read_text())["rows"]
    assert {r["mechanism"] for r in rows} == {m.title for m in ablate.MECHANISMS.values()}
    unrun = [r for r in rows if r["mechanism"] == ablate.MECHANISMS["pcma"].title]
    assert [r["verdict"] for r in unrun] == ["not run yet"]
    assert "| not run yet |" in path.read_text()


# -- statistics by hand ------------------------------------------------------------

def test_interval_by_hand():
    centre, low, high = ablate_table.interval([1.0, 2.0, 3.0])
    half = 4.303 / math.sqrt(3)
    assert (centre, low, high) == pytest.approx((2.0, 2 - half, 2 + half))
    assert ablate_table.interval([5.0]) == (5.0, None, None)


@pytest.mark.parametrize(("freedom", "point"), [(1, 12.706), (2, 4.303), (10, 2.228),
                                                (20, 2.086), (60, 2.000)])
def test_student_points(freedom, point):
    assert ablate_table.t95(freedom) == pytest.approx(point, abs=2e-3)


def test_rows_are_paired_by_seed():
    """Seeds that differ a lot among themselves, a difference that hardly does."""
    off = {0: {"x.accuracy": 50.0}, 1: {"x.accuracy": 70.0}, 2: {"x.accuracy": 90.0}}
    on = {s: {"x.accuracy": v["x.accuracy"] + 2 + s / 10} for s, v in off.items()}
    row = ablate_table.rows_of("m", on, off)[0]
    assert row["verdict"] == "better"
    assert row["difference"][0] == pytest.approx(2.1)
    assert row["with"][1] < row["without"][0]            # the intervals themselves overlap


@pytest.mark.parametrize(("key", "gain", "verdict"), [
    ("x.accuracy", (2.0, 2.1, 2.2), "better"),
    ("x.accuracy", (-2.0, -2.1, -2.2), "worse"),
    ("x.count_mae", (-2.0, -2.1, -2.2), "better"),
    ("x.malformed", (2.0, 2.1, 2.2), "worse"),
    ("x.accuracy", (-1.0, 2.0, 0.5), ablate_table.NO_EFFECT),
    ("x.accuracy", (0.0, 0.0, 0.0), ablate_table.NO_EFFECT),
])
def test_verdicts(key, gain, verdict):
    off = {s: {key: 10.0} for s in range(3)}
    on = {s: {key: 10.0 + g} for s, g in enumerate(gain)}
    assert ablate_table.rows_of("m", on, off)[0]["verdict"] == verdict


def test_only_common_scores_and_seeds_are_compared():
    on = {0: {"a.f1": 1.0, "b.f1": 5.0, "c.mae": 1.0}, 1: {"a.f1": 3.0, "b.f1": 5.0}}
    off = {0: {"a.f1": 0.0, "b.f1": 4.0, "d.f1": 9.0}, 2: {"a.f1": 0.0}}
    rows = {r["score"]: r for r in ablate_table.rows_of("m", on, off)}
    assert set(rows) == {"a.f1", "b.f1", "mean of percentages"}
    assert rows["mean of percentages"]["with"][0] == pytest.approx(3.0)
    assert rows["a.f1"]["seeds"] == 1


def test_more_sets_than_the_small_configuration_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ablate", "all", "--data", "d", "--sets", *"abcdef"])
    with pytest.raises(SystemExit):
        ablate.arguments()
    assert "6 sets, expected 1 to 5" in capsys.readouterr().err

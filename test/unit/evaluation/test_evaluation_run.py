"""The loop that asks, keeps, scores and compares, on real chips and a model made up here."""

import argparse
import itertools
import json
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.lvlm import slis
from training.evaluation import __main__ as command
from training.evaluation import exams, mechanisms, pointing, spaces
from training.evaluation.cells import table
from training.evaluation.compare import compare
from training.evaluation.probes import CONTROLS, QuestionOnly, grey
from training.evaluation.run import Plan, Runner
from training.evaluation.sets import open_library, samples
from training.evaluation.subject import Said, abilities_of

CHIPS = Path(__file__).resolve().parents[2] / "data" / "chips"


@pytest.fixture(scope="module")
def library():
    return open_library(CHIPS)


class Knowing:
    """A stand-in for a subject: knows the truth of a cell and says it, as far as it sees."""

    name = size = "regular"
    digest, run_key, record = "0123456789abcdef" * 4, "0123-4567", {"threads": 1}
    abilities = frozenset({"text", "dates", "places", "visual_prompts"})

    def __init__(self, say):
        self.say, self.calls = say, 0

    def answer(self, images, prompt, max_tokens):
        self.calls += 1
        return Said(self.say(images, prompt), 0.9, 0.01)


def cell(name, library):
    pines = library.meta("indian_pines")["classes"]
    return next(c for c in table(pines) if c.name == name)


def runner(library, tmp_path, say, **plan):
    subject = Knowing(say)
    made = Runner(subject, library, Plan("test", tmp_path, **plan), lambda *_: None)
    return made, subject


def truth_of(made_cell, library):
    """(prompt, pixels) -> truth text, for a cell of exact answers."""
    return {
        (ask.prompt, sample.images[0].values.tobytes()): str(ask.truth)
        for sample in samples(library, made_cell.set_name, "test")
        for ask in made_cell.ask(sample)
    }


def test_a_model_that_sees_is_right_and_blind_it_is_not(library, tmp_path):
    asked = cell("eurosat_rgb.class", library)
    known = truth_of(asked, library)
    made, _ = runner(library, tmp_path,
                     lambda images, prompt: known.get((prompt, images[0].values.tobytes()), "?"))
    # The chips have no training pictures: grey is then each picture's own mean level.
    row, = made.rows(asked)
    assert (row.value, row.blind, row.n, row.refused) == (100.0, 0.0, 10, 0)
    assert row.ece == pytest.approx(0.1)
    assert (row.majority, row.probe, row.reached) == (10.0, 84.3, True)
    assert "n < 50" in row.marks


def test_a_stopped_run_goes_on_and_asks_nothing_twice(library, tmp_path):
    asked = cell("hit_uav.count_vehicle", library)
    made, subject = runner(library, tmp_path, lambda *_: "3", with_controls=False)
    whole = made.rows(asked)
    assert subject.calls == 10
    journal, = tmp_path.rglob("hit_uav.count_vehicle.jsonl")
    data = journal.read_bytes()
    journal.write_bytes(data[: len(data) // 2])  # killed within a line
    again, subject = runner(library, tmp_path, lambda *_: "3", with_controls=False)
    assert [r.plain() for r in again.rows(asked)] == [r.plain() for r in whole]
    assert 0 < subject.calls < 10
    assert journal.read_bytes() == data


def test_another_wording_is_asked_again(library, tmp_path):
    asked = cell("flood_s1.present", library)
    made, _ = runner(library, tmp_path, lambda *_: "yes", with_controls=False)
    made.rows(asked)
    other = replace(asked, ask=lambda s: [replace(a, prompt="Water?") for a in asked.ask(s)])
    made, subject = runner(library, tmp_path, lambda *_: "no", with_controls=False)
    made.rows(other)
    assert subject.calls == 10


def test_limit_draws_the_same_questions_whatever_the_order(library, tmp_path):
    asked = cell("rsvqa_hr.questions", library)
    made, subject = runner(library, tmp_path, lambda *_: "no", limit=6, with_controls=False)
    first = made.rows(asked)
    *types, whole = first
    assert subject.calls == 6 == sum(r.n for r in types) == whole.n
    assert whole.type == "all questions"
    assert whole.value == pytest.approx(sum(r.value * r.n for r in types) / 6)
    assert all(r.reached is None for r in first)


def test_a_limit_that_is_not_met_draws_nothing(library, tmp_path):
    asked = cell("hit_uav.count_vehicle", library)
    everything, _ = runner(library, tmp_path / "a", lambda *_: "3", with_controls=False)
    all_rows = everything.rows(asked)
    n = all_rows[0].n
    assert any(r.reached is not None for r in all_rows)
    more, _ = runner(library, tmp_path / "b", lambda *_: "3", limit=n + 1, with_controls=False)
    assert [r.reached for r in more.rows(asked)] == [r.reached for r in all_rows]
    fewer, _ = runner(library, tmp_path / "c", lambda *_: "3", limit=n - 1, with_controls=False)
    assert all(r.reached is None for r in fewer.rows(asked))


def test_long_answers_are_drawn_more_rarely(library):
    long = cell("hit_uav.boxes", library).max_tokens
    plan = Plan("test", Path("x"), limit=8)
    assert plan.limit_of("compact", "hit_uav.boxes", long) == 2
    assert plan.limit_of("compact", "hit_uav.day", 8) == 8
    assert Plan("test", Path("x")).limit_of("compact", "hit_uav.boxes", long) == 0


def test_some_cells_of_a_model_have_a_limit_of_their_own():
    plan = Plan("test", Path("x"), limit=8, limits=(("compact.*", 50), ("*.hit_uav.*", 0)))
    assert plan.limit_of("compact", "eurosat_rgb.class", 8) == 50
    assert plan.limit_of("compact", "hit_uav.boxes", 999) == 0
    assert plan.limit_of("regular", "eurosat_rgb.class", 8) == 8


@pytest.mark.parametrize("text", ["", "many", "compact.*", "compact.*=", "-3"])
def test_a_limit_is_a_number_of_questions(text):
    with pytest.raises(argparse.ArgumentTypeError, match="PATTERN=N"):
        command.limit(text)


def test_blind_questions_can_be_fewer(library, tmp_path):
    asked = cell("mstar.class", library)
    made, subject = runner(library, tmp_path, lambda images, _: "t72", blind_limit=3)
    row, = made.rows(asked)
    assert (row.n, row.n_blind) == (10, 3) and [c for c, _ in row.controls] == ["masked target"]
    # Ten as they are, three with the target masked, three grey (each at its own level here).
    assert subject.calls == 16


def test_some_cells_have_a_blind_limit_of_their_own(library, tmp_path):
    asked = cell("mstar.class", library)
    more = {"blind_limit": 3, "blind_limits": (("*.mstar.*", 7), ("regular.mstar.*", 5),
                                               ("compact.*", 1))}
    made, _ = runner(library, tmp_path, lambda images, _: "t72", **more)
    row, = made.rows(asked)
    assert (row.n, row.n_blind) == (10, 5)
    plan = Plan("test", tmp_path, **more)
    assert plan.blind_limit_of("compact", "hit_uav.day") == 1
    assert plan.blind_limit_of("regular", "hit_uav.day") == 3


def test_options_of_the_cards_stand_in_one_place():
    a = command.arguments(["--data", "x", "--as-cards", "--limit", "compact.*=7"])
    every, some = command.limits_of(a.limit)
    assert every == 40 and dict(some)["regular.world.*"] == 10
    # What is given beside goes before the file, at the place of the last.
    assert some[-1] == ("compact.*", 7) and [p for p, _ in some].count("compact.*") == 1
    blind, some_blind = command.limits_of(a.blind_limit)
    assert blind == 20 and dict(some_blind)["*.rsvqa*"] == 60
    assert command.arguments(["--data", "x"]).limit == []
    names = {f"{m}.{c}" for m in ("compact", "regular")
             for c in (*(c.name for c in (*table([]), *exams.table(), *mechanisms.table())),
                       *spaces.NAMES, *pointing.NAMES)}
    idle = [p for p, _ in (*some, *some_blind) if not any(fnmatchcase(n, p) for n in names)]
    assert idle == []
    readme = command.AS_CARDS.with_name("README.md").read_text()
    assert "ARGS=--as-cards" in readme and command.AS_CARDS.name in readme


def test_questions_on_one_picture_follow_each_other(library, tmp_path):
    seen = []
    made, _ = runner(library, tmp_path, with_controls=False,
                     say=lambda images, _: seen.append(images[0].values.tobytes()) or "no")
    jobs = [made.prepare(cell(f"hit_uav.{n}", library)) for n in ("day", "present_person",
                                                                  "count_vehicle")]
    assert [len(j.pending) for j in jobs] == [10, 10, 10]
    made.answer(jobs)
    turns = 1 + sum(a != b for a, b in itertools.pairwise(seen))
    assert (len(seen), turns) == (30, 10)
    assert [made.score(j)[0].n for j in jobs] == [10, 10, 10]
    assert not any(made.prepare(j.cell).pending for j in jobs)


def test_answers_lie_beside_what_they_depend_on(library, tmp_path):
    made, subject = runner(library, tmp_path, lambda *_: "no", with_controls=False)
    made.rows(cell("flood_s1.present", library))
    record, = tmp_path.rglob("run.json")
    assert json.loads(record.read_text()) == {"model": "regular", "digest": subject.digest,
                                              "threads": 1}
    assert (record.parent / "test" / "flood_s1.present.jsonl").is_file()
    subject.run_key = "another processor"
    assert len(made.prepare(cell("flood_s1.present", library)).pending) == 10


def test_the_command_chooses_by_set_task_and_name():
    def chosen(*words):
        wanted = command.wanted_by(command.arguments(["--data", "x", *words]))
        return [n for n, task in (("world.vqa", "vqa"), ("trees.count", "count"),
                                  ("world.count", "count")) if wanted(n, task)]

    assert len(chosen()) == 3
    assert chosen("--sets", "world") == ["world.vqa", "world.count"]
    assert chosen("--tasks", "count,caption") == ["trees.count", "world.count"]
    assert chosen("--sets", "world", "--cells", "*.count") == ["world.count"]


def test_true_boxes_and_masks_score_full_marks(library, tmp_path):
    boxes, water = cell("s2_ships.boxes", library), cell("flood_s1.water", library)
    told = {}
    for sample in samples(library, "s2_ships", "test"):
        height, width = sample.size
        told[sample.images[0].values.tobytes()] = " ".join(
            slis.write_value(slis.box_from(x0 / width, y0 / height, x1 / width, y1 / height))
            for _, (x0, y0, x1, y1) in sample.boxes
        )
    for sample in samples(library, "flood_s1", "test"):
        told[sample.images[0].values.tobytes()] = slis.write_value(
            slis.mask_from(sample.mask == 1)
        )
    made, _ = runner(library, tmp_path,
                     lambda images, _: told.get(images[0].values.tobytes(), ""),
                     with_controls=False)
    assert made.rows(boxes)[0].value == 100.0
    assert made.rows(water)[0].value == 100.0


def test_pixels_are_asked_by_a_point_in_their_middle(library):
    asked = cell("indian_pines.pixels", library)
    sample, = samples(library, "indian_pines", "test")
    asks = asked.ask(sample)
    assert len(asks) > 50
    y, x = divmod(int(asks[0].key.split("#")[1]), 24)
    place, = (p for p in slis.parse(asks[0].prompt) if not isinstance(p, str))
    assert slis.point_xy(place) == pytest.approx(((x + 0.5) / 24, (y + 0.5) / 24), abs=1 / 1024)


def test_cells_beyond_a_model_are_named_with_what_it_lacks(library, tmp_path):
    made, subject = runner(library, tmp_path, lambda *_: "")
    subject.abilities = abilities_of(object())
    assert made.lacking(cell("trees.boxes", library)) == "places"
    assert made.lacking(cell("indian_pines.pixels", library)) == "visual_prompts"
    assert made.lacking(cell("trees.count", library)) == ""
    space = spaces.Spaces(subject, library, Plan("test", tmp_path), lambda *_: None)
    assert {space.lacking(name) for name in spaces.NAMES} == {"embed", "sensors", "signature"}


def test_grey_pictures_hold_nothing(library):
    alter = grey(library, cell("eurosat_ms.class", library)).alter
    sample = samples(library, "eurosat_ms", "test")[0]
    image, = alter(sample.images)
    assert image.values.dtype == np.uint16 and image.values.shape == (1, 64, 64, 13)
    assert (np.ptp(image.values, axis=(1, 2)) == 0).all()


def test_masked_target_leaves_the_clutter(library):
    sample = samples(library, "mstar", "test")[0]
    image, = CONTROLS["masked_target"](library, cell("mstar.class", library)).alter(sample.images)
    before, after = sample.images[0].values[0, :, :, 0], image.values[0, :, :, 0]
    assert np.ptp(after[24:72, 24:72]) == 0 and np.ptp(before[24:72, 24:72]) > 50
    assert (after[:24] == before[:24]).all() and (after[:, 72:] == before[:, 72:]).all()


def test_visible_only_takes_red_green_blue(library):
    sample = samples(library, "eurosat_ms", "test")[0]
    image, = CONTROLS["visible_only"](library, cell("eurosat_ms.class", library)).alter(
        sample.images)
    assert image.bands == ("red 665 nm", "green 560 nm", "blue 490 nm")
    assert (image.values == sample.images[0].values[..., [3, 2, 1]]).all()
    sample = samples(library, "indian_pines", "test")[0]
    image, = CONTROLS["visible_only"](library, cell("indian_pines.pixels", library)).alter(
        sample.images)
    assert image.bands[0].startswith("red 66")


def test_ship_chips_do_not_show_their_padding(library):
    sample = samples(library, "opensarship", "test")[0]
    assert sample.images[0].values.shape == (1, 32, 32, 1)


class Answers:
    """Training questions of a made-up set."""

    def __init__(self, pairs):
        self._pairs = pairs

    def samples(self, name, split):
        assert split == "train"
        return [type("S", (), {"facts": {"qa": [
            {"q": q, "a": a, "type": "count"} for q, a in self._pairs]}})]


def test_question_only_is_the_commonest_answer_to_the_question():
    train = Answers([("ships?", "0"), ("ships?", "0"), ("ships?", "9"), ("cars?", "9"),
                     ("cars?", "9")])
    prior = QuestionOnly(train, "x", "count", str)
    assert prior.answer("ships?") == "0" and prior.answer("trees?") == prior.majority == "9"


class Space(Knowing):
    """A language space of three directions: the class of a picture is its own number."""

    abilities = frozenset({"text", "embed"})

    def __init__(self, names):
        super().__init__(lambda *_: "")
        self.names = names

    def embed_text(self, texts):
        return np.array([[float(n in t) for n in self.names] for t in texts], np.float32)

    def embed_image(self, image):
        return np.eye(len(self.names), dtype=np.float32)[self.order.pop(0)]

    def signature(self, image):
        level = float(image.values.mean())
        return np.array([np.cos(level), np.sin(level)], np.float32)


def test_classes_are_named_by_the_language_space(library, tmp_path):
    from training.instruct.nouns import EUROSAT

    names = sorted(set(EUROSAT.values()))
    subject = Space(names)
    chosen = samples(library, "eurosat_rgb", "test")
    subject.order = [names.index(EUROSAT[s.facts["label"]]) for s in chosen]
    space = spaces.Spaces(subject, library, Plan("test", tmp_path), lambda *_: None)
    row, = space.rows("eurosat_rgb.names")
    assert (row.type, row.value) == ("class by name", 100.0)
    # A second run embeds nothing again.
    assert space.rows("eurosat_rgb.names")[0].value == 100.0


class Sentences(Space):
    """Every picture looks the same, a sentence is near to none: ranks hang on the archive alone."""

    def __init__(self):
        super().__init__(["one"])
        self.seen = 0

    def embed_text(self, texts):
        return np.ones((len(texts), 1), np.float32)

    def embed_image(self, image):
        self.seen += 1
        return np.ones(1, np.float32)


def test_a_limit_draws_sentences_and_leaves_the_archive_whole(library, tmp_path):
    def rows(limit, out):
        subject = Sentences()
        plan = Plan("test", tmp_path / out, limits=(("*.text_to_scene", limit),))
        made = spaces.Spaces(subject, library, plan, lambda *_: None).rows(
            "aid_rsicd.text_to_scene")
        return made, subject.seen

    pictures = samples(library, "aid_rsicd", "test")
    whole, seen = rows(0, "a")
    few, seen_of_few = rows(3, "b")
    assert seen == seen_of_few == len(pictures) == 10
    assert [r.n for r in few] == [3, 3, 3]
    assert whole[0].n == sum(len(s.facts["captions"]) for s in pictures)
    # All tie: found among ten only where ten are looked at, however few are asked.
    assert [r.value for r in few] == [r.value for r in whole] == [0.0, 0.0, 100.0]
    assert [r.majority for r in few] == [10.0, 50.0, 100.0]
    assert "among 10 pictures" in few[0].marks
    assert set(few[0].keys) < set(whole[0].keys) and len(set(whole[0].keys)) == whole[0].n


def test_two_models_are_paired_over_equal_sentences(library, tmp_path):
    found = []
    for limit in (0, 4):
        plan = Plan("test", tmp_path / str(limit), limit=limit)
        found.append(spaces.Spaces(Sentences(), library, plan, lambda *_: None).rows(
            "aid_rsicd.text_to_scene")[:1])
    (whole,), (few,) = found
    # Right exactly where the other was asked too and is wrong.
    whole.vectors = np.array([[float(k in few.keys), 1.0] for k in whole.keys])
    few.vectors = np.array([[0.0, 1.0]] * few.n)
    assert compare([whole], [few])["mean_difference"] == 100.0
    assert compare([few], [whole])["mean_difference"] == -100.0


@pytest.mark.parametrize(("limits", "is_told"), [
    ((("*", 1000),), True), ((("regular.s1s2_pairs.match_signature", 0), ), True),
    ((("*", 1),), False), ((("*", 1), ("*.match_signature", 0)), True),
])
def test_a_tile_has_a_verdict_where_all_were_asked(library, tmp_path, monkeypatch, limits,
                                                   is_told):
    # Two tiles that are each other's candidates, so that one can be drawn.
    tiles = samples(library, "s1s2_pairs", "test")[:2]
    for tile in tiles:
        tile.facts = {**tile.facts, "candidates": [s.id for s in tiles]}
    assert len(tiles) == 2
    monkeypatch.setattr(spaces, "samples", lambda *_: tiles)
    space = spaces.Spaces(Space([]), library, Plan("test", tmp_path, limits=limits),
                          lambda *_: None)
    row, = space.rows("s1s2_pairs.match_signature")
    assert (row.reached is not None) is is_told


def test_sar_tile_is_looked_for_among_its_candidates(library, tmp_path):
    space = spaces.Spaces(Space([]), library, Plan("test", tmp_path), lambda *_: None)
    row, = space.rows("s1s2_pairs.match_signature")
    assert row.n == 1 and row.target == 88 and row.modality == "optical and sar"
    assert row.value in (0.0, 100.0) and (row.majority, row.probe) == (6.8, 76.0)


def test_regular_is_compared_with_compact_on_the_same_items(library, tmp_path):
    asked = cell("eurosat_rgb.class", library)
    known = truth_of(asked, library)
    good, _ = runner(library, tmp_path / "a", with_controls=False,
                     say=lambda i, p: known[p, i[0].values.tobytes()])
    bad, _ = runner(library, tmp_path / "b", lambda *_: "forest", with_controls=False)
    found = compare(good.rows(asked), bad.rows(asked))
    assert found["cells"] == 1 and found["first_right_percent"] == 100.0
    assert found["mean_difference"] == 100 - bad.rows(asked)[0].value
    assert found["reached"]


def test_a_folder_without_sets_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no known set"):
        open_library(tmp_path)


def test_command_writes_rows_and_what_is_not_supported(tmp_path, capsys):
    folder = CHIPS.parent / "lvlm" / "hf_qwen2_vl"
    arguments = ["--data", str(CHIPS), "--cells", "hit_uav.boxes,hit_uav.day", "--limit", "3",
                 "--blind-limit", "*=2", "--out", str(tmp_path), "--model", str(folder)]
    assert command.main(arguments) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["limit"], scores["blind_limits"], scores["as_cards"]) == (3, {"*": 2}, False)
    row, = scores["rows"]
    assert (row["model"], row["set"], row["type"], row["n"]) == (
        "hf_qwen2_vl", "hit_uav", "day or night", 3)
    assert scores["not_supported"] == [
        {"model": "hf_qwen2_vl", "cell": "hit_uav.boxes", "lacks": "places"}]
    assert "not supported (places)" in capsys.readouterr().out


def test_command_refuses_a_folder_that_is_no_model(tmp_path, capsys):
    arguments = ["--data", str(CHIPS), "--model", str(tmp_path), "--out", str(tmp_path)]
    assert command.main(arguments) == 1
    assert "evaluation:" in capsys.readouterr().err

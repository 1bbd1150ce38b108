"""Regions, inverses, points, sensors, relevance: metrics by hand, cells by the truth."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from eo_nodes.lvlm import slis
from training.evaluation import mechanisms, pointing
from training.evaluation.asks import Ask, grounding_of
from training.evaluation.probes import CONTROLS
from training.evaluation.run import Plan, Runner
from training.evaluation.sets import open_library, samples
from training.evaluation.subject import Said, key_of, remember

CHIPS = Path(__file__).resolve().parents[2] / "data" / "chips"
CELLS = {cell.name: cell for cell in mechanisms.table()}


@pytest.fixture(scope="module")
def library():
    return open_library(CHIPS)


def ask(truth):
    return Ask("k", SimpleNamespace(size=(4, 4), cluster="c", picture="p"), "What?", truth)


class Telling:
    """Says what it is told to a prompt, and remembers what it was asked."""

    name = size = "compact"
    digest, run_key, record = "a" * 64, "aaaa-0000", {"threads": 1}
    abilities = frozenset({"text", "places", "visual_prompts", "sensors", "relevance"})

    def __init__(self, say):
        self.say, self.asked = say, []

    def answer(self, images, prompt, max_tokens):
        self.asked.append((prompt, len(images)))
        return Said(self.say(images, prompt), 0.8, 0.0)


def rows_of(name, library, tmp_path, say, **plan):
    subject = Telling(say)
    plan = {"limit": 4, "with_controls": False, **plan}
    runner = Runner(subject, library, Plan("test", tmp_path, **plan), lambda *_: None)
    return {r.metric.name if name.endswith("inverse") else r.type: r
            for r in runner.rows(CELLS[name])}, subject


# -- inverse -------------------------------------------------------------------------------------


def test_overlap_of_what_is_found_with_the_region_by_hand():
    region = slis.Box(0, 0, 100, 100)
    half = slis.write_value(slis.Box(0, 0, 100, 50))
    assert mechanisms.region_iou(region, f"the ship\n{half}") == pytest.approx(0.5)
    assert mechanisms.region_iou(region, f"{half}\nnowhere") == 0.0
    assert mechanisms.region_iou(region, "the ship\n<box @1 0 0 100 100>") == 0.0


@pytest.mark.parametrize(("said", "prompt"), [
    ("the red ship", "Where is the red ship?"), ("Ship.", "Where is the Ship?"),
    ("", "Where is the object?")])
def test_a_description_becomes_a_question_of_where(said, prompt):
    assert grounding_of(said) == prompt


def test_describing_and_finding_again_is_asked_in_two_steps(library, tmp_path):
    cell = CELLS["objects_rgb.inverse"]
    boxes = {a.truth[1]: slis.write_value(a.truth[0])
             for s in cell.samples(library, "test", 4) for a in cell.ask(s)}
    assert boxes

    def say(images, prompt):
        described = prompt.removeprefix("Where is ").rstrip("?")
        return boxes.get(described, next(iter(boxes)))

    rows, subject = rows_of("objects_rgb.inverse", library, tmp_path, say, limit=1)
    (region, where) = subject.asked
    assert "<box" in region[0] and where[0].startswith("Where is the ")
    assert set(rows) == {"accuracy", "iou"}


def test_controls_of_the_inverse_ask_once_and_in_other_words(library):
    cell = CELLS["objects_rgb.inverse"]
    asked = replace(ask((slis.Box(0, 0, 9, 9), "the largest car")), follow=grounding_of)
    true = CONTROLS["true_expression"](library, cell).ask(asked)
    none = CONTROLS["no_description"](library, cell).ask(asked)
    assert (true.prompt, true.follow) == ("Where is the largest car?", None)
    assert (none.prompt, none.follow) == ("Where is the object?", None)


# -- pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "both", "differ", "fewer"), [
    ("2\n5", 1, 1, 1), ("2.\n5", 1, 1, 1), ("5\n5", 0, 0, 0), ("5\n2", 0, 1, 0), ("\n5", 0, 0, 0),
    ("2\n", 0, 0, 0)])
def test_a_pair_is_right_only_if_both_answers_are(said, both, differ, fewer):
    asked = ask(("2", "5"))
    found = [f(asked, said)[0] for f in (mechanisms._both_right, mechanisms._differ,
                                         mechanisms._fewer)]
    assert found == [both, differ, fewer]


def test_pairs_have_answers_that_differ_and_the_truth_scores_full_marks(library, tmp_path):
    cell = CELLS["hit_uav.region"]
    told = {}
    for sample in cell.samples(library, "test", 0):
        (one,) = cell.ask(sample)
        assert one.truth[0] != one.truth[1] and "<" in one.prompt
        pixels = sample.images[0].values.tobytes()
        told[one.prompt, pixels], told[one.follow(""), pixels] = one.truth

    def right(images, prompt):
        return told[prompt, images[0].values.tobytes()]

    rows, _ = rows_of("hit_uav.region", library, tmp_path / "a", right)
    assert {r.value for r in rows.values()} == {100.0}
    rows, _ = rows_of("hit_uav.region", library, tmp_path / "b", lambda *_: "3")
    assert rows["with and without region, answers differ"].value == 0.0


# -- points --------------------------------------------------------------------------------------


def test_a_point_must_lie_in_the_box_of_the_first_image():
    asked = ask((0.25, 0.25, 0.5, 0.5))
    inside = slis.write_value(slis.point_from(0.3, 0.4))
    outside = slis.write_value(slis.point_from(0.6, 0.4))
    assert mechanisms.point_hit(asked, inside)[0] == 1
    assert mechanisms.point_hit(asked, outside)[0] == 0
    assert mechanisms.point_hit(asked, inside.replace("<point ", "<point @1 "))[0] == 0
    assert mechanisms.point_hit(asked, "there")[0] == 0


def test_true_points_score_full_marks(library, tmp_path):
    cell = CELLS["hit_uav.point"]
    told = {}
    for sample in cell.samples(library, "test", 0):
        (one,) = cell.ask(sample)
        told[one.prompt, sample.images[0].values.tobytes()] = sample.instruction.answer
    rows, _ = rows_of("hit_uav.point", library, tmp_path,
                      lambda images, prompt: told[prompt, images[0].values.tobytes()])
    assert rows["point on the object"].value == 100.0


# -- sensors and captions --------------------------------------------------------------------------


def test_two_sensors_are_held_against_each_alone(library, tmp_path):
    cell = CELLS["eurosat_ms.fused"]
    by_pixels = {s.images[1].values.tobytes(): cell.ask(s)[0].truth
                 for s in cell.samples(library, "test", 0)}

    def say(images, prompt):
        # Only the second sensor tells, and only together with the first.
        return by_pixels.get(images[-1].values.tobytes(), "?") if len(images) == 2 else "?"

    # Fewer blind questions do not mean fewer of each sensor alone.
    rows, subject = rows_of("eurosat_ms.fused", library, tmp_path, say, with_controls=True,
                            blind_limit=1)
    row = rows["class by two sensors"]
    assert dict(row.controls) == {"first sensor": 0.0, "second sensor": 0.0}
    assert row.value == 100.0 and {n for _, n in subject.asked} == {1, 2}
    assert any(m.startswith("fusion +100.0 (100.0 to 100.0) against") for m in row.marks)


def test_split_bands_are_the_whole_picture(library):
    stored = library.samples("eurosat_ms", "test")[0]
    first, second = mechanisms.SplitSample(library, stored).images
    (whole,) = samples(library, "eurosat_ms", "test")[0].images
    assert first.bands == ("B02 490nm", "B03 560nm", "B04 665nm") and len(second.bands) == 10
    assert set(first.bands) | set(second.bands) == set(whole.bands)
    assert (second.values[..., 0] == whole.values[..., 0]).all()


class Pictures:
    """Training pictures of two classes with captions."""

    def samples(self, name, split):
        rows = [("Beach", ["sand.", "sea.", "sand."]), ("Pond", ["water."])]
        return [SimpleNamespace(facts={"label": c, "captions": t}) for c, t in rows]


def test_a_caption_that_only_knows_the_class():
    control = CONTROLS["class_caption"](Pictures(), SimpleNamespace(set_name="aid_rsicd"))
    assert control.ask(ask([])).prompt == "What scene is this?"
    assert control.read(Said("Beach.", 1.0, 0.0)).text == "sand."
    assert control.read(Said("forest", 1.0, 0.0)).text == ""


@pytest.mark.parametrize("name", ["world.video_caption", "world.change_caption",
                                  "world.inventory"])
def test_true_captions_of_the_world_score_full_marks(name, library, tmp_path):
    cell = CELLS[name]
    told = {a.prompt + s.picture: a.truth[0] for s in cell.samples(library, "test", 4)
            for a in cell.ask(s)}
    assert told and cell.domain == "synthetic"
    one = cell.ask(cell.samples(library, "test", 4)[0])[0]
    right, wrong = (cell.scores[1].vectors([one], [said])[0][0] for said in (one.truth[0], "x"))
    assert (right, wrong) == (1.0, 0.0)


# -- relevance -----------------------------------------------------------------------------------


def test_cells_under_a_box():
    found = pointing.positive_cells([(0, 0, 10, 10), (25, 15, 40, 20)], (2, 4), (20, 40))
    assert found.astype(int).tolist() == [[1, 0, 0, 0], [0, 0, 1, 1]]


def test_a_box_that_ends_at_a_cell_does_not_touch_the_next():
    assert pointing.positive_cells([(0, 0, 10, 10)], (2, 2), (20, 20)).sum() == 1
    assert pointing.positive_cells([(0, 0, 10.1, 10)], (2, 2), (20, 20)).sum() == 2


def test_pointing_game_counts_ties_against_the_map():
    here = np.array([[True, False], [False, False]])
    won = pointing.point(np.array([[0.9, 0.1], [0.2, 0.3]]), here)
    assert (won.hit, won.chance, won.auroc) == (True, 0.25, 1.0)
    assert not pointing.point(np.full((2, 2), 0.5), here).hit
    assert pointing.point(np.zeros((2, 2)), np.ones((2, 2), bool)) is None


class Looking(Telling):
    """Its map is the brightness of the picture's quarters."""

    def relevance(self, image, prompt):
        self.asked.append((prompt, 1))
        grey = image.values[0].mean(-1)
        h, w = (side // 2 for side in grey.shape)
        return np.array([[grey[:h, :w].mean(), grey[:h, w:].mean()],
                         [grey[h:, :w].mean(), grey[h:, w:].mean()]])


def test_relevance_is_asked_once_and_kept(library, tmp_path):
    plan = Plan("test", tmp_path)
    subject = Looking(None)
    made = pointing.Pointing(subject, library, plan, lambda *_: None)
    assert made.lacking("hit_uav.relevance_words") == "cell_meaning"
    (row,) = made.rows("hit_uav.relevance")
    assert 0 < row.majority < 100 and row.n >= 3 and row.marks[0].startswith("AUROC ")
    asked = len(subject.asked)
    again = pointing.Pointing(subject, library, plan, lambda *_: None).rows("hit_uav.relevance")
    assert again[0].plain() == row.plain() and len(subject.asked) == asked


# -- what is remembered --------------------------------------------------------------------------


def test_a_function_of_pixels_runs_once_for_equal_pixels():
    calls = []

    def see(image, scale=1):
        calls.append(scale)
        return image.sum() * scale

    seen = remember(see, most=2)
    first, same = np.ones((2, 2)), np.ones((2, 2))
    assert seen(first) == seen(same) == 4 and len(calls) == 1
    assert seen(first, scale=3) == 12 and seen(np.zeros((2, 2))) == 0 and len(calls) == 3
    seen(first)  # forgotten: two others came since
    assert len(calls) == 4


def test_arrays_of_other_type_or_shape_are_others():
    a = np.zeros(4, np.float32)
    assert key_of(a) == key_of(a.copy())
    assert len({key_of(a), key_of(a.reshape(2, 2)), key_of(a.view(np.int32)), key_of(a + 1)}) == 4

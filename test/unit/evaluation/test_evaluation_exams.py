"""Cells of the world and of real boxes: the truth scores full marks, something else does not."""

from pathlib import Path

import pytest

from eo_nodes.lvlm import slis
from training.evaluation import exams
from training.evaluation.run import Plan, Runner
from training.evaluation.sets import draw, modality_of, open_library
from training.evaluation.subject import Said

CHIPS = Path(__file__).resolve().parents[2] / "data" / "chips"
CELLS = {cell.name: cell for cell in exams.table()}


@pytest.fixture(scope="module")
def library():
    return open_library(CHIPS)


class Telling:
    """Says what it is told to a prompt on a picture."""

    name = size = "regular"
    digest, run_key, record = "f" * 64, "ffff-0000", {}

    def __init__(self, told):
        self.told = told

    def answer(self, images, prompt, max_tokens):
        return Said(self.told.get((prompt, images[0].values.tobytes()), "nothing"), 1.0, 0.0)


def row_of(name, library, tmp_path, say):
    """First row of a cell for a model that says ``say(ask)``."""
    cell, told = CELLS[name], {}
    # The runner's own draw: the others need not be rendered.
    for sample in sorted(cell.samples(library, "test", 4), key=lambda s: draw(s.id))[:4]:
        (ask,) = cell.ask(sample)
        told[ask.prompt, sample.images[0].values.tobytes()] = say(ask)
    runner = Runner(Telling(told), library, Plan("test", tmp_path, limit=4, with_controls=False),
                    lambda *_: None)
    return runner.rows(cell)[0]


def mask_text(ask):
    return slis.write_value(slis.mask_from(ask.truth[0]))


@pytest.mark.parametrize(
    "name",
    ["world.vqa", "world.class", "world.grounding", "world.oriented", "world.boxes",
     "world.oriented_boxes", "world.refer", "world.change", "world.dates", "world.video",
     "world.track", "world.fused_count", "objects_rgb.grounding"],
)
def test_the_truth_scores_full_marks(name, library, tmp_path):
    row = row_of(name, library, tmp_path / "a", lambda ask: ask.truth)
    assert (row.value, row.refused) == (100.0, 0)
    assert row.domain == ("synthetic" if name.startswith("world") else "real")
    wrong = row_of(name, library, tmp_path / "b", lambda ask: "nothing at all")
    assert wrong.value == 0.0


@pytest.mark.parametrize("name", ["world.area", "world.change_area", "flood_s1.at_point"])
def test_true_masks_score_full_marks(name, library, tmp_path):
    assert row_of(name, library, tmp_path, mask_text).value == pytest.approx(100.0)


@pytest.mark.parametrize("name", sorted(CELLS))
def test_every_cell_has_questions(name, library):
    # A kind that the builder no longer writes would leave the table without a word.
    assert CELLS[name].samples(library, "test", 4)


def test_a_box_on_the_other_image_is_wrong(library, tmp_path):
    def other(ask):
        (box,) = (v for v in slis.parse(ask.truth) if not isinstance(v, str))
        image = 0 if box.image else 1
        return slis.write_value(slis.Box(*box.numbers, image=image))

    assert row_of("world.track", library, tmp_path, other).value == 0.0


def test_counts_by_two_sensors_are_apart(library):
    single = CELLS["world.count"].samples(library, "test", 4)
    both = CELLS["world.fused_count"].samples(library, "test", 4)
    assert {len(s.images) for s in single[:20]} == {1} and {len(s.images) for s in both[:5]} == {2}


@pytest.mark.parametrize(
    ("set_name", "bands", "modality"),
    [("s1s2_pairs", ("VH",), "sar"), ("s1s2_pairs", ("red", "green", "blue"), "optical"),
     ("change_pairs", ("amplitude",), "temporal"), ("hit_uav", ("thermal",), "thermal"),
     ("aerial_video", ("red", "green", "blue"), "video")],
)
def test_modality_as_training_tags_it(set_name, bands, modality):
    assert modality_of(set_name, bands) == modality

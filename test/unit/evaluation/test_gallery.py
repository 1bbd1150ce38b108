"""The gallery: judging, pictures, and a page that shows failures and refusals as they come."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from eo_nodes.contracts.errors import ConfigError, ModelError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.infer import ImageInput
from training.evaluation.fixtures import CHIPS
from training.evaluation.sets import open_library
from training.gallery import __main__ as gallery
from training.gallery import drawing, wall
from training.gallery.judge import is_right
from training.gallery.shots import Pool, Shot, answer_of

RGB = ("red", "green", "blue")
MASK = np.zeros((64, 64), np.uint8)
MASK[:32] = 1
MASK[:, 60:] = 255


@pytest.mark.parametrize(("said", "truth", "right"), [
    ("River.", "river", True), ("rivers", "river", False), ("", "river", False),
    ("<box 0 0 99 99>", "<box 0 0 99 120>", True),
    ("<box 0 0 99 99>", "<box 200 200 300 300>", False),
    ("<box @1 0 0 99 99>", "<box 0 0 99 99>", False),
    ("none", "<box 0 0 99 99>", False),
    ("<box 0 0 9 9> <box 50 50 90 90>", "<box 0 0 9 9> <box 50 50 90 90> <box 1 99 9 120>", True),
    ("<box 0 0 9 9>", "<box 50 50 90 90> <box 1 99 9 120>", False),
    ("<point 100 100>", "<point 110 105>", True), ("<point 100 100>", "<point 200 100>", False),
    ("<obox 256 256 100 20 0>", "<obox 256 256 100 20 0>", True),
    ("<obox 256 256 100 20 256>", "<obox 256 256 100 20 0>", False),
    ("<span 2 4>", "<span 2 5>", True), ("<span 0 1>", "<span 2 5>", False),
    ("<poly 0 0 0 255 511 255 511 0>", "<poly 0 0 0 240 511 240 511 0>", True),
    ("<poly 0 400 0 511 511 511>", "<poly 0 0 0 240 511 240 511 0>", False),
])  # fmt: skip
def test_answers_are_judged_by_the_kind_of_their_truth(said, truth, right):
    assert is_right(said, truth, (64, 64)) is right


def test_areas_are_judged_where_there_is_a_label():
    half = slis.write_value(slis.mask_from(MASK == 1))
    assert is_right(half, "<seg>", (64, 64), MASK) is True
    lower = slis.write_value(slis.mask_from(np.arange(64)[:, None].repeat(64, 1) >= 32))
    assert is_right(lower, "<seg>", (64, 64), MASK) is False
    assert is_right("a caption", "another", (64, 64), judged=False) is None


def test_a_png_holds_the_picture_and_what_was_drawn(tmp_path):
    values = np.full((1, 40, 60, 3), 30, np.uint8)
    values[:, :, 30:] = (200, 40, 40)
    image = ImageInput(values, RGB, "optical")
    picture = drawing.sheet([image], "<point 256 256>", "<box 0 0 99 511>", "<box 300 0 511 511>")
    data = drawing.png(picture)
    (tmp_path / "a.png").write_bytes(data)
    read = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    assert read.shape == picture.shape and data == drawing.png(picture)
    assert np.abs(read.astype(int) - picture).max() <= 40
    for colour in (drawing.PROMPT, drawing.TRUTH, drawing.SAID):
        assert (read == colour).all(-1).any()


def test_long_series_are_thinned_and_many_bands_shown_in_true_colour():
    image = ImageInput(np.zeros((1, 20, 20, 3), np.uint8), RGB, "video")
    few, many = drawing.sheet([image] * 3, "", "", ""), drawing.sheet([image] * 8, "", "", "")
    assert few.shape == many.shape
    bands = tuple(f"{nm} nm" for nm in (1600, 480, 560, 660, 860))
    cube = np.arange(5, dtype=np.uint16) * np.ones((1, 4, 4, 5), np.uint16)
    shown = drawing.visible(ImageInput(cube, bands, "multispectral"))
    assert shown.values[0, 0, 0].tolist() == [3, 2, 1]


@pytest.fixture(scope="module")
def every():
    return wall.rows(open_library(CHIPS))


def test_every_row_has_pictures_and_no_two_are_alike(every):
    names = [f"{letter}{n}" for letter in "EXG" for n in range(1, 7)]
    assert sorted(r.name for r in every) == sorted(names)
    assert all(r.shots and r.text for r in every)
    asked = [(s.prompt, s.remark, *(i.values.tobytes() for i in s.images))
             for r in every for s in r.shots]
    assert len(set(asked)) == len(asked) >= 50
    (e5,) = (r for r in every if r.name == "E5")
    shown = {i.modality for s in e5.shots for i in s.images}
    assert {"optical", "sar", "thermal", "multispectral", "temporal", "video"} <= shown


def test_questions_do_not_hang_on_answers():
    first, second = (Pool(open_library(CHIPS)).shots("hit_uav", "count", "detect", 2)
                     for _ in range(2))
    assert [s.prompt for s in first] == [s.prompt for s in second]


class Wrong:
    """A model that says the same to everything, and refuses what has several images."""

    def answer(self, images, prompt, visual_prompts, *, max_tokens, zooms=0):
        if len(images) > 1:
            raise ModelError("one image | only")
        return "a <box 0 0 1 1>", 0.5, 3


def test_failures_and_refusals_are_shown(every, tmp_path):
    (e5,) = (r for r in every if r.name == "E5")
    text, marks, table = gallery.write_row(e5, {"wrong": Wrong()}, tmp_path, "gallery")
    assert len(marks) == len(e5.shots) == text.count("![E5]") == len(list(tmp_path.iterdir()))
    assert [False] in marks and [None] in marks
    assert "**wrong**" in text and "refused: one image" in text
    # One table: every line of it has as many cells as the first.
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()[4:]}
    assert cells == {5}
    assert table == text.splitlines()[-len(table):] and len(table) == len(marks)
    assert gallery.summary({"wrong": None}, {"E5": marks}).startswith("wrong: 0 of ")


def test_the_readme_gets_one_line_a_row(every, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- gallery -->\nold\n<!-- /gallery -->\nb\n")
    line = "| ![E1](gallery/E1_1.png) | `q` | `l` | `x` right |"
    gallery.write_readme(readme, {"m": None}, [(every[0], line)], "m: 1 of 1 right.", "docs/")
    text = readme.read_text()
    assert "old" not in text and text.startswith("a\n") and text.endswith("/gallery -->\nb\n")
    assert "| E1 One autoregressive model | ![E1](docs/gallery/E1_1.png) | `q` |" in text
    with pytest.raises(ConfigError, match="no block"):
        readme.write_text("nothing")
        gallery.write_readme(readme, {"m": None}, [], "", "")


def test_bands_without_names_are_refused_in_the_row_of_bands(every):
    (g1,) = (r for r in every if r.name == "G1")
    last = g1.shots[-1]
    assert last.truth == "a refusal"
    text, right, _ = answer_of(Wrong(), last, lambda: 0)
    assert text.startswith("a <box") and right is False


def test_a_folder_that_is_no_model_ends_the_command(tmp_path, capsys):
    assert gallery.main(["--model", str(tmp_path), "--out", str(tmp_path / "g.md")]) == 1
    assert "gallery:" in capsys.readouterr().err


def test_shots_need_no_torch():
    assert Shot.__dataclass_fields__ and not any(
        "torch" in p.read_text() and "no torch" not in p.read_text() and "neither torch" not in
        p.read_text() for p in Path(wall.__file__).parent.glob("*.py"))

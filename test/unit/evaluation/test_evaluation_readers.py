"""How answers are read, and when a row's target counts as reached."""

import pytest

from training.evaluation import readers
from training.evaluation.cells import rsvqa_value, table
from training.evaluation.metrics import ACCURACY, MAE
from training.evaluation.rows import Row, is_reached, marked


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("there are 3 ships", 3), ("1,204", 1204), ("two", 2), ("no ships", 0), ("", 0),
     ("137.5 metres", 137.5), ("Twelve cars.", 12)],
)
def test_numbers(text, value):
    assert readers.number(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("Yes.", "yes"), ("no, it is not", "no"), ("nothing", ""), ("", "")]
)
def test_yes_no(text, value):
    assert readers.yes_no(text) == value


@pytest.mark.parametrize(
    ("text", "index"),
    [("0", 0), ("1", 1), ("10", 1), ("11", 2), ("100", 2), ("101", 3), ("1000", 3), ("7116", 4),
     ("between 11 and 100", 2), ("more than 1000", 4), ("between 1 and 10", 1), ("none", 0),
     ("river", None)],
)
def test_rsvqa_counts_fall_in_the_publishers_ranges(text, index):
    assert readers.said_range(text, readers.COUNT_RANGES) == index


def test_areas_have_a_unit_and_ranges():
    assert rsvqa_value("area", "0m2") == 0
    assert rsvqa_value("area", "2901m2") == rsvqa_value("area", "more than 1000m2") == 4
    assert rsvqa_value("area", "between 10m2 and 100m2") == rsvqa_value("area", "57m2")


def test_words_are_compared_without_case_and_stop():
    assert rsvqa_value("", "Urban.") == rsvqa_value("", "urban")


def test_boxes_in_pixels_of_the_image():
    found = readers.boxes_of("a ship <box 0 0 255 127> and <point 3 4>", (100, 200))
    (x0, y0, x1, y1), = found
    assert (x0, y0) == pytest.approx((0.2, 0.1), abs=0.1)
    assert (x1, y1) == pytest.approx((99.8, 24.9), abs=0.1)


def test_malformed_places_are_no_places():
    assert readers.boxes_of("<box 9 9 1>", (10, 10)) == []
    assert not readers.mask_of("<mask 2 2 9>", (4, 4)).any()


def test_areas_of_an_answer_are_joined():
    found = readers.mask_of("<mask 2 2 0 1 3> and <box 256 256 511 511>", (4, 4))
    assert found.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def row(value, ci95, target, metric=ACCURACY, **more):
    return Row(
        "m", "vqa", "optical", "s", "t", metric, value, 100, ci95, 100, target=target, **more
    )


@pytest.mark.parametrize(
    ("made", "reached"),
    [
        (row(97.0, (95, 98), 97.0), True),
        (row(96.9, (95, 98), 97.0), False),
        (row(1.5, (1, 2), 1.5, MAE), True),
        (row(1.6, (1, 2), 1.5, MAE), False),
        (row(60.0, (55, 65), "better", majority=50.0, probe=58.0), True),
        (row(60.0, (55, 65), "clearly", majority=50.0, probe=58.0), False),
        (row(60.0, (55, 65), "clearly", majority=50.0, probe=54.0), True),
        (row(3.0, (2.5, 3.5), "clearly", MAE, majority=5.0, probe=3.6), True),
        (row(3.0, (2.5, 3.5), "clearly", MAE, majority=5.0, probe=3.4), False),
        (row(70.0, (60, 80), "probe + 5", probe=66.0), False),
        (row(71.0, (60, 80), "probe + 5", probe=66.0), True),
        (row(71.0, (60, 80), "probe + 5"), None),
        (row(71.0, (60, 80), None, probe=66.0), None),
    ],
)
def test_targets(made, reached):
    assert is_reached(made) is reached


def test_small_rows_are_marked():
    few = row(50.0, (0, 100), None)
    few.n = 49
    assert marked(few) == ("n < 50",) and marked(row(50.0, (40, 60), None)) == ()


def test_rows_that_hang_on_few_scenes_are_marked():
    clustered = row(50.0, (0, 100), None, marks=("clustered",))
    clustered.clusters = 4
    assert marked(clustered) == ("clustered", "clusters: 4")


def test_plain_row_has_the_fields_of_scores_json():
    fields = {"model", "category", "modality", "set", "type", "domain", "metric", "value", "n",
              "ci95", "majority", "probe", "blind"}
    plain = row(50.0, (40.0, float("nan")), None).plain()
    assert fields <= plain.keys() and plain["ci95"] == [40.0, None]


def test_table_names_each_row_once_and_every_metric_is_known():
    cells = table([])
    rows = [(c.set_name, s.type, s.metric.name) for c in cells for s in c.scores]
    assert len(rows) == len(set(rows)) and len({c.name for c in cells}) == len(cells)
    assert {name for *_, name in rows} <= {"accuracy", "f1", "iou", "cider", "mae"}
    assert {c.task for c in cells} <= {"classification", "vqa", "caption", "count", "grounding",
                                       "referring", "segmentation", "change", "temporal"}


def test_every_set_of_the_data_page_has_a_cell():
    from training.evaluation.spaces import NAMES
    from training.instruct.sources import SETS

    asked = {c.set_name for c in table([])} | {name.split(".")[0] for name in NAMES}
    assert asked == set(SETS)



"""Rules on fields: each accepts its range, refuses beyond it, and says which field is wrong."""

import dataclasses
import math

import pytest

from eo_nodes.contracts.errors import ContractError, EoError
from eo_nodes.contracts.imagery import Scene, Task, VisualPrompt
from eo_nodes.contracts.reasoning import Answer, Product, Region, Tap
from eo_nodes.contracts.rules import (
    between,
    finite,
    length,
    one_of,
    outline,
    pixel_window,
    validate,
)
from eo_nodes.contracts.values import VALUES

NAN, INF = math.nan, math.inf


def task(**changes):
    """A task that keeps its contract, apart from `changes`."""
    good = Task(id="task-1", prompt="how many ships?", consumer="ground", max_answers=1)
    return dataclasses.replace(good, **changes)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (length(1, 3), ["a", "abc"], ["", "abcd", "a\0b"]),
        (between(0, 1), [0, 1, 0.5], [-1e-9, 1 + 1e-9, NAN, INF, -INF]),
        (one_of("a", ""), ["a", ""], ["b", "A", "a "]),
        (finite(1, 2), [(0.0,), (1.0, -1e38)], [(), (1.0, 2.0, 3.0), (NAN,), (0.0, INF)]),
        (finite(), [(), (1.0,)], [(NAN,), (-INF,)]),
        (
            outline(),
            [(), (0, 0, 1, 0, 1, 1), (-180, -90, 180, 90, 0, 0)],
            [
                (0.0, 0.0),
                (0, 0, 1, 1),
                (0, 0, 1, 0, 1),
                (0, 0, 1, 0, 181, 1),
                (0, 0, 1, 0, 1, -91),
                (NAN, 0, 1, 0, 1, 1),
                (0, 0) * 1001,
            ],
        ),
        (
            pixel_window(),
            [(), (0, 0, 1, 1), (5, 6, 7, 8)],
            [(0, 0, 1), (-1, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 1, 1, 1)],
        ),
        (pixel_window(required=True), [(0, 0, 1, 1)], [()]),
    ],
)
def test_rule_accepts_its_range_and_nothing_else(rule, good, bad):
    assert {repr(value): rule(value) for value in good} == {repr(value): "" for value in good}
    assert [value for value in bad if not rule(value)] == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 100_000}, "prompt"),
        ({"prompt": "a\0b"}, "prompt"),
        ({"modality": "lidar"}, "modality"),
        ({"area": (200.0, 0.0, 201.0, 0.0, 201.0, 1.0)}, "area"),
        ({"window": (0, 0, 0, 5)}, "window"),
        ({"zoom": 4}, "zoom"),
        ({"priority": 8}, "priority"),
        ({"priority": -1}, "priority"),
        ({"consumer": "moon"}, "consumer"),
        ({"max_answers": 0}, "max_answers"),
        ({"deadline_ns": -1}, "deadline_ns"),
        ({"valid_from_ns": 2**63}, "valid_from_ns"),
    ],
)
def test_m32_bad_task_is_refused_by_the_name_of_its_field(changes, field):
    validate(task())
    with pytest.raises(ContractError) as caught:
        validate(task(**changes))
    assert caught.value.field == field
    assert isinstance(caught.value, EoError)
    # The reason goes to the asker: it must not carry a 100 kB prompt back.
    assert 0 < len(str(caught.value)) < 300


def test_fault_inside_a_list_is_named_with_its_place():
    points = (
        VisualPrompt(kind="point", xy=(1.0, 2.0)),
        VisualPrompt(kind="point", xy=(1.0, NAN)),
    )
    with pytest.raises(ContractError) as caught:
        validate(task(visual_prompts=points))
    assert caught.value.field == "visual_prompts[1].xy"


def test_fault_inside_a_value_is_named_with_its_path():
    answer = Product(
        id="p", kind="regions", path="/x",
        regions=(Region(window=(0, 0, 1, 1), action="keep", scale=1.0, relevance=NAN),),
    )  # fmt: skip
    with pytest.raises(ContractError) as caught:
        validate(answer)
    assert caught.value.field == "regions[0].relevance"


def test_request_checks_the_scene_inside_it():
    request = VALUES["Request"](
        id="r", task_id="t", scene_id="s", prompt="p", modality="sar",
        window=(0, 0, 1, 1), consumer="ground", scene=Scene(id="s", sensor="x", modality="sar"),
    )  # fmt: skip
    with pytest.raises(ContractError) as caught:
        validate(request)
    assert caught.value.field.startswith("scene.")


@pytest.mark.parametrize("field", ["confidence", "mean_logprob"])
def test_nan_of_a_model_is_refused(field):
    tap = Tap(request_id="r", stage=1)
    validate(tap)
    with pytest.raises(ContractError):
        validate(dataclasses.replace(tap, **{field: NAN}))


def test_more_confidences_than_stages_are_refused():
    answer = Answer(id="a", origin="ground", confidence=(0.1, 0.2, 0.3))
    validate(answer)
    with pytest.raises(ContractError, match="confidence"):
        validate(dataclasses.replace(answer, confidence=(0.1, 0.2, 0.3, 0.4)))


@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_rule_of_every_value_is_total(name):
    """A rule returns text for what a message of the right type can hold, and never raises."""
    odd = {
        str: ["", "\0", "x" * 10_000],
        int: [0, -(2**63), 2**64 - 1],
        float: [0.0, NAN, INF, -INF],
        tuple: [(), (0,), (NAN, NAN), (0, 0, 0, 0), (-1, -1, -1, -1, -1)],
    }
    cls = VALUES[name]
    for item in dataclasses.fields(cls):
        rule = item.metadata.get("rule")
        for value in odd.get(type(getattr(cls(), item.name)), []) if rule else ():
            assert isinstance(rule(value), str), item.name


def test_values_are_frozen_slotted_and_built_by_name():
    for cls in VALUES.values():
        assert cls.__dataclass_params__.frozen
        assert "__dict__" not in dir(cls())
        with pytest.raises(TypeError):
            cls("positional")

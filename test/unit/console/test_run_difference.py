"""Two runs compared: decisions, bytes, order, answers."""

from __future__ import annotations

import copy
import json

import pytest

from eo_nodes.console.difference import (
    Difference,
    compare,
    compare_files,
    run_of_messages,
    run_of_report,
)
from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import Answer, Product, Verdict


def row(number: int, **changes: object) -> dict:
    return {
        "id": f"req-{number}",
        "answer": "yes",
        "status": "final",
        "origin": "onboard",
        "bytes_sent": 100,
        "verdicts": [{"stage": 1, "decision": "answer"}],
        "steps": [{"name": "final", "stamp_ns": number}],
        **changes,
    }


REPORT = {"requests": [row(1), row(2), row(3)]}


def differences(changed: dict) -> list[Difference]:
    return compare(run_of_report(REPORT), run_of_report(changed))


def test_a_run_equals_itself():
    assert differences(copy.deepcopy(REPORT)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"answer": "no"},
            Difference("answer", "req-2", "final onboard 'yes'", "final onboard 'no'"),
        ),
        ({"bytes_sent": 99}, Difference("bytes", "req-2", "100", "99")),
        (
            {"verdicts": [{"stage": 1, "decision": "offload"}]},
            Difference("decision", "req-2 stage 1", "answer", "offload"),
        ),
        (
            {"steps": [{"name": "final", "stamp_ns": 9}]},
            Difference("order", "place 2", "req-2", "req-3"),
        ),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_found_alone(change, expected):
    changed = {"requests": [row(1), row(2, **change), row(3)]}
    assert differences(changed) == [expected]


def test_a_missing_request_differs_in_all_it_had():
    found = differences({"requests": [row(1), row(2)]})
    assert [item.kind for item in found] == ["decision", "bytes", "answer", "order"]
    assert all(item.second == "" for item in found)


def test_a_bag_gives_the_same_run_as_a_report():
    messages = []
    for number in (2, 1, 3):
        request = f"req-{number}"
        messages += [
            ("/sat1/verdict", 0, Verdict(request_id=request, stage=1, decision=Verdict.ANSWER)),
            ("/sat1/product", 0, Product(id=f"prd-{number}", size_bytes=100)),
            (
                "/ground/final",
                0,
                Answer(
                    id=f"a{number}", request_id=request, status=Answer.FINAL, text="yes",
                    origin="onboard", stamp_ns=number,
                ),
            ),
        ]  # fmt: skip
    run = run_of_messages(messages)
    report = run_of_report(REPORT)
    assert (run.decisions, run.answers, run.order) == (
        report.decisions,
        report.answers,
        ["req-1", "req-2", "req-3"],
    )
    assert run.sizes == {"prd-1": "100", "prd-2": "100", "prd-3": "100"}


def test_files_are_compared_and_refused(tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(REPORT))
    two.write_text(json.dumps({"requests": [row(1)]}))
    found, kinds = compare_files(one, two)
    assert kinds == ["answer", "bytes", "decision", "order"]
    assert len(found) == 7
    two.write_text("{")
    with pytest.raises(StorageError, match=r"two\.json"):
        compare_files(one, two)

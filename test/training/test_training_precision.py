"""Folders in another precision, the runtime's benchmark, and what a precision costs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402

from eo_nodes.contracts.errors import ModelError  # noqa: E402
from eo_nodes.lvlm import load_model  # noqa: E402
from training import precision  # noqa: E402
from training.bench_runtime import asking, memory, modules, report  # noqa: E402
from training.evaluation import twin  # noqa: E402
from training.stored import weights_of  # noqa: E402

pytestmark = pytest.mark.training
COMPACT = Path(__file__).resolve().parents[2] / "models/compact"


@pytest.fixture(scope="module")
def seen():
    return asking.picture()


def test_pytorch_says_what_the_runtime_says_and_sees_what_it_sees(seen):
    ours, theirs = asking.opened(COMPACT), modules.opened(COMPACT)
    (_, a), (_, b) = (m.look_at(seen, None, None) for m in (ours, theirs))
    for name in ("cells", "chances", "meaning", "score", "pixel"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-3)
    mine, other = (asking.ask(m, seen) for m in (ours, theirs))
    assert mine.ids == other.ids and len(mine.ids) > 8
    assert 0 < mine.runs < mine.tokens and 0 < mine.loop < mine.token


def test_a_decoder_without_modules_is_refused(tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(COMPACT, folder)
    model = onnx.load(str(folder / "decoder.onnx"))
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("products.", "sums.")
    onnx.save(model, str(folder / "decoder.onnx"))
    with pytest.raises(ModelError, match="no PyTorch modules"):
        modules.Folder(folder)


def test_the_folder_that_computes_in_int8_is_whole_and_differs(tmp_path, seen):
    precision.compute_in_int8(COMPACT, tmp_path / "int8")
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "int8/decoder.onnx")).graph.node]
    assert kinds.count("MatMulNBits") >= 16
    model = load_model(tmp_path / "int8")           # its self test runs
    before = load_model(COMPACT)
    assert model.digest != before.digest
    logits = [m.begin([seen], asking.QUESTION, (), 8, None)._logits for m in (model, before)]
    assert 0 < np.abs(logits[0] - logits[1]).max() < 0.1 * np.ptp(logits[1])


def test_unpacked_weights_are_the_stored_ones_and_others_are_refused(tmp_path):
    path = tmp_path / "pair.onnx"
    shutil.copyfile(COMPACT / "pair.onnx", path)
    stored = weights_of(path)
    precision.unpack(path)
    whole = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    assert whole.keys() == stored.keys()
    for name, value in whole.items():
        assert np.array_equal(value, stored[name].numpy()), name
    shutil.copyfile(COMPACT / "pair.onnx", path)
    other = {k: v.numpy() for k, v in stored.items()}
    other["network.pair.0.weight"] = other["network.pair.0.weight"] * 1.02
    with pytest.raises(ModelError, match=r"network\.pair\.0\.weight was not rounded"):
        precision.unpack(path, other)


def test_a_folder_costs_nothing_against_itself_and_something_against_int8(
    data, tmp_path, capsys
):
    given = ["--data", str(data), "--model", str(COMPACT), "--sets", "eurosat_rgb,objects_rgb",
             "--split", "val", "--limit", "4", "--out", str(tmp_path)]
    assert twin.main([*given, "--twin", str(COMPACT)]) == 0
    assert "answers equal: 100.0 %" in capsys.readouterr().out
    found = json.loads((tmp_path / "compact-compact.json").read_text())
    assert found["overall"]["mean_difference"] == 0 and found["overall"]["reached"]
    assert twin.main([*given, "--twin", "int8"]) == 0
    found = json.loads((tmp_path / "compact-int8.json").read_text())
    assert found["digests"][0] != found["digests"][1]
    assert 0 < found["overall"]["equal_percent"] <= 100


def test_a_cost_above_a_point_is_missed():
    cost = twin.Cost("a.b", "accuracy", 90.0, 92.0, 8, 10)
    overall = {"ci95": [-3.0, -1.0], "equal_percent": 80.0, "n": 10, "cells": 1,
               "mean_difference": -2.0, "reached": False}
    text = twin.show([cost], overall, "int8")
    assert "80.0%" in text and "-2.00 points (-3.00 to -1.00); limit 1 point: MISSED" in text


def test_ratios_are_of_rounds_and_say_what_is_missed():
    def turns(times):
        return [asking.Turn(2.0 * t, t, 2.0 * t, t, 10, (1, 2)) for t in times]

    took = {"ours": report.columns(turns([1.0, 2.0, 1.0])),
            "eager": report.columns(turns([1.4, 2.8, 1.4]))}
    rows = report.ratios("ours", "eager", took)
    assert [round(row.value, 6) for row in rows] == [1.4] * 6
    assert rows[-1].distance < 0 and rows[0].distance is None
    assert replace(rows[-1], value=1.5).distance == 0


def test_a_process_says_what_it_keeps():
    found = memory.measured("ours", COMPACT)
    assert 2**20 < found.bare < found.loaded <= found.peak < 2**30

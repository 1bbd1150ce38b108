"""What is recorded: levels of one picture by the real cores, facts of a question, the trace."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.decision.sending import SendingConfig
from eo_nodes.lvlm.infer import ImageInput
from eo_sim.study.collect import assemble, facts_of
from eo_sim.study.errors import StudyError
from eo_sim.study.outcomes import LEVELS, answer_bytes, levels_of
from eo_sim.study.recompute import recompute
from eo_sim.study.trace import COLUMNS, DEADLINES_MIN, check, load_trace, save_trace


def picture(dtype="uint8", side=96):
    random = np.random.default_rng(5)
    y, x = np.mgrid[:side, :side] / side
    base = np.stack([np.sin(9 * x), np.cos(7 * y), x * y], -1) * 60 + 120
    values = (base + random.normal(scale=4, size=base.shape)).astype(dtype)
    return ImageInput(values[None], ("red", "green", "blue"), "optical")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_levels_send_what_they_say(dtype):
    image = picture(dtype)
    relevance = np.zeros((6, 6))
    relevance[1, 2] = 0.9
    found = dict(zip([x.name for x in LEVELS],
                     levels_of(image, relevance, "how many ships?", SendingConfig()),
                     strict=True))  # fmt: skip
    raw_bytes = image.values.size * (1 if dtype == "uint8" else 2)
    assert raw_bytes < found["raw"][1] < raw_bytes + 1000
    for name in ("raw", "lossless"):
        near = 0 if dtype != "float32" else 0.01
        assert np.abs(found[name][0].astype(float) - image.values).max() <= near
    assert found["lossless"][1] < found["raw"][1]
    assert found["lossy"][1] < found["lossless"][1]
    error = {name: np.abs(seen.astype(float) - image.values).mean()
             for name, (seen, _, _) in found.items()}  # fmt: skip
    assert error["uniform_1_4"] > error["uniform_1_2"] > error["lossless"]
    assert found["uniform_1_4"][1] < found["uniform_1_2"][1] < found["lossless"][1]
    for level in LEVELS:
        if level.kind == "regions":
            assert found[level.name][1] <= max(level.share * raw_bytes, 1500), level.name
    assert all(seen.shape == image.values.shape and seconds >= 0
               for seen, _, seconds in found.values())  # fmt: skip


@dataclass
class Stub:
    """A question as the evaluation makes them."""

    key: str = "ships.count/7#0"
    kind: str = "ships.count.ships"
    task: str = "count"
    boxes: tuple = (("ship", (10.0, 10.0, 30.0, 18.0)), ("ship", (0.0, 0.0, 50.0, 60.0)))

    @property
    def cell(self):
        return SimpleNamespace(task=self.task, modality="sar", domain="real", max_tokens=24)

    @property
    def sample(self):
        return SimpleNamespace(set_name="ships", id="7", boxes=self.boxes)

    @property
    def scene(self):
        return "ships/port 3"


def test_facts_of_a_question():
    found = facts_of(Stub())
    assert found["size"] == "small_object"
    assert found["scene"] == "ships/port 3" and found["chip"] == "ships/7"
    assert found["deadline"] in range(len(DEADLINES_MIN)) and found["priority"] in range(4)
    assert facts_of(Stub()) == found, "drawn from the key alone"
    assert facts_of(Stub(task="classification"))["size"] == "whole_scene"
    assert facts_of(Stub(boxes=()))["size"] == "other"


def lines(count=5):
    """Journal lines as plain values, from a made-up trace of the levels that are recorded."""
    made = made_trace(chips=2)
    pad = len(LEVELS) - len(made.levels)
    rows = []
    for i in range(count):
        row = {name: made[name][i].tolist() for name in COLUMNS}
        for name, column in COLUMNS.items():
            if column.shape == ("L",) and name in row:
                row[name] += [row[name][-1]] * pad
        row |= {name: made.names[key][row[name]] for name, key in (
            ("set", "sets"), ("modality", "modalities"),
            ("scene", "scenes"), ("chip", "chips"), ("question", "questions"))}
        row |= {"split": "test", "size": "other", "key": f"k{i}", "is_chip": i == 2, "error": ""}
        rows.append(row)
    return rows


DIGESTS = {"compact": "c" * 64, "regular": "e" * 64}


def test_lines_become_a_trace_and_refusals_stay_out(tmp_path):
    rows = lines()
    rows[1]["error"] = "ModelError: too narrow"
    trace = assemble(rows, DIGESTS, {"machine": "made up"})
    check(trace)
    save_trace(trace, tmp_path / "t.npz")
    again = load_trace(tmp_path / "t.npz")
    assert again.keys == ("k0", "k2", "k3", "k4")
    assert again.meta["chip_rows"] == [1]
    assert again["raw_bytes"].tolist() == [row["raw_bytes"] for row in rows if not row["error"]]
    with pytest.raises(StudyError, match="no question could be asked"):
        assemble([{"error": "x"}], DIGESTS, {})


def test_recompute_refuses_a_trace_of_other_models():
    root = Path(__file__).parents[3] / "test" / "data" / "lvlm" / "tiny_unified"
    trace = assemble(lines(), DIGESTS, {})
    with pytest.raises(StudyError, match="was made with compact cccccccccccc"):
        recompute(trace, 1, compact=root, regular=root)


def test_an_answer_takes_what_its_file_does():
    short = answer_bytes("ships?", "2", "compact", "a" * 64)
    assert 400 < short < 700
    assert answer_bytes("ships?", "2 ships", "compact", "a" * 64) == short + 6

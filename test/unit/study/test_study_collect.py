"""What is recorded: levels of one picture by the real cores, facts of a question, the trace."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.manifest import FAMILIES, read_manifest, seal
from eo_sim.study import collect
from eo_sim.study import recompute as recomputing
from eo_sim.study.agenda import Progress, agenda, in_turns
from eo_sim.study.collect import assemble, facts_of
from eo_sim.study.errors import StudyError
from eo_sim.study.limits import graph_limits
from eo_sim.study.outcomes import LEVELS, answer_bytes, levels_of, request_for
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


def test_a_scene_of_both_splits_counts_as_tested_only():
    rows = lines()
    for row, split in zip(rows, ("val", "val", "test", "val", "test"), strict=True):
        row["split"] = split
    rows[0]["scene"], rows[1]["scene"], rows[3]["scene"] = "a", "b", rows[2]["scene"]
    trace = assemble(rows, DIGESTS, {})
    check(trace)
    assert trace.keys == ("k0", "k1", "k2", "k4")


def test_what_no_trace_may_hold_is_said_when_it_is_asked():
    row = {name: lines(1)[0][name] for name in COLUMNS if name not in (
        "set", "modality", "scene", "chip", "question", "split", "size")}  # fmt: skip
    assert collect.out_of_range(row) == ""
    assert "compact_quality" in collect.out_of_range(row | {"compact_quality": float("nan")})
    assert "level_bytes" in collect.out_of_range(row | {"level_bytes": [0] * len(LEVELS)})


def test_recompute_refuses_a_trace_of_other_models():
    root = Path(__file__).parents[3] / "test" / "data" / "lvlm" / "tiny_unified"
    trace = assemble(lines(), DIGESTS, {})
    with pytest.raises(StudyError, match="was made with compact cccccccccccc"):
        recompute(trace, 1, compact=root, regular=root)


HERE = {"runtime": "onnxruntime 1 (x)", "providers": ["CPUExecutionProvider"], "threads": 1,
        "machine": "x86_64", "cpu_features": ["avx2", "avx512f"]}  # fmt: skip


@pytest.mark.parametrize(("then", "why"), [
    (HERE, "processor, runtime and threads are those of the trace"),
    (HERE | {"cpu_features": ["avx2"]}, r"another processor \(avx2 then, avx2 avx512f here\)"),
    (HERE | {"threads": 2}, r"another number of threads \(2 then, 1 here\)"),
    (None, "does not say what it was recorded on"),
])  # fmt: skip
def test_a_difference_names_the_processor_that_may_make_it(monkeypatch, then, why):
    rows = lines(1)
    rows[0] |= {"split": "test", "is_chip": True}
    here = graph_limits()
    meta = {"limits": here.as_plain()} | ({} if then is None else {"runs_on": then})
    trace = assemble(rows, DIGESTS, meta)
    models = {name: SimpleNamespace(digest=digest) for name, digest in DIGESTS.items()}
    cores = SimpleNamespace(**models, limits=here, runs_on=HERE)
    module = SimpleNamespace(questions=lambda *_: [SimpleNamespace(key="k0")])
    again = dict(rows[0])
    monkeypatch.setattr(recomputing, "Cores", lambda *_: cores)
    monkeypatch.setattr(recomputing, "library_of", lambda *_: (module, None, "test"))
    monkeypatch.setattr(recomputing, "ask", lambda *_: again)
    assert recompute(trace, 30) == 1, "what is the same passes, wherever it was recorded"
    again["regular_flops"] = [value + 2.0 for value in again["regular_flops"]]
    with pytest.raises(StudyError, match=f"k0: regular_flops is .*{why}"):
        recompute(trace, 30)


def test_an_answer_takes_what_its_file_does():
    request = request_for(picture("uint8"), "ships?")
    short = answer_bytes(request, "2", "compact", "a" * 64)
    assert 700 < short < 1100
    assert answer_bytes(request, "2 ships", "compact", "a" * 64) == short + 6


# -- the order of asking, and going on -----------------------------------------------------------


def of(key, name):
    return SimpleNamespace(
        key=key, sample=SimpleNamespace(set_name=name), ask=SimpleNamespace(prompt=key))


def test_any_beginning_holds_both_splits_and_as_many_of_each_set():
    val = [of(f"v{i}", "ab"[i % 10 == 9]) for i in range(40)]  # nine of a for one of b
    test = [of(f"t{i}", "abc"[i % 3]) for i in range(40)]
    found = agenda([of("c0", "a"), of("t1", "b")], val, test)
    assert len({q.key for _, _, q in found}) == len(found) == 81
    for size in (2, 8, 16):
        splits = [split for split, _, _ in found[:size]]
        assert splits.count("val") == splits.count("test") == size // 2
    sets = [q.sample.set_name for split, _, q in found[:16] if split == "val"]
    assert sets.count("a") == sets.count("b") == 4
    # A question on a chip of the tree is asked once, as that, and among the first.
    assert [is_chip for _, is_chip, q in found if q.key == "t1"] == [True]
    assert {q.key for _, is_chip, q in found[:8] if is_chip} == {"c0", "t1"}


def test_turns_pass_over_what_has_run_out():
    assert in_turns([[1, 2, 3], [], ["a"]]) == [1, "a", 2, 3]


def test_progress_says_what_is_left_by_what_was_asked_now():
    progress = Progress(100, until_s=600.0, every_s=10.0)
    assert all(progress.add("val", 0.0, is_new=False) == "" for _ in range(20))
    assert progress.add("test", 2.0, is_new=True) == ""
    line = progress.add("test", 20.0, is_new=True)
    assert line.startswith("22 of 100 (test 2, val 20), 10.0 s each")
    assert "13 min, asking ends in 10 min" in line


class Asker:
    """Stands for the models: counts what is asked of it."""

    def __init__(self, *_, **__):
        self.compact = self.regular = SimpleNamespace(digest="c" * 64)
        self.limits, self.has_heads, self.target_facts = graph_limits(), False, {}
        self.runs_on = HERE


def test_a_run_goes_on_and_uses_every_line_that_is_stored(tmp_path, monkeypatch):
    stored, order = {}, []
    for row in lines(5):
        stored[row["key"]] = row | {"prompt": row["key"], "split": "test"}
    every = [("test", False, of(key, "alpha")) for key in stored]

    def ask(_, split, is_chip, question):
        order.append(question.key)
        return stored[question.key]

    monkeypatch.setattr(collect, "Cores", Asker)
    monkeypatch.setattr(collect, "digest_of_answers", lambda folder: "d" * 64)
    monkeypatch.setattr(collect, "asked", lambda *_: every)
    monkeypatch.setattr(collect, "ask", ask)
    out = tmp_path / "t.npz"
    common = ["--data", "x", "--journal", str(tmp_path / "j"), "--out", str(out)]
    for limit, known in ((3, 3), (4, 4), (1, 4), (0, 5)):
        assert collect.main([*common, "--limit", str(limit)]) == 0
        assert len(load_trace(out)) == known
    assert order == list(stored), "nothing is asked twice"
    assert load_trace(out).meta["runs_on"] == HERE
    monkeypatch.setattr(collect, "asked", lambda *_: [("test", False, of("k0", "alpha"))])
    every[0][2].ask.prompt = "now worded otherwise"
    monkeypatch.setattr(collect, "asked", lambda *_: every)
    assert collect.main([*common, "--limit", "1"]) == 0
    assert order[-1] == "k0", "another wording is another question"


def test_the_study_is_told_what_the_nodes_are_told(tmp_path):
    found = graph_limits()
    space = (Path(__file__).parents[3] / "config/params/space.yaml").read_text()
    assert f"max_tokens: {found.compact_tokens} " in space
    assert f"tap2_tokens: {found.tap2_tokens} " in space
    other = tmp_path / "space.yaml"
    other.write_text(space.replace(f"max_tokens: {found.compact_tokens}", "max_tokens: 77"))
    assert graph_limits(space=other).compact_tokens == 77
    other.write_text(space.replace("/**/compact_lvlm", "/**/other"))
    with pytest.raises(ConfigError, match="compact_lvlm"):
        graph_limits(space=other)


def test_a_journal_outlives_the_means_of_the_study_but_no_other_change(tmp_path):
    def folder(**facts):
        (tmp_path / "decision.json").write_text(json.dumps(facts))
        seal(tmp_path, "hf", "compact", [*FAMILIES["hf"], "decision.json"], {})
        return collect.digest_of_answers(tmp_path), read_manifest(tmp_path).digest

    for name in FAMILIES["hf"]:
        (tmp_path / name).write_bytes(b"weights")
    before, without = folder(version=1)
    after, with_means = folder(version=1, means={"left": 2})
    assert before == after and without != with_means
    assert folder(version=2)[0] != before
    (tmp_path / FAMILIES["hf"][0]).write_bytes(b"other weights")
    assert folder(version=1)[0] != before

"""The zero-shot run: nothing of a held-out class is taught; figures against hand cases."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training import zero_shot  # noqa: E402

pytestmark = pytest.mark.training
HELD = {"eurosat_rgb": ["Forest"], "aid_rsicd": ["Beach"]}


def test_classes_are_drawn_with_the_seed():
    first, again, other = (zero_shot.held_classes(s) for s in (0, 0, 1))
    assert first == again != other
    assert {k: len(v) for k, v in first.items()} == zero_shot.HELD


def test_no_training_picture_of_a_held_out_name_in_any_set(data):
    library = zero_shot.SeenOnly(data, zero_shot.held_names(HELD))
    for name in ("eurosat_rgb", "eurosat_ms"):
        for split in ("train", "val"):
            assert {s.facts["label"] for s in library.samples(name, split)} == {"River"}
    assert library.samples("flood_s1", "train")


def test_accuracy_and_allowance_by_hand():
    # Columns: seen, seen, held out. The last picture is of the held-out class, 0.1 behind.
    scores = np.array([[0.9, 0.1, 0.2], [0.1, 0.6, 0.5], [0.5, 0.1, 0.4]])
    true, seen = np.array([0, 1, 2]), np.array([True, True, False])
    assert zero_shot.accuracy(scores, true) == pytest.approx(200 / 3)
    # With a little more than 0.1 off the seen names, the third is right and the second wrong.
    assert zero_shot.accuracy(scores, true, 0.11, seen) == pytest.approx(200 / 3)
    assert zero_shot.accuracy(scores[:2], true[:2], 0.11, seen) == 50.0
    # Both seen pictures stay right up to a tenth.
    assert zero_shot.allowance_of(scores[:2], true[:2], seen) == pytest.approx(0.1, abs=0.006)
    # A tenth of what they had is never given up, whatever the points.
    assert zero_shot.allowance_of(scores[:2], true[:2], seen, 60) == pytest.approx(0.1, abs=0.006)


def test_a_name_said_of_everything_is_no_zero_shot():
    # All four pictures are called the third name: right on the held-out one, by no merit.
    scores, true = np.tile([0.1, 0.2, 0.9], (4, 1)), np.array([0, 1, 1, 2])
    seen = np.array([True, True, False])
    assert zero_shot.said_anyway(scores, true, ~seen[true], seen, 0.0) == 100.0
    row = zero_shot.judge("s", scores, true, ~seen[true], seen, 0.0)
    assert row["plain"]["held_out"] == 100.0 and not row["plain"]["reached"]


def test_harmonic_mean_by_hand():
    assert zero_shot.harmonic(20, 80) == 32.0 and zero_shot.harmonic(0, 80) == 0.0


def test_judgement_by_hand():
    scores = np.array([[0.9, 0.1, 0.2, 0.3], [0.2, 0.1, 0.6, 0.5], [0.1, 0.2, 0.6, 0.5]])
    true, seen = np.array([0, 2, 3]), np.array([True, True, False, False])
    row = zero_shot.judge("s", scores, true, ~seen[true], seen, 0.0)
    assert (row["chance"], row["n_held_out"], row["n_seen"]) == (25.0, 2, 1)
    assert row["plain"]["held_out"] == 50.0 and row["plain"]["seen"] == 100.0
    assert row["plain"]["harmonic_mean"] == pytest.approx(66.67, abs=0.01)
    assert (row["plain"]["times_chance"], row["plain"]["reached"]) == (2.0, False)
    assert (row["among_held_out_names"], row["chance_among_held_out_names"]) == (50.0, 50.0)


class Words:
    """Vectors without a text encoder."""

    def __call__(self, texts):
        out = np.zeros((len(texts), 384), np.float32)
        for i, text in enumerate(texts):
            out[i, sum(map(ord, text)) % 384] = 1
        return out


def test_the_run_goes_on_where_it_was(data, tmp_path, monkeypatch):
    monkeypatch.setattr(zero_shot, "Texts", lambda texts, path: Words())
    now = iter(range(10**6))
    monkeypatch.setattr(zero_shot.time, "process_time", lambda: float(next(now)))
    sets = ("eurosat_rgb", "eurosat_ms")

    def run(minutes):
        _, network, source = zero_shot.build(data, HELD, 0, "tiny", sets, tmp_path / "none")
        return zero_shot.fit(network, source, minutes, tmp_path / "z.pt", say=lambda *_, **__: 0)

    steps, spent = run(0.1)
    more, whole = run(0.2)
    assert 0 < steps < more and spent < whole
    _, network, source = zero_shot.build(data, HELD, 0, "tiny", sets, tmp_path / "none")
    samples = source.library.samples("eurosat_rgb", "val")
    found = zero_shot.scores_of(network, source, "eurosat_rgb", samples)
    assert found.shape == (2, 10) and np.isfinite(found).all() and abs(found).max() <= 1.0001

"""Where chances of kinds are brought to one scale: what counts as found at each threshold."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.decoder import shifts  # noqa: E402
from training.vision.dual import read_shifts  # noqa: E402
from training.vision.plan import KINDS  # noqa: E402

pytestmark = pytest.mark.training
SHIP = KINDS.index("ship")


def logit(chance):
    return float(np.log(chance / (1 - chance)))


class Eyes:
    """Sees two ships, one of them clearly, and one thing that is none."""

    network = SimpleNamespace(shifts=torch.ones(len(KINDS)))

    def find(self, images):
        (values, _), = images
        assert values.shape == (64, 128, 1)
        heat = torch.full((1, len(KINDS), 16, 32), -9.0)
        shape = torch.zeros(1, 4, 16, 32)
        shape[:, 2:] = float(np.log(4.0))                      # 16 px of 64 x 128
        for (row, col), chance in {(4, 4): 0.8, (10, 20): 0.22, (2, 28): 0.15}.items():
            heat[0, SHIP, row, col] = logit(chance)
        return {"heat": heat, "shape": shape}


class Shelf:
    def samples(self, name, split):
        assert split == "val"
        boxes = [[10, 10, 16, 16], [74, 34, 16, 16]]
        return [SimpleNamespace(set_name=name, bands=("VV",), facts={
            "boxes": boxes, "box_labels": ["ship", "ship"]})] * 3

    def pixels(self, sample):
        return np.zeros((64, 128, 1), np.float32)


def test_right_found_and_true_boxes_at_each_threshold():
    (kind, sums), = shifts.counted(Eyes(), Shelf(), "sar_ships", 2).items()
    assert kind == "ship"
    at = {t: sums[n].tolist() for n, t in enumerate(shifts.THRESHOLDS)}
    assert at[0.1] == [4, 6, 4] and at[0.2] == [4, 4, 4] and at[0.3] == [2, 2, 4]
    curve = dict(zip(shifts.THRESHOLDS, shifts.f1(sums), strict=True))
    assert curve[0.1] == pytest.approx(80) and curve[0.2] == 100
    assert curve[0.3] == pytest.approx(200 / 3)


def test_the_best_threshold_comes_to_lie_at_the_common_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shifts, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(shifts, "perception_of", lambda *_: Eyes())
    monkeypatch.setattr(shifts, "Library", lambda _: Shelf())
    monkeypatch.setattr(shifts, "DENSE", ("sar_ships",))
    monkeypatch.setattr("sys.argv", ["shifts", "--data", "x"])
    (tmp_path / "vision" / "regular").mkdir(parents=True)
    shifts.main()
    assert not Eyes.network.shifts.any(), "measured without any"
    (kind, shift), = read_shifts(tmp_path / "vision" / "regular").items()
    least = 1 / (1 + np.exp(shift - logit(0.3)))               # the threshold before the shift
    assert kind == "ship" and 0.15 <= least < 0.22 and "shifts" in capsys.readouterr().out

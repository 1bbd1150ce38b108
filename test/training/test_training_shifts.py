"""Where chances of kinds are brought to one scale: what is kept of whole pictures, by sensor."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from eo_nodes.lvlm.counting import count  # noqa: E402
from training.decoder import counting, shifts  # noqa: E402
from training.vision.dual import SENSORS, read_shares, read_shifts, table_of  # noqa: E402
from training.vision.plan import KINDS  # noqa: E402

pytestmark = pytest.mark.training
SHIP, TREE = KINDS.index("ship"), KINDS.index("tree")


def logit(chance):
    return float(np.log(chance / (1 - chance)))


def heat_of(peaks):
    """{(row, col, kind): chance} -> (1, K, 16, 32) logits."""
    heat = torch.full((1, len(KINDS), 16, 32), -9.0)
    for (row, col, kind), chance in peaks.items():
        heat[0, kind, row, col] = logit(chance)
    return heat


class Eyes:
    """Two ships of a radar picture, which look more like trees, and one thing that is none."""

    network = SimpleNamespace(shifts=torch.ones(len(SENSORS), len(KINDS)),
                              shares=torch.zeros(len(SENSORS)))
    false = 0.12                                               # alarm

    def find(self, images):
        (values, _), = images
        assert values.shape == (64, 128, 1)
        shape = torch.zeros(1, 4, 16, 32)
        shape[:, 2:] = float(np.log(4.0))                      # 16 px of 64 x 128
        return {"shape": shape, "heat": heat_of({
            (4, 4, SHIP): 0.6, (4, 4, TREE): 0.8, (10, 20, SHIP): 0.22, (10, 20, TREE): 0.3,
            (2, 28, SHIP): self.false})}


class Shelf:
    names = ("sar_ships",)

    def samples(self, name, split, held=None):
        boxes = [[10, 10, 16, 16], [74, 34, 16, 16]]
        return [SimpleNamespace(set_name=name, id=str(i), bands=("VV",), facts={
            "boxes": boxes, "box_labels": ["ship", "ship"]}, scene="a") for i in range(3)
                if split in ("val", "train")]

    def pixels(self, sample):
        return np.zeros((64, 128, 1), np.float32)


def test_kept_are_what_the_runtime_keeps_of_a_whole_picture():
    (sensor, pictures), = shifts.labelled(Eyes(), Shelf(), "sar_ships", 2).items()
    assert sensor == "sar" and len(pictures) == 4, "val, and what is held for routing"
    none = np.zeros(len(KINDS))
    assert pictures[0].counts(none)[SHIP].tolist() == [0, 0, 2], "both ships are taken for trees"
    no_trees = np.where(np.arange(len(KINDS)) == TREE, -4.0, 0.0)
    assert pictures[0].counts(no_trees)[SHIP].tolist() == [1, 1, 2], "one is not sure enough"
    brighter = no_trees + 0.6 * (np.arange(len(KINDS)) == SHIP)
    assert pictures[0].counts(brighter)[SHIP].tolist() == [2, 2, 2]
    assert shifts.worth(pictures, brighter)[0] == 100
    errors = [shifts.count_errors(pictures, s)["sar_ships", "ship"]
              for s in (none, no_trees, brighter)]
    assert errors == [2, 1, 0]
    too_bright = no_trees + 1.5 * (np.arange(len(KINDS)) == SHIP)
    assert shifts.worth(pictures, too_bright)[0] == pytest.approx(80), "a third one, which is none"


def test_a_kind_of_which_there_is_none_counts_by_its_false_alarms():
    shelf, eyes = Shelf(), Eyes()
    (_, pictures), = shifts.labelled(eyes, shelf, "sar_ships", 2).items()
    empty = [shifts.Labelled(p.name, p.heat, p.shape, p.boxes[:0], p.kinds[:0], p.known)
             for p in pictures]
    no_trees = np.where(np.arange(len(KINDS)) == TREE, -4.0, 0.0)
    assert shifts.worth(empty, no_trees)[0] == 0 and shifts.worth(empty, no_trees - 4)[0] == 100


class Glare(Eyes):
    """Of two networks, of which the fine one sees a third ship."""

    @property
    def false(self):
        return 0.5 if self.network.shares[0] > 0.3 else 0.12


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Run the command with some eyes; the folder with what it wrote."""
    def run(eyes, *options):
        monkeypatch.setattr(shifts, "perception_of", lambda *_: eyes)
        monkeypatch.setattr("sys.argv", ["shifts", "--data", "x", *options])
        shifts.main()
        return tmp_path / "vision" / "regular"

    monkeypatch.setattr(shifts, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(shifts, "Library", lambda _: Shelf())
    monkeypatch.setattr(shifts, "training_samples", lambda library, name: library.samples(
        name, "train"))
    monkeypatch.setattr(shifts, "DENSE", ("sar_ships",))
    (tmp_path / "vision" / "regular").mkdir(parents=True)
    return run


def test_chosen_are_shifts_of_all_kinds_together(measured, capsys):
    folder = measured(Eyes())
    assert not Eyes.network.shifts.any(), "measured without any"
    found = read_shifts(folder)
    assert set(found) == {"sar"} and 0.4 < found["sar"]["ship"] < 1.2
    assert all(v == shifts.UNTAUGHT for k, v in found["sar"].items() if k != "ship")
    assert "with shifts 100.0" in capsys.readouterr().out
    table = table_of(found, KINDS)
    assert table.shape == (len(SENSORS), len(KINDS)) and not table[SENSORS.index("optical")].any()
    assert table[SENSORS.index("sar"), TREE] == shifts.UNTAUGHT
    assert read_shares(folder).tolist() == [0.5] * len(SENSORS), "no other share is better"


def test_a_network_that_is_worse_on_a_sensor_has_less_to_say_there(measured):
    folder = measured(Glare())
    shares = dict(zip(SENSORS, read_shares(folder).tolist(), strict=True))
    assert shares == {"optical": 0.5, "multispectral": 0.5, "sar": 0.25, "thermal": 0.5}
    (folder / shifts.SHIFTS).write_text('{"thermal": {"ship": -1.5}}')
    measured(Glare(), "--sets", "sar_ships")
    assert read_shifts(folder)["thermal"] == {"ship": -1.5}, "of a sensor that was not asked for"


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Run `decoder.counting` with some eyes; the rules that it wrote."""
    def run(eyes, *options):
        monkeypatch.setattr(counting, "perception_of", lambda *_, **__: eyes)
        monkeypatch.setattr("sys.argv", ["counting", "--data", "x", "--most", "3", *options])
        counting.main()
        return counting.read_counting(options[1])

    monkeypatch.setattr(counting, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(counting, "Library", lambda _: Shelf())
    monkeypatch.setattr(counting, "DENSE", ("sar_ships",))
    monkeypatch.setattr(counting, "LEAST", 4)
    folder = tmp_path / "vision" / "compact"
    folder.mkdir(parents=True)
    (tmp_path / "vision" / "regular").mkdir()
    (folder / shifts.SHIFTS).write_text('{"sar": {"tree": -4.0}}')
    return run


def test_what_was_not_measured_keeps_its_shifts(counted):
    found = counting.read_counting("compact")
    assert found["sar"] == replace(counting.plain(len(KINDS)), shifts=found["sar"].shifts)
    assert found["sar"].shifts[TREE] == -4.0 and counting.read_counting("regular") == {}


def test_what_counts_is_learnt_from_true_numbers(counted, capsys):
    found = counted(Eyes(), "--model", "compact")
    assert found["sar"].shifts[TREE] == -4.0, "what kinds compete with stays"
    (_, pictures), = shifts.labelled(Eyes(), Shelf(), "sar_ships", 2).items()
    assert pictures[0].counts(np.array(found["sar"].shifts))[SHIP].tolist() == [1, 1, 2]
    seen, *_ = counting.seen_of(Eyes(), Shelf(), "sar_ships", 1)
    assert seen.true[SHIP] == 2 and seen.known.tolist() == [k == SHIP for k in range(len(KINDS))]
    now = count(seen.found, found["sar"])
    assert now.numbers[SHIP].argmax() == 2 and now.presence[SHIP] > 0.9
    assert now.numbers[SHIP][3] < now.numbers[SHIP][2], "the false one is fainter"
    plain_ = counting.plain(len(KINDS))
    assert found["sar"].offsets[TREE] == plain_.offsets[TREE], "of no tree nothing is learnt"
    assert "slope, offset, spread" in capsys.readouterr().out


def test_halves_are_exchanged_and_sensors_that_were_not_asked_for_stay(counted):
    first = counted(Eyes(), "--model", "compact")
    seen = counting.seen_of(Eyes(), Shelf(), "sar_ships", 3)
    halves = [replace(p, is_even=i % 2 == 0) for i, p in enumerate(seen)]
    rule = replace(counting.plain(len(KINDS)), shifts=first["sar"].shifts)
    rows = counting.exchanged(halves, SHIP, rule)
    assert rows["threshold"][0] == 0 and rows["threshold"][3] == 1, "one of the two is found"
    assert rows["counting"][0] == 100 and rows["counting"][3] == 0
    assert rows["counting"][2] < rows["threshold"][2]
    assert counting.exchanged(halves[::2], SHIP, rule) == {}, "one half only"
    path = counting.CHECKPOINTS / "vision" / "compact" / counting.FILE
    known = json.loads(path.read_text())
    path.write_text(json.dumps({"thermal": known["sar"]}))
    assert {"thermal", "sar"} <= set(counted(Eyes(), "--model", "compact"))


def test_of_two_networks_the_graph_has_the_shifts_already(counted):
    counted(Eyes(), "--model", "regular")
    found = counting.read_counting("regular")
    assert not any(found["sar"].shifts)

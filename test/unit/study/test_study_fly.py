"""What the study found is written into the mission's parameters, and nothing else."""

import json

import pytest

from eo_nodes.graph.paths import project_file
from eo_sim.study import fly
from eo_sim.study.errors import StudyError

TEXT = """# head
/**/other:
  ros__parameters:
    hurdle: [1.0]  # not ours

/**/confidence:
  ros__parameters:
    target: "gain"  # head: a name
    hurdle: [0.18, 0.1, 0.03]  # three
    mb_price: 32.0
# tail
"""


def test_values_change_and_comments_stay():
    text, changes = fly.flown(TEXT, {"target": "alike", "hurdle": [0.2, 0.1, 0.0],
                                     "mb_price": 8.0})
    assert text == TEXT.replace('"gain"', '"alike"').replace("[0.18, 0.1, 0.03]", "[0.2, 0.1, 0.0]"
                                                            ).replace("32.0", "8.0")
    assert len(changes) == 3 and changes[0] == 'target: "gain" -> "alike"'
    assert fly.flown(text, {"mb_price": 8.0}) == (text, [])


@pytest.mark.parametrize("routing", [{"colour": 1}, {"hurdle": [1.0], "head": 2}])
def test_a_parameter_that_is_missing_is_named(routing):
    with pytest.raises(StudyError, match=r"lacks (colour|head)"):
        fly.flown(TEXT, routing)


def test_the_command_writes_what_the_table_says(tmp_path, capsys):
    table, params = tmp_path / "table.json", tmp_path / "space.yaml"
    table.write_text(json.dumps({"routing": {"mb_price": 4.0}}))
    params.write_text(TEXT)
    options = ["--table", str(table), "--params", str(params)]
    assert fly.main([*options, "--dry-run"]) == 0 and params.read_text() == TEXT
    assert fly.main(options) == 0 and "mb_price: 4.0\n" in params.read_text()
    assert "mb_price: 32.0 -> 4.0" in capsys.readouterr().out
    table.write_text("{}")
    assert fly.main(options) == 1 and "routing" in capsys.readouterr().err


def test_the_mission_flies_the_kept_table():
    routing = json.loads(project_file(fly.TABLE).read_text())["routing"]
    assert fly.flown(project_file(fly.PARAMS).read_text(), routing)[1] == []

"""Who may import whom, held by a walk over the import graph of the source tree."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

# What each room may import besides the standard library and itself: rooms, then libraries.
# An empty set of rooms means: nothing of ours.
CORE = {"contracts"}
TABLE = {
    "contracts": (set(), {"numpy"}),
    "imaging": (CORE, {"numpy", "cv2", "rasterio", "imagecodecs", "netCDF4", "yaml"}),
    "lvlm": (CORE, {"numpy", "cv2", "onnxruntime", "tokenizers"}),
    "decision": (CORE, {"numpy"}),
    "orbit": (CORE, {"numpy", "skyfield", "skyfield_data", "sgp4", "yaml"}),
    "tasking": (CORE, {"numpy", "rasterio"}),
    "downlink": (CORE, {"numpy"}),
    "link": (CORE, {"numpy", "spacepackets"}),
    "health": (CORE, {"numpy"}),
    "ground": (CORE, {"numpy"}),
    "graph": (CORE, {"yaml", "circus", "tornado", "launch", "launch_ros"}),
    "store": (CORE, {"numpy", "apsw"}),
    "console": (
        {"contracts", "store", "ground"},
        {"cyclonedds", "mcap", "mcap_ros2", "rich"},
    ),
    "nodes": (
        {
            "contracts", "store", "graph", "imaging", "lvlm", "decision", "orbit", "tasking",
            "downlink", "link", "health", "ground",
        },
        {
            "numpy", "cv2", "rclpy", "rosidl_parser", "spaceverse", "rcl_interfaces",
            "lifecycle_msgs", "diagnostic_msgs", "sensor_msgs", "std_srvs", "rosgraph_msgs",
        },
    ),
    "cli": (
        {
            "contracts", "store", "graph", "imaging", "lvlm", "decision", "orbit", "tasking",
            "downlink", "link", "health", "ground", "console", "nodes", "eo_sim", "training",
            "eo_nodes",
        },
        {"typer", "rich", "yaml", "numpy"},
    ),
    # The package itself holds the version and the Python interface, which puts rooms together.
    "eo_nodes": ({"contracts", "graph", "imaging", "lvlm"}, {"numpy"}),
}  # fmt: skip
# The report of a run reads its bag, and the player replays one.
# What kept regions hold is measured on the cores that fly, not on a copy of them.
MEASURES_CORES = {f"training.evaluation.{name}" for name in ("policies", "rates", "regions")}
SIM_MAY_READ_BAGS = {"demo", "collect", "scenario_player_node"}


class Import(NamedTuple):
    """One import: importing module, imported dotted name, and whether it runs at import time."""

    module: str
    name: str
    is_eager: bool
    line: int

    @property
    def library(self):
        return self.name.split(".")[0]

    @property
    def room(self):
        """Room of ours that is imported, or an empty string."""
        top, *rest = self.name.split(".")
        if top in ("eo_sim", "training"):
            return top
        if top != "eo_nodes":
            return ""
        return rest[0] if rest and rest[0] in TABLE else "eo_nodes"


def imports_of(path, root):
    """Imports of one file; `root` is the folder that its dotted name starts below."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    package = parts if parts[-1] == "__init__" else parts[:-1]
    package = [part for part in package if part != "__init__"]
    module = ".".join(part for part in parts if part != "__init__")
    found = []

    def walk(node, is_eager):
        for child in ast.iter_child_nodes(node):
            eager = is_eager and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                eager = False
            if isinstance(child, ast.Import):
                found.extend(Import(module, a.name, eager, child.lineno) for a in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                stem = ".".join([*base, *([child.module] if child.module else [])])
                found.extend(
                    Import(module, f"{stem}.{a.name}", eager, child.lineno) for a in child.names
                )
            walk(child, eager)

    walk(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def tree(folder, root):
    return [item for path in sorted(folder.rglob("*.py")) for item in imports_of(path, root)]


FLIGHT = tree(ROOT / "eo_nodes", ROOT)
SIM = tree(ROOT / "sim" / "eo_sim", ROOT / "sim")
TRAINING = tree(ROOT / "training", ROOT)


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in TABLE else "eo_nodes"


def said(items):
    return "\n".join(f"{item.module}:{item.line} imports {item.name}" for item in items)


def test_every_folder_is_a_room_of_the_table():
    folders = {p.name for p in (ROOT / "eo_nodes").iterdir() if (p / "__init__.py").exists()}
    assert folders - TABLE.keys() == set()
    assert len(FLIGHT) > 500, "the walk found too little to say anything"


@pytest.mark.parametrize("room", sorted(TABLE))
def test_room_imports_what_the_table_allows(room):
    rooms, libraries = TABLE[room]
    wrong = [
        item
        for item in FLIGHT
        if room_of(item.module) == room
        and item.library not in sys.stdlib_module_names
        and item.room != room
        and item.name != "eo_nodes.__version__"
        and (item.room not in rooms if item.room else item.library not in libraries)
    ]
    assert not wrong, said(wrong)


def test_torch_is_imported_in_training_only():
    wrong = [item for item in (*FLIGHT, *SIM) if item.library in ("torch", "torchvision")]
    assert not wrong, said(wrong)


def test_rclpy_is_imported_in_nodes_only():
    wrong = [
        item
        for item in (*FLIGHT, *SIM, *TRAINING)
        if item.library in ("rclpy", "spaceverse")
        and not item.module.startswith(("eo_nodes.nodes.", "eo_sim.nodes."))
    ]
    assert not wrong, said(wrong)


def test_flight_code_never_imports_simulation_or_training():
    wrong = [
        item
        for item in FLIGHT
        if item.room in ("eo_sim", "training") and room_of(item.module) != "cli"
    ]
    assert not wrong, said(wrong)


def test_nobody_imports_the_command():
    wrong = [
        item
        for item in (*FLIGHT, *SIM, *TRAINING)
        if item.room == "cli" and room_of(item.module) != "cli"
    ]
    assert not wrong, said(wrong)


def test_command_imports_heavy_libraries_lazily():
    """``spaceverse --help`` answers at once: nothing heavy is loaded before a command runs."""
    heavy = ("torch", "onnxruntime", "rclpy", "cyclonedds", "rasterio", "cv2", "skyfield", "numpy")
    code = f"import sys, eo_nodes.cli.main; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_simulation_meets_the_console_only_at_its_bags():
    wrong = [
        item
        for item in SIM
        if item.room == "console" and item.module.rpartition(".")[2] not in SIM_MAY_READ_BAGS
    ]
    assert not wrong, said(wrong)


def test_training_imports_only_definitions_of_the_models():
    definitions = {"", "lvlm", "contracts", "training"}
    wrong = [
        item
        for item in TRAINING
        if item.room not in definitions
        and not (item.module in MEASURES_CORES and item.room in ("decision", "imaging"))
    ]
    assert not wrong, said(wrong)


def test_walk_sees_relative_lazy_and_guarded_imports(tmp_path):
    """The walk itself: a wrong import must not hide behind its spelling."""
    file = tmp_path / "eo_nodes" / "link" / "made.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "from ..nodes import base\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import rclpy\n"
        "def f():\n    from eo_nodes.tasking.ledger import SpaceLedger\n"
    )
    found = {(item.name, item.room, item.is_eager) for item in imports_of(file, tmp_path)}
    assert found == {
        ("eo_nodes.nodes.base", "nodes", True),
        ("typing.TYPE_CHECKING", "", True),
        ("rclpy", "", False),
        ("eo_nodes.tasking.ledger.SpaceLedger", "tasking", False),
    }

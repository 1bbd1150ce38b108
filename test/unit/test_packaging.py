"""What `pip install .` takes along of the packages."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"eo_nodes": ROOT / "eo_nodes", "training": ROOT / "training",
            "eo_sim": ROOT / "sim" / "eo_sim"}  # fmt: skip
# Results of commands and caches, none of which a package holds.
FOREIGN = {".md", ".pyc", ".pt", ".npz", ".tmp"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("lib")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return folder


def test_every_file_that_a_module_reads_beside_itself_comes_along(built):
    missing = [f"{name}/{path.relative_to(folder)}"
               for name, folder in PACKAGES.items() for path in folder.rglob("*")
               if path.is_file() and path.suffix not in FOREIGN
               and "checkpoints" not in path.relative_to(folder).parts
               and not (built / name / path.relative_to(folder)).is_file()]
    assert not missing
    assert (built / "training" / "instruct" / "splits.json.gz").is_file()


def test_an_installation_reads_its_own_files(built, tmp_path):
    lines = ("from training.instruct.fetch_layout import splits_of",
             "from training.evaluation.summary import read_reasons",
             "import eo_nodes, eo_nodes.lvlm.text_space as t",
             f"assert t.__file__.startswith({str(built)!r}), t.__file__",
             "assert t.VOCABULARY.is_file() and splits_of('eurosat_rgb')",
             "assert isinstance(read_reasons(), dict)")
    # Nothing of ROS is there, whatever is installed beside.
    blocked = "import sys; sys.modules.update(rclpy=None, spaceverse=None, torch=None); "
    subprocess.run([sys.executable, "-c", blocked + "; ".join(lines)], cwd=tmp_path, check=True,
                   env={"PYTHONPATH": str(built), "PATH": ""}, timeout=120)

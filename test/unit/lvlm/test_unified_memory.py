"""What a memory limit counts on is an upper bound of what the released models take."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[3] / "models"
# Threads that share pools of memory keep by chance what others freed: measured with one pool; the
# estimate has room for more.
ONE_POOL = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
# In a process of its own: what other tests left free would hide what this takes.
MEASURE = """
import ctypes, json, sys, threading, time
from pathlib import Path
import numpy as np
from eo_nodes import load_model
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.unified import load_bytes
from eo_nodes.lvlm.unified_pictures import pictures_of_images

def mb(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(field)) / 1024

def reset():
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return mb("VmRSS:")

class Peak(threading.Thread):
    # Of what is allocated: weights are mapped, and the system takes and gives their pages at will.
    def __init__(self):
        super().__init__(daemon=True)
        self.is_over, self.before = False, mb("RssAnon:")
        self.most = self.before

    def run(self):
        while not self.is_over:
            self.most = max(self.most, mb("RssAnon:"))
            time.sleep(0.001)

    def stop(self):
        self.is_over = True
        self.join()
        return max(self.most, mb("RssAnon:")) - self.before

folder, said = Path(sys.argv[1]), {}
before = reset()
model = load_model(folder, memory_mb=4000)
said["load"] = (mb("VmHWM:") - before, load_bytes(folder) / 2**20)
noise = np.random.default_rng(0).integers(0, 256, (1, model.input_size, model.input_size, 3))
image = ImageInput(noise.astype(np.uint8), ("red", "green", "blue"), "optical")
for count in (0, 1, 8):
    pictures = pictures_of_images([image] * max(count, 1))
    session = None
    reset()
    peak = Peak()
    peak.start()
    session = model.begin(pictures, "how many ships are there?", (), 40, None)
    session.decode(40)
    taken = peak.stop()
    scene = model.lay_out(pictures, (), 8, 40, None)
    if count:       # what the first question builds once is not the request's
        said[str(count)] = (taken, model._request_bytes(scene, 8, 40) / 2**20)
print(json.dumps(said))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are Linux's")
@pytest.mark.parametrize("name", ["compact", "regular"])
def test_loading_and_requests_take_no_more_than_is_counted(name, capsys):
    done = subprocess.run([sys.executable, "-c", MEASURE, str(MODELS / name)], text=True,
                          capture_output=True, timeout=300, check=True, env=ONE_POOL)
    found = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{name}:", *(f"{what} {taken:.0f} MB of {counted:.0f} counted;"
                              for what, (taken, counted) in found.items()))
    assert set(found) == {"load", "1", "8"}
    for taken, counted in found.values():
        assert 0 < taken <= counted

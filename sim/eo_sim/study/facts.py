"""What the val split says of sizes and answers: the means that routing expects, and their writer.

    python -m eo_sim.study.facts [--trace FILE] [--compact FOLDER]

The replay takes the means straight from the trace; the command writes the same into
``decision.json`` of the compact folder, seals it anew, and names the new digest in the trace: what
both models said does not hang on these means.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import EoError
from eo_nodes.decision.casework import Machine, Means, means_as_plain
from eo_nodes.decision.heads import FACTS, RIGHT_FROM, read_heads
from eo_nodes.decision.levels import ANY, LevelFacts
from eo_nodes.graph.paths import project_file
from eo_nodes.lvlm.manifest import read_manifest, seal

from .config import StudyConfig
from .errors import StudyError
from .trace import Trace, load_trace, save_trace

Float = NDArray[np.float64]
# Rows of a modality that weigh as much as all others together.
_SHRUNK_BY = 200.0
_FLOP_PER_GMAC = 2e9


def means_of(trace: Trace) -> Means:
    """Means over the val rows of a trace.

    Raises:
        StudyError: there is none, or no lossless level.
    """
    val = trace.rows("val")
    reference = next((i for i, x in enumerate(trace.levels) if x.kind == "lossless"), None)
    if not len(val) or reference is None:
        raise StudyError("the trace has no val rows or no lossless level: nothing to expect from")
    flops = trace["compact_flops"][val]
    goes_on = trace.outlasts_tap2()[val]
    names = trace.flown_modality()[val]
    levels = {ANY: _levels(trace, val, reference, np.ones(len(val), bool))}
    levels |= {str(name): _levels(trace, val, reference, names == name)
               for name in np.unique(names)}
    after2 = (flops[:, 2] - flops[:, 1])[goes_on]
    return Means(
        levels=levels,
        left_gmac=(float((flops[:, 2] - flops[:, 0]).mean()) / _FLOP_PER_GMAC,
                   float(after2.mean()) / _FLOP_PER_GMAC if len(after2) else 0.0),
        ground_gmac=float(trace["regular_flops"][val, reference].mean()) / _FLOP_PER_GMAC,
        answer_bytes=float(trace["answer_bytes"][val].mean()),
    )  # fmt: skip


def _levels(
    trace: Trace, val: NDArray[np.int64], reference: int, mine: NDArray[np.bool_]
) -> tuple[LevelFacts, ...]:
    """Facts of one modality; the share of the gain is shrunk to that of all."""
    here = (trace["compact_quality"][val] >= RIGHT_FROM).astype(np.float64)
    gain = (trace["regular_quality"][val] >= RIGHT_FROM).astype(np.float64) - here[:, None]
    weight = float(mine.sum() / (mine.sum() + _SHRUNK_BY))
    keeps = weight * _kept(gain[mine], reference) + (1 - weight) * _kept(gain, reference)
    rows = val[mine]
    raw = float(trace["raw_bytes"][rows].sum())
    sizes = trace["level_bytes"][rows].sum(axis=0) / raw
    seconds = trace["code_s"][rows].astype(np.float64).sum(axis=0) / (raw * 1e-6)
    return tuple(
        LevelFacts(level, float(k), float(b), float(s))
        for level, k, b, s in zip(trace.levels, np.clip(keeps, 0, 1), sizes, seconds, strict=True)
    )


def _kept(gains: Float, reference: int) -> Float:
    mean = gains.mean(axis=0)
    return np.asarray(mean / mean[reference] if mean[reference] > 1e-6 else np.ones(len(mean)))


def machine_of(config: StudyConfig, thinning: float = 1.0) -> Machine:
    """The study's computers; a thinned replay computes and codes as many times slower."""
    compute = config.compute
    onboard_s = _FLOP_PER_GMAC / compute.onboard_flops_per_s
    return Machine(
        gmac_s=onboard_s * thinning, gmac_j=onboard_s * compute.onboard_active_w,
        ground_gmac_s=_FLOP_PER_GMAC / compute.ground_flops_per_s * thinning,
        ground_s=compute.ground_overhead_s * thinning,
        coding_scale=compute.coding_scale * thinning,
        coding_w=compute.onboard_active_w / thinning,
        mb_j=compute.transmitter_w * 8 / config.workload.reference_mbps,
    )  # fmt: skip


def put(trace: Trace, folder: Path) -> Trace:
    """Write the means into a folder and seal it; the trace with the folder's new digest.

    Raises:
        StudyError: the trace is of another folder. ModelError: the folder has no heads.
    """
    old = read_manifest(folder)
    if old.digest != trace.digests["compact"]:
        raise StudyError(f"the trace is of {trace.digests['compact'][:12]}, {folder} is "
                         f"{old.digest[:12]}")
    read_heads(folder)
    path = folder / FACTS
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["means"] = means_as_plain(means_of(trace))
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    seal(folder, old.family, old.id, list(old.files), old.golden, old.bands)
    read_heads(folder)
    return replace(
        trace, digests={**trace.digests, "compact": read_manifest(folder).digest})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(
        prog="python -m eo_sim.study.facts", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--trace", type=Path, default=Path("sim/assets/study/trace.npz"))
    p.add_argument("--compact", type=Path, default=None)
    a = p.parse_args(argv)
    try:
        folder = a.compact or project_file("models/compact")
        trace = put(load_trace(a.trace), folder)
        save_trace(trace, a.trace)
    except EoError as error:
        print(f"facts: {error}", file=sys.stderr)
        return 1
    print(f"means of {len(trace.rows('val'))} val requests in {folder / FACTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

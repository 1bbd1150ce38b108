"""Where a replayed policy stands: intervals of its row, its distance from ours, its share of gains.

From sums over scenes alone (``metrics.Tally.sums``), all under one set of draws. Rows of one rate
and one load are of the same requests, so a difference of two is paired.

Share of the gain: what ours gains over answering all on board, of what asking the ground for
everything gains. Two things may be meant by the latter, and both are given: the better of the two
policies that do so, replayed on the same link; and the regular model's answer to every request on
lossless pixels, as if the link had no limit. Position: ours between random routing at the same rate
and the oracle, 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import interval, ratio

Float = NDArray[np.float64]
Sums = Mapping[str, Float]
Known = Mapping[str, Sums]
GAIN_SHARE = 0.9  # with at most the cap of requests offloaded
CAPPED = "ours, capped on val"  # the setting of ours that on val offloads at most the cap
_MEANS = {"latency_s": "latency_mean_s", "bytes": "down_bytes_each", "missed": "deadline_misses",
          "offloaded": "offloaded"}  # fmt: skip
_NOT_MEASURES = ("there", *_MEANS)


def intervals(sums: Sums, draws: Float) -> dict[str, Any]:
    """95 % intervals of a row's means, under the names that ``metrics.summary`` gives them."""
    accuracy: dict[str, dict[str, list[float]]] = {}
    found: dict[str, Any] = {"accuracy": accuracy}
    names = [name for name in sums if name not in ("n", "there") and not name.startswith("n ")]
    below = np.stack([sums[_count_of(name)] for name in names], axis=1)
    drawn = ratio(np.stack([sums[name] for name in names], axis=1), below, draws)
    for at, name in enumerate(names):
        measure, _, group = name.partition(" ")
        ends = interval(drawn[:, at])
        if measure in _MEANS:
            found[_MEANS[measure]] = ends
        else:
            accuracy.setdefault(group or "all", {})[measure] = ends
    return found


def _count_of(name: str) -> str:
    return f"n {name.partition(' ')[2]}".strip()


def without_groups(sums: Sums) -> Sums:
    """Sums of all requests alone."""
    return {name: values for name, values in sums.items() if " " not in name}


def against(sums: Sums, ours: Sums, draws: Float) -> dict[str, Any]:
    """Ours minus another policy, paired: points of accuracy, bytes and latency of ours in %."""
    found: dict[str, Any] = {}
    for name in sums:
        if name not in (*_NOT_MEASURES, "n") and " " not in name:
            found[name] = _points(ours, sums, name, draws)
    for name in ("latency_s", "bytes"):
        mine, other = (ratio(x[name], x["n"], _with_all(draws)) for x in (ours, sums))
        with np.errstate(invalid="ignore", divide="ignore"):
            found[f"{_MEANS[name]}_percent"] = _value(100 * (mine / other - 1))
    return found


def _points(ours: Sums, other: Sums, name: str, draws: Float) -> dict[str, Any]:
    mine, theirs = (ratio(x[name], x["n"], _with_all(draws)) for x in (ours, other))
    return _value(100 * (mine - theirs))


def _with_all(draws: Float) -> Float:
    """Every scene once, then the draws."""
    return np.concatenate([np.ones((1, draws.shape[1])), draws])


def _value(drawn: Float) -> dict[str, Any]:
    return {"value": float(drawn[0]), "ci95": interval(drawn[1:])}


def standing(known: Known, draws: Float, cap: float, name: str = "ours") -> dict[str, Any] | None:
    """Share of the gain and position of ours at one rate and load; None where a row is missing.

    Args:
        known: sums of the tuned rows by policy. cap: share of requests that may be offloaded.
        name: ``ours`` as tuned, or `CAPPED`; random routing is at the rate of ours as tuned.
    """
    everything = [x for x in ("ground_only_raw", "ground_only_compressed") if x in known]
    if not {name, "satellite_only", "random_offload", "oracle"} <= set(known) or not everything:
        return None
    every = _with_all(draws)
    final = {key: ratio(sums["final"], sums["n"], every) for key, sums in known.items()}
    best = max(everything, key=lambda key: float(final[key][0]))
    ours, here = final[name], final["satellite_only"]
    there = ratio(known[name]["there"], known[name]["n"], every)
    sent = ratio(known[name]["offloaded"], known[name]["n"], every)
    share = {
        best: _share(ours - here, final[best] - here),
        "unlimited link": _share(ours - here, there - here),
    }
    for one in share.values():
        is_enough = one["value"] is not None and one["value"] >= GAIN_SHARE
        one["is_reached"] = is_enough and float(sent[0]) <= cap
    found = {
        "policy": name, "share_of_gain": share, "offloaded": _value(sent),
        "limits": {"share": GAIN_SHARE, "offloaded": cap},
        "accuracy": {"satellite_only": float(here[0]), "ours": float(ours[0]),
                     best: float(final[best][0]), "unlimited link": float(there[0])},
    }  # fmt: skip
    if name == "ours":
        found["position"] = _share(ours - final["random_offload"],
                                   final["oracle"] - final["random_offload"])
    return found


def _share(part: Float, whole: Float) -> dict[str, Any]:
    """Part of a whole; not formed where there is no whole."""
    if not whole[0] > 0:
        return {"value": None, "ci95": None, "why": f"the whole is {100 * whole[0]:+.1f} points"}
    drawn = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return _value(drawn)


def standings(
    tuned: Mapping[tuple[float, str], Known], draws: Float, cap: float
) -> list[dict[str, Any]]:
    """`standing` at every rate and load, of ours as tuned and capped."""
    return [
        {"rate_mbps": rate, "load": load, **one}
        for (rate, load), known in tuned.items() for name in ("ours", CAPPED)
        if (one := standing(known, draws, cap, name)) is not None
    ]

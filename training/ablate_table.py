"""With against without: paired differences over seeds, as markdown and JSON."""

import math
import textwrap
from statistics import mean, stdev

NO_EFFECT = "no effect seen at this scale"
NOT_RUN = "not run yet"
ONE_SEED = "one seed, no interval"
# Two-sided 95 % points of Student's t for 1 to 10 degrees of freedom.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_LOWER_IS_BETTER = ("mae", "loss", "malformed")


HEAD = """# Does a mechanism help?

Written by `python -m training.ablate --table`; [training/README.md](../training/README.md) says
what is run on either side of a row, and with which command. Letters name where a mechanism comes
from: E Earth-OneVision, X EarthGPT-X, G GeoLangBind. All scores are on val, and of the small
configuration below: not of the released models. With three seeds only large effects are told from
noise, and of many rows about one in twenty excludes zero by chance.
"""


def t95(freedom):
    """Two-sided 95 % point; beyond the table the first terms of its expansion at infinity."""
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    z = 1.96
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def interval(values):
    """(mean, low, high) of the mean, 95 %; low and high are None for a single value."""
    centre = mean(values)
    if len(values) < 2:
        return centre, None, None
    half = t95(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return centre, centre - half, centre + half


def lower_is_better(key):
    return key.endswith(_LOWER_IS_BETTER)


def verdict(key, difference):
    """In words; difference (mean, low, high) of with minus without."""
    _, low, high = difference
    if low is None:
        return ONE_SEED
    if low <= 0 <= high:
        return NO_EFFECT
    return "better" if (low > 0) != lower_is_better(key) else "worse"


def with_mean(scores):
    """Scores with the mean of the percentages beside them, if there are several."""
    shares = [v for k, v in scores.items() if not lower_is_better(k)]
    return scores | ({"mean of percentages": mean(shares)} if len(shares) > 1 else {})


def rows_of(mechanism, first, second):
    """Rows of one mechanism.

    first, second: {seed: scores} with and without it; only seeds that both have are compared, and
    in each of them only scores that both report.
    Returns: [{mechanism, score, seeds, with, without, difference, verdict}], triples
    (mean, low, high); one row that says "not run yet" where no seed has both.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return [{"mechanism": mechanism, "score": "", "seeds": 0, "with": None, "without": None,
                 "difference": None, "verdict": NOT_RUN}]
    keys = set.intersection(*(set(d[s]) for d in (first, second) for s in seeds))
    # Reduced first, so that the mean is over the same scores on both sides.
    a, b = ({s: with_mean({k: d[s][k] for k in keys}) for s in seeds} for d in (first, second))
    rows = []
    for key in sorted(a[seeds[0]]):
        difference = interval([a[s][key] - b[s][key] for s in seeds])
        rows.append({"mechanism": mechanism, "score": key, "seeds": len(seeds),
                     "with": interval([a[s][key] for s in seeds]),
                     "without": interval([b[s][key] for s in seeds]),
                     "difference": difference, "verdict": verdict(key, difference)})
    return rows


def _written(triple, sign=False):
    if triple is None:
        return "-"
    centre, low, high = triple
    form = "+.2f" if sign else ".2f"
    text = format(centre, form)
    return text if low is None else f"{text} [{low:{form}}, {high:{form}}]"


def markdown(rows, note):
    """The rows as a table under a line that says what was run."""
    lines = [note, "", "| mechanism | val score | seeds | with | without | difference | verdict |",
             "| --- | --- | ---: | ---: | ---: | ---: | --- |"]
    lines += [f"| {r['mechanism']} | {r['score'] or '-'} | {r['seeds']} | {_written(r['with'])} | "
              f"{_written(r['without'])} | {_written(r['difference'], True)} | {r['verdict']} |"
              for r in rows]
    return "\n".join(lines) + "\n"


def page(rows, note):
    """The whole page, with what its table shows in short."""
    return "\n".join([HEAD, markdown(rows, textwrap.fill(note, 98))])

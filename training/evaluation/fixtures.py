"""Ten real test chips a set, and what the models answer on them, for the unit tests.

    python -m training.evaluation.fixtures [--model compact --model regular] [--check]
    python -m training.evaluation.fixtures --data DIR      # copies the chips anew as well

Chips are copied as they are stored, in the layout of the data folder, with the licence of each set
in a table. Expected answers belong to the digest of the weights: run it with every change of them.
It says which answers changed; with --check it writes nothing, and fails if any did.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eo_nodes.lvlm.infer import ImageInput
from training.evaluation import cells
from training.evaluation.asks import Ask
from training.evaluation.cells import Cell
from training.evaluation.sets import Sample, draw, open_library, samples
from training.evaluation.subject import Subject
from training.instruct import phrases
from training.instruct.sources import Library

PROJECT = Path(__file__).resolve().parents[2]
CHIPS = PROJECT / "test" / "data" / "chips"
MOST_BYTES = 2_000_000
ROWS = 10
# The regular model takes several times the compact one's time: its longer answers are cut.
MOST_TOKENS = {"regular": 40}
LEAST_MOVE = 0.05
MEMBERS = ("image", "image2", "mask")
# Sets whose pictures are large, or hold many questions each.
FEWER = {"rsvqa_lr": 1, "rsvqa_hr": 1, "indian_pines": 1, "ucm_multilabel": 5}
# Set -> (source, licence), from the cards of the data folder.
LICENCES = {
    "eurosat_rgb": ("EuroSAT (Helber et al. 2019), Copernicus Sentinel-2", "MIT"),
    "eurosat_ms": ("EuroSAT MS, Copernicus Sentinel-2", "MIT"),
    "aid_rsicd": ("AID pictures, RSICD captions", "not stated, academic use, research sample"),
    "mstar": ("MSTAR public targets, AFRL and DARPA", "US public release, terms not verified"),
    "opensarship": ("OpenSARShip, Copernicus Sentinel-1", "not stated, research sample"),
    "hit_uav": ("HIT-UAV (Suo et al. 2023)", "CC BY 4.0"),
    "rsvqa_lr": ("RSVQA page sample (Lobry et al. 2020), Copernicus Sentinel-2",
                 "not stated, said to be CC BY 4.0, research sample"),
    "rsvqa_hr": ("RSVQA page sample (Lobry et al. 2020), USGS orthoimagery",
                 "not stated, said to be CC BY 4.0, research sample"),
    "flood_s1": ("Sen1Floods11 sample (Bonafilia et al. 2020), Copernicus Sentinel-1",
                 "not stated, research sample"),
    "s1s2_pairs": ("Volkov Optical-SAR-dataset, Copernicus Sentinel-1 and -2",
                   "Copernicus terms, as its readme says"),
    "trees": ("NEON tree pictures (after Weinstein et al. 2021)", "not stated, research sample"),
    "change_pairs": ("LEVIR-CD, DSIFN, INLPG samples", "not stated or academic, research sample"),
    "objects_rgb": ("HRPlanesV2 export, SIMD sample, Minsk aerial cars",
                    "CC BY 4.0 claimed; none stated; CC BY-SA; research sample"),
    "ucm_multilabel": ("UC Merced with multi-labels, USGS pictures",
                       "not stated, research sample"),
    "sar_ships": ("HRSID sample", "GPL-3.0 named, research sample"),
    "s2_ships": ("sen2ships, Copernicus Sentinel-2", "MIT"),
    "indian_pines": ("AVIRIS Indian Pines (Baumgardner et al. 2015)", "CC BY 3.0"),
    "aerial_video": ("KIT AIS (Schmidt, Hinz), pictures by DLR", "CC BY 3.0, boxes CC BY-SA"),
}


def chosen(library: Library, name: str) -> list[Sample]:
    """The chips of a set: drawn from test with a seed; whole groups where they belong together."""
    every = sorted(samples(library, name, "test"), key=lambda s: draw(f"chip:{s.id}"))
    if name == "s1s2_pairs":
        # One question needs its ten candidates.
        wanted = set(every[0].facts["candidates"])
        return [every[0], *(s for s in every[1:] if s.id in wanted)]
    if name == "aerial_video":
        # Frames that follow each other are a video.
        clip = every[0].facts["clip"]
        every = sorted((s for s in every if s.facts["clip"] == clip), key=lambda s: s.id)
    if name == "indian_pines":
        every = [s for s in every if len(s.facts["classes"]) > 1]
    return every[: FEWER.get(name, ROWS)]


def copy_set(library: Library, name: str, target: Path) -> int:
    """Write the chips of one set in the layout of the data folder; their number."""
    picked = chosen(library, name)
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    source = library.data / name
    (folder / "meta.json").write_bytes((source / "meta.json").read_bytes())
    lines = [json.dumps(s.facts, separators=(",", ":")) for s in picked]
    (folder / "index.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        for sample in picked:
            for member in (sample.facts[m] for m in MEMBERS if m in sample.facts):
                # A fixed date: the same chips are the same bytes.
                archive.writestr(zipfile.ZipInfo(member), library.raw(name, member))
    return len(picked)


@dataclass(frozen=True, slots=True)
class Tiles:
    """An optical tile beside a SAR tile, of one place or of two."""

    own: Sample
    other: Sample

    @property
    def images(self) -> tuple[ImageInput, ...]:
        """Optical, SAR."""
        return self.own.images[0], self.other.images[1]


def _tiles(library: Library, split: str, limit: int) -> list[Any]:
    every = {s.id: s for s in samples(library, "s1s2_pairs", split)}
    return [Tiles(own, every[c]) for own in every.values()
            if every.keys() >= set(own.facts["candidates"]) for c in own.facts["candidates"]]


def _ask_match(tiles: Any) -> list[Ask]:
    key = f"{tiles.own.id}:{tiles.other.id}"
    return [Ask(key, tiles, phrases.MATCH[0], "yes" if tiles.own is tiles.other else "no")]


MATCH = Cell("s1s2_pairs.match", "grounding", "optical", _ask_match, (),
             needs=frozenset({"text", "sensors"}), max_tokens=8, source=_tiles)


def rows_of(library: Library, name: str, able: frozenset[str]) -> list[tuple[Cell, Any, Ask]]:
    """Ten questions on the chips of a set, drawn over the cells that a model can answer."""
    pines = library.meta("indian_pines")["classes"] if "indian_pines" in library.names else []
    found = []
    for cell in (*cells.table(pines), MATCH):
        if cell.set_name == name and cell.needs <= able:
            for sample in cell.samples(library, "test", 0):
                found += [(cell, sample, ask) for ask in cell.ask(sample)]
    return sorted(found, key=lambda f: draw(f"{f[0].name}:{f[2].key}"))[:ROWS]


def answers(subject: Subject, library: Library) -> list[dict]:
    """What a model says to ten questions a set."""
    made = []
    for name in library.names:
        for cell, sample, ask in rows_of(library, name, subject.abilities):
            most = min(cell.max_tokens, MOST_TOKENS.get(subject.name, cell.max_tokens))
            said = subject.answer(sample.images, ask.prompt, most)
            made.append({
                "set": name, "cell": cell.name, "key": ask.key, "prompt": ask.prompt,
                "answer": said.text, "confidence": round(said.confidence, 4),
                "error": said.error,
            })
    return made


def expected_path(chips: Path, model: str) -> Path:
    """Where the answers of a model lie."""
    return chips / f"expected_{model}.json"


def expected_of(folder: Path, chips: Path) -> dict[str, Any]:
    """Content of a model's file: what it says now, and on what."""
    subject, library = Subject(folder), open_library(chips)
    made = answers(subject, library)
    return {"model": subject.name, "digest": subject.digest, "record": subject.record,
            "rows": made}


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two contents of a model's file, a line each; [] if nothing does."""
    said = []
    if old.get("digest") != new["digest"]:
        said.append(f"weights {old.get('digest', 'none')[:12]} -> {new['digest'][:12]}")
    before = {(r["cell"], r["key"]): r for r in old.get("rows", [])}
    after = {(r["cell"], r["key"]): r for r in new["rows"]}
    said += [f"{cell} {key}: no longer asked" for cell, key in before if (cell, key) not in after]
    moved = 0
    for (cell, key), row in after.items():
        was = before.get((cell, key))
        if was is None:
            said.append(f"{cell} {key}: new, {row['answer']!r}")
        elif (was["prompt"], was["answer"], was["error"]) != (
                row["prompt"], row["answer"], row["error"]):
            said.append(f"{cell} {key}: {was['answer'] or was['error']!r} -> "
                        f"{row['answer'] or row['error']!r}")
        else:
            moved += abs(was["confidence"] - row["confidence"]) >= LEAST_MOVE
    if moved:
        said.append(f"{moved} same answers with a confidence moved by {LEAST_MOVE} or more")
    return said


def renew(folder: Path, chips: Path, *, is_check: bool = False) -> list[str]:
    """Answer with one model folder, write what it says unless only checking; what changed."""
    path = expected_path(chips, folder.name)
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    new = expected_of(folder, chips)
    if not is_check:
        text = json.dumps(new, indent=0, ensure_ascii=True) + "\n"
        path.write_text(text, encoding="utf-8")
    return changes(old, new)


def readme(counts: dict[str, int]) -> str:
    """The page beside the chips."""
    lines = [f"| {name} | {n} | {LICENCES[name][0]} | {LICENCES[name][1]} |"
             for name, n in counts.items()]
    return "\n".join([
        "# Test chips", "",
        "Real chips of the test splits, as stored in the data folder: no model here was trained on",
        "them. `expected_MODEL.json` is what the models answer, with the digest of their weights.",
        "Written by `python -m training.evaluation.fixtures`.", "",
        "| set | chips | source | licence |", "|---|---:|---|---|", *lines, "",
    ])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, help="copy the chips anew from this data folder")
    p.add_argument("--model", action="append", help="names below models/; default: both")
    p.add_argument("--chips", type=Path, default=CHIPS)
    p.add_argument("--check", action="store_true", help="write nothing; fail if anything changed")
    a = p.parse_args(argv)
    if a.check and a.data:
        p.error("--check writes nothing: without --data")
    if a.data:
        library = open_library(a.data)
        counts = {name: copy_set(library, name, a.chips) for name in library.names}
        (a.chips / "README.md").write_text(readme(counts), encoding="utf-8")
    changed = 0
    for name in a.model or ("compact", "regular"):
        found = renew(PROJECT / "models" / name, a.chips, is_check=a.check)
        changed += len(found)
        print(f"{name}: {len(found)} changes", *found, sep="\n  ")
    size = sum(f.stat().st_size for f in a.chips.rglob("*") if f.is_file())
    print(f"{size / 1e6:.2f} MB in {a.chips}")
    if size > MOST_BYTES:
        print(f"more than {MOST_BYTES / 1e6:g} MB", file=sys.stderr)
        return 1
    return int(a.check and changed > 0)


if __name__ == "__main__":
    sys.exit(main())

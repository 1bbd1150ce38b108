"""Answer the questions of the gallery and write its page and pictures.

    python -m training.gallery [--model compact --model regular] [--out docs/gallery.md]
        [--readme README.md]

Needs neither torch nor a data folder: pictures are the test chips of this repository and scenes of
the procedural world. Questions are drawn by a hash, whatever the models say to them. The first
question of each row also goes into the readme, between the marks of its block ``gallery``.
"""

import argparse
import re
import sys
import time
from pathlib import Path

from eo_nodes.contracts.errors import ConfigError, EoError
from eo_nodes.lvlm import load_model
from training.evaluation.fixtures import CHIPS, PROJECT
from training.evaluation.sets import open_library
from training.gallery import drawing, wall
from training.gallery.shots import answer_of

MARKS = {True: "right", False: "**wrong**", None: "not judged"}
MOST_CHARS = 120

HEAD = """# Gallery

Written by `make gallery`. Every row shows a mechanism on pictures that no model here was trained
on: test chips of this repository (`test/data/chips`), and scenes of the procedural world with other
numbers than training's. The questions are drawn by a hash, not chosen by their answers, so failures
are shown as they come. White: what the question points at. Green: the label. Orange: the answer
of {first}. Few pictures prove nothing: the figures are in the cards of `models/`.

{summary}
"""


def short(text):
    """A text for a table cell: long lists and masks cut."""
    text = re.sub(r"<mask [^>]{24,}>", "<mask ...>", " ".join(text.split()))
    text = re.sub(r"<poly [^>]{48,}>", "<poly ...>", text)
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS - 4].rstrip()} ..."


def code(text):
    """As inline code, so that nothing in it is markup."""
    return f"`{short(text).replace('`', chr(39)).replace('|', '/')}`" if text else ""


def answered(models, shot):
    """Per model (cell of the table, mark, text)."""
    out = []
    for model in models.values():
        text, right, refusal = answer_of(model, shot, time.monotonic_ns)
        cell = f"{code(text)} {MARKS[right]}"
        if refusal:
            cell = f"refused: {short(refusal).replace('|', '/')}"
        out.append((cell, right, text))
    return out


def write_row(row, models, folder, link):
    """Pictures of a row into a folder; returns (markdown, marks per model, lines of the table)."""
    lines = [f"## {row.name} {row.title}", "", row.text, "",
             "| | question | label | " + " | ".join(models) + " |",
             "|---|---|---|" + "---|" * len(models)]
    marks, table = [], []
    first = next(iter(models.values()))
    for number, shot in enumerate(row.shots, 1):
        said = answered(models, shot)
        extra = shot.extra(first) if shot.extra else ()
        picture = drawing.sheet(shot.images, shot.prompt, shot.truth, said[0][2], shot.mask, extra)
        name = f"{row.name}_{number}.png"
        (folder / name).write_bytes(drawing.png(picture))
        asked = code(shot.prompt) + (f" ({shot.remark})" if shot.remark else "")
        table.append(f"| ![{row.name}]({link}/{name}) | {asked} | {code(shot.truth)} | "
                     + " | ".join(cell for cell, *_ in said) + " |")
        marks.append([right for _, right, _ in said])
    return "\n".join(lines + table), marks, table


def write_readme(path, models, firsts, told, link):
    """Put one line of each row between the readme's marks.

    firsts: (row, first line of its table) pairs.
    Raises:
        ConfigError: the readme has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    block = re.compile(r"(<!-- gallery -->\n).*?(<!-- /gallery -->)", re.DOTALL)
    if not block.search(text):
        raise ConfigError(f"{path}: no block <!-- gallery --> ... <!-- /gallery -->")
    lines = ["| | | question | label | " + " | ".join(models) + " |",
             "|---|---|---|---|" + "---|" * len(models)]
    for row, line in firsts:
        lines.append(f"| {row.name} {row.title} {line.replace('](', f']({link}', 1)}")
    lines += ["", f"All questions of the gallery: {told}"]
    path.write_text(block.sub(lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text),
                    encoding="utf-8")


def summary(models, marks):
    """How many are right, per model."""
    told = []
    for n, name in enumerate(models):
        own = [m[n] for row in marks.values() for m in row]
        judged = [m for m in own if m is not None]
        told.append(f"{name}: {sum(judged)} of {len(judged)} right, {len(own) - len(judged)} not "
                    "judged or refused")
    return "; ".join(told) + "."


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", action="append", help="name below models/ or folder; default: both")
    p.add_argument("--out", type=Path, default=PROJECT / "docs" / "gallery.md")
    p.add_argument("--chips", type=Path, default=CHIPS)
    p.add_argument("--readme", type=Path, help="default: the project's, with the default --out")
    p.add_argument("--rows", nargs="*", help="only these, e.g. E1 X4")
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args(argv)
    models = {}
    try:
        for name in a.model or ("compact", "regular"):
            folder = Path(name) if Path(name).is_dir() else PROJECT / "models" / name
            models[folder.name] = load_model(folder, threads=a.threads)
        every = wall.rows(open_library(a.chips))
    except EoError as fault:
        print(f"gallery: {fault}", file=sys.stderr)
        return 1
    folder = a.out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if not a.rows:
        for old in folder.glob("*.png"):
            old.unlink()
    texts, marks, firsts = [], {}, []
    for row in every:
        if not a.rows or row.name in a.rows:
            text, marks[row.name], table = write_row(row, models, folder, folder.name)
            texts.append(text)
            firsts.append((row, table[0]))
            print(row.name, marks[row.name], flush=True)
    told = summary(models, marks)
    head = HEAD.format(first=next(iter(models)), summary=told)
    a.out.write_text("\n\n".join([head.rstrip(), *texts]) + "\n", encoding="utf-8")
    is_default = a.out == p.get_default("out") and not a.rows
    if readme := a.readme or (PROJECT / "README.md" if is_default else None):
        # Links of the page are from its own folder, those of the readme from the readme's.
        link = a.out.resolve().parent.relative_to(readme.resolve().parent).as_posix()
        write_readme(readme, models, firsts, told, "" if link == "." else f"{link}/")
    size = sum(f.stat().st_size for f in folder.glob("*.png"))
    print(f"{told} {size / 1e3:.0f} kB of pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`spaceverse record, replay, diff`: keep a run, run it again, compare two."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from .common import FAILED, JsonFlag, UsageError, guarded, print_json


@guarded
def record(
    out: Annotated[Path, typer.Option("--output", "-o", help="Bag file, NAME.mcap.")],
    segment: Annotated[
        list[str] | None,
        typer.Option(help="NAMESPACE=DOMAIN, repeatable; default: all of config/graph.yaml."),
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="Only these, repeatable; default: all.")
    ] = None,
    split_mb: Annotated[
        float, typer.Option(min=0.0, help="New file after so many MB of messages; 0: one file.")
    ] = 0.0,
    seconds: Annotated[float, typer.Option("--for", min=0.0, help="Stop after s; 0: never.")] = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Record every topic of the segments into an MCAP bag until Ctrl-C.

    Examples:

        spaceverse record -o run.mcap

        spaceverse record -o run.mcap --segment /ground=1 --topic final --topic event
    """
    from eo_nodes.console.recorder import Recorder, Segment
    from eo_nodes.contracts.topics import TOPICS

    from .segments import segments

    if unknown := [name for name in topic or () if name not in TOPICS]:
        raise UsageError(f"no such topic: {', '.join(unknown)}")
    where = [_segment(text) for text in segment] if segment else list(segments().items())
    stopped: list[int] = []
    # A background job of a script ignores SIGINT unless it says otherwise.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopped.append(got))
    recorder = Recorder(
        [Segment(namespace, domain) for namespace, domain in where],
        out,
        topics=topic,
        split_bytes=round(split_mb * 1e6),
    )
    print(f"recording {', '.join(f'{n} ({d})' for n, d in where)}", file=sys.stderr, flush=True)
    end = time.monotonic() + seconds if seconds else None
    counts = recorder.run(lambda: bool(stopped) or (end is not None and time.monotonic() >= end))
    found = {name: count for name, count in sorted(counts.items()) if count}
    if as_json:
        print_json({"files": [str(path) for path in recorder.paths], "messages": found})
    else:
        for name, count in found.items():
            print(f"{count:8d} {name}")
        print(f"{sum(found.values()):8d} messages in {', '.join(map(str, recorder.paths))}")


def _segment(text: str) -> tuple[str, int]:
    namespace, _, domain = text.rpartition("=")
    if not namespace.startswith("/") or not domain.isdigit():
        raise UsageError(f"--segment {text!r}: /NAMESPACE=DOMAIN is wanted")
    return namespace, int(domain)


@guarded
def replay(
    bag: Annotated[Path, typer.Argument(help="Bag of a recorded run.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/replay"),
    rate: Annotated[
        float, typer.Option(min=0.0, help="Orbital seconds per second; 0: as fast as possible.")
    ] = 0.0,
) -> None:
    """Run the unchanged graph on the recorded inputs and compute times; write its report.

    Example: spaceverse replay build/demo/demo.mcap && spaceverse diff build/demo/report.json
    build/replay/report.json
    """
    from eo_nodes.console.bag import bag_files

    bag_files(bag)
    from eo_sim import demo as driver

    raise typer.Exit(driver.replay_main(bag, out_dir=out, rate=rate))


@guarded
def diff(
    first: Annotated[Path, typer.Argument(help="report.json or bag.")],
    second: Annotated[Path, typer.Argument(help="report.json or bag.")],
    as_json: JsonFlag = False,
) -> None:
    """Compare two runs: decisions, bytes, order, answers. Exit code 1 when they differ.

    Example: spaceverse diff build/demo/report.json build/replay/report.json
    """
    from eo_nodes.console.difference import compare_files
    from eo_nodes.console.text import clean

    differences, kinds = compare_files(first, second)
    if as_json:
        print_json({"compared": kinds, "differences": differences})
    else:
        for item in differences:
            print(clean(str(item)))
        print(f"{len(differences)} differences in {', '.join(kinds)}")
    if differences:
        raise typer.Exit(FAILED)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (record, replay, diff):
        app.command()(command)

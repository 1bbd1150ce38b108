"""`spaceverse ask`: put a question to the satellite and wait for its final answer."""

from __future__ import annotations

from typing import Annotated

import typer

from eo_nodes.contracts.rules import MODALITIES, ZOOM_OUT
from eo_nodes.contracts.values import Answer, Task

from . import parse
from .common import (
    FAILED,
    Domain,
    JsonFlag,
    Namespace,
    Timeout,
    TimeoutS,
    UsageError,
    fail,
    guarded,
    print_json,
)


@guarded
def ask(
    prompt: Annotated[str, typer.Argument(help="The question, 1 to 2000 characters.")],
    area: Annotated[
        str, typer.Option(help="west,south,east,north or lon,lat pairs, degrees.", metavar="DEG")
    ] = "",
    place: Annotated[str, typer.Option(help="Name of a scene or mosaic.")] = "",
    modality: Annotated[str, typer.Option(help=" | ".join(MODALITIES))] = "",
    sensor: Annotated[str, typer.Option(help="Name in config/mission/sensors.yaml.")] = "",
    window: Annotated[str, typer.Option(help="x,y,width,height in pixels.", metavar="PX")] = "",
    zoom: Annotated[
        str, typer.Option(help="auto: as configured; none: as a whole; in: its parts finer; out: "
                          "--window or --area with its surroundings.")
    ] = "auto",
    point: Annotated[
        list[str] | None, typer.Option(help="Point at x,y[:label], pixels.", metavar="PX")
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(help="Point at x0,y0,x1,y1[:label].", metavar="PX")
    ] = None,
    priority: Annotated[int, typer.Option(min=0, max=7, help="0 lowest .. 7 most urgent.")] = 3,
    deadline: Annotated[
        str, typer.Option(help="6h, 30min from now, or ISO 8601; orbital time.")
    ] = "",
    valid_from: Annotated[str, typer.Option("--from", help="Earliest capture.")] = "",
    consumer: Annotated[
        str, typer.Option(help="ground | onboard: where the answer is used.")
    ] = "ground",
    count: Annotated[int, typer.Option("--max-answers", min=1, max=1000, help="Scenes.")] = 1,
    wait: Annotated[bool, typer.Option(help="Wait for the final answer.")] = True,
    timeout_s: TimeoutS = 600.0,
    as_json: JsonFlag = False,
    name: Annotated[str, typer.Option(help="Who asks.")] = "console",
    domain: Domain = None,
    namespace: Namespace = "/ground",
) -> None:
    """Ask a question; print the final answer with where it comes from, or why it is refused.

    Examples:

        spaceverse ask "How many ships are there?" --place harbour --wait

        spaceverse ask "Is there flooding?" --area 5.9,49.4,6.1,49.6 --modality sar --deadline 6h

        spaceverse ask "What stands beside it?" --place harbour --window 40,30,20,20 --zoom out
    """
    from eo_nodes.console.client import GroundConsole

    from .segments import domain_of

    how = parse.task_zoom(zoom)
    if how == ZOOM_OUT and not (window or area):
        raise UsageError("--zoom out: --window or --area is wanted, what the question is about")
    task = Task(
        prompt=prompt,
        modality=modality,
        sensor=sensor,
        place=place,
        area=parse.area(area) if area else (),
        window=parse.window(window) if window else (),
        zoom=how,
        visual_prompts=(
            *(parse.visual("point", text) for text in point or ()),
            *(parse.visual("box", text) for text in box or ()),
        ),
        priority=priority,
        consumer=consumer,
        max_answers=count,
    )
    console = GroundConsole(domain_of(namespace, domain), namespace, name)
    sent = console.ask(
        task,
        deadline=lambda now_ns: parse.moment(deadline, now_ns, "--deadline") if deadline else 0,
        valid_from=lambda now_ns: parse.moment(valid_from, now_ns, "--from") if valid_from else 0,
        match_s=min(5.0, timeout_s),
    )
    if not wait:
        print_json({"task_id": sent.id}) if as_json else print(sent.id)
        return
    answers = console.wait_final(sent.id, count=count, timeout_s=timeout_s)
    if as_json:
        print_json({"task_id": sent.id, "answers": answers})
    else:
        from eo_nodes.console.show import print_answer

        for answer in answers:
            print_answer(answer)
    if any(answer.status == Answer.REFUSED for answer in answers):
        raise typer.Exit(FAILED)
    if not answers:
        raise Timeout(f"no final answer to {sent.id} within {timeout_s:g} s")
    if len(answers) < count:
        fail(f"{len(answers)} of at most {count} answers within {timeout_s:g} s")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ask)

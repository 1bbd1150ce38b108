"""What all commands share: exit codes, errors, options, JSON output."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from eo_nodes.contracts.errors import CommandRejected, ConfigError, ContractError, EoError

OK, FAILED, USAGE, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 130

P = ParamSpec("P")
R = TypeVar("R")


class Timeout(EoError):  # noqa: N818 - reads as what happened
    """Nothing came in the time given."""


class UsageError(EoError):
    """An option is wrong in a way only the command can see."""


def fail(message: str) -> None:
    """Print an error line to stderr, without obeying what is in it."""
    from eo_nodes.console.text import clean

    print(f"spaceverse: {clean(message)}", file=sys.stderr)


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors a command expects into one line and an exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader of a pipe went away: `spaceverse watch | head`
            sys.stderr.close()
            raise typer.Exit(OK) from None
        except Timeout as error:
            fail(str(error))
            raise typer.Exit(TIMEOUT) from None
        except (UsageError, ContractError, ConfigError) as error:
            fail(str(error))
            raise typer.Exit(USAGE) from None
        except CommandRejected as error:
            fail(f"refused: {error.reason}")
            raise typer.Exit(FAILED) from None
        except (EoError, OSError) as error:
            fail(str(error))
            raise typer.Exit(FAILED) from None

    return run


def to_plain(value: Any) -> Any:
    """Return JSON-ready data of a contracts value; bytes become their length."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": len(value)}
    return value


def print_json(value: Any, *, line: bool = False) -> None:
    """Print JSON to stdout; ASCII only, so that no terminal obeys what is inside."""
    print(json.dumps(to_plain(value), indent=None if line else 2), flush=True)


JsonFlag = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Domain = Annotated[
    int | None,
    typer.Option(
        "--domain",
        min=0,
        max=232,
        envvar="SPACEVERSE_DOMAIN",
        help="DDS domain; default: that of the segment in config/graph.yaml.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str,
    typer.Option("--namespace", envvar="SPACEVERSE_NAMESPACE", help="Namespace of the segment."),
]
TimeoutS = Annotated[float, typer.Option("--timeout", min=0.0, help="Wall-clock limit, s.")]

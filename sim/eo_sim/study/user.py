"""A policy of the user's: one Python file with ``decide``; see ``policy`` for what it may ask."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

from .errors import StudyError
from .policy import END, ORDERS, Choice, Decide, LinkView, Policy, Setting, View


def load_policy(path: Path) -> Policy:
    """Load a policy file. The file is code and runs with the rights of this program.

    It defines ``decide(view, link)`` or ``decide(view, link, setting)``, and may define ``NAME``,
    ``FIRST_STAGE`` (0 to 3, else 1) and ``SPACE`` (name -> values for the search).

    Raises:
        StudyError: no such file, it fails, or what it defines does not fit.
    """
    if not path.is_file():
        raise StudyError(f"{path}: no such policy file")
    spec = importlib.util.spec_from_file_location(f"user_policy_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{path}: no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a foreign file raises
        raise StudyError(f"{path.name}: {type(error).__name__}: {error}") from error
    decide: Any = getattr(module, "decide", None)
    if not callable(decide):
        raise StudyError(f"{path.name}: defines no function decide(view, link)")
    takes = len(inspect.signature(decide).parameters)
    if takes not in (2, 3):
        raise StudyError(f"{path.name}: decide takes {takes} arguments, expected 2 or 3")
    stage, space = getattr(module, "FIRST_STAGE", 1), getattr(module, "SPACE", {})
    if stage not in range(END + 1) or not isinstance(space, dict):
        raise StudyError(f"{path.name}: FIRST_STAGE is 0 to 3, SPACE maps names to values")
    name = str(getattr(module, "NAME", path.stem))

    def make(setting: Setting, _: Any) -> Decide:
        def checked(view: View, link: LinkView) -> Choice:
            found = decide(view, link) if takes == 2 else decide(view, link, setting)
            if not isinstance(found, Choice):
                raise StudyError(f"{name}: decide returned {found!r:.80}, no Choice")
            return found

        return checked

    return Policy(name=name, make=make, space={**space, "order": ORDERS}, first_stage=stage,
                  role="user", note=f"from {path.name}")

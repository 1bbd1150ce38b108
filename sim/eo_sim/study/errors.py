"""The error family of the study."""

from __future__ import annotations

from eo_nodes.contracts.errors import EoError


class StudyError(EoError):
    """The study cannot be carried out: configuration, policy file or data folder."""


class TraceError(StudyError):
    """A trace file is absent, damaged or out of range; the text names column and row."""

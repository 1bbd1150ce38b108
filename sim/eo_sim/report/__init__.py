"""The report of a run: ``build(report, out_dir)`` writes report.json and report.html."""

from .build import build
from .schema import Report, ReportError

__all__ = ["Report", "ReportError", "build"]

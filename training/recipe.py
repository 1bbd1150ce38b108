"""Where training keeps what it made; not in the repository."""

from pathlib import Path

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"

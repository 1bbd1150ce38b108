"""Options of every command that runs a model: on what, with how much."""

from __future__ import annotations

from typing import Annotated

import typer

Threads = Annotated[int, typer.Option("--threads", min=1, help="Of the inference.")]
Providers = Annotated[
    list[str] | None,
    typer.Option("--provider", metavar="NAME",
                 help="cpu, cuda, tensorrt or onnxruntime's own name; several: best first. "
                      "Default: cpu."),
]
ProviderOptions = Annotated[
    list[str] | None,
    typer.Option("--provider-option", metavar="PROVIDER.KEY=VALUE",
                 help="Of a provider named, e.g. cuda.device_id=1."),
]
MemoryMb = Annotated[
    int,
    typer.Option("--memory-mb", min=0,
                 help="Refuse a model or request that needs more; 0: no limit."),
]

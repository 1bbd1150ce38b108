"""onnxruntime sessions as configuration states them, and a record of what they run on.

Purpose: one place that turns providers, threads and a memory cap into sessions, refuses what cannot
fit before anything is allocated, and lists what a run's bits depend on.
Non-purpose: choosing tokens (``runtime_greedy``), feeding graphs (``runtime_cache``).
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "avx_vnni", "f16c",
              "fma", "asimddp", "i8mm", "sve", "bf16")
# Resident bytes a byte of file. Weights stored as int8 and computed in float32 are unfolded and
# then packed for the kernels; float32 external data is mapped. What the released models take is
# printed by test/unit/lvlm/test_unified_memory.py, beside what is counted.
INT8_UNFOLDED, AS_STORED = 10.0, 2.0


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How sessions are opened.

    Attributes:
        providers: best first; short names of ``PROVIDERS`` or onnxruntime's own.
        provider_options: per provider as named in ``providers``: onnxruntime's own options, e.g.
            ``{"cuda": {"device_id": "0", "gpu_mem_limit": "2147483648"}}``.
        threads: of one operator, >= 1; operators run one after another.
        is_spinning: idle workers poll instead of sleeping: quicker by a little, and it takes the
            cores of the other processes between two tokens.
        memory_limit_bytes: estimated need of a model or request above which it is refused, and
            the limit of a CUDA arena that has no ``gpu_mem_limit``; 0 is none.
    """

    providers: tuple[str, ...] = ("cpu",)
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    threads: int = 1
    is_spinning: bool = False
    memory_limit_bytes: int = 0

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ModelError(f"threads is {self.threads}")
        if self.memory_limit_bytes < 0:
            raise ModelError(f"memory_limit_bytes is {self.memory_limit_bytes}")
        if not self.providers:
            raise ModelError("no provider")
        for name in self.providers:
            if name not in PROVIDERS and name not in ort.get_all_providers():
                raise ModelError(f"no provider {name!r:.60}; known are {', '.join(PROVIDERS)} and "
                                 "those of onnxruntime by their full names")
        unknown = set(self.provider_options) - set(self.providers)
        if unknown:
            raise ModelError(f"options of {sorted(unknown)}, which is no provider here")

    def resolved(self) -> list[tuple[str, dict[str, str]]]:
        """Return (provider, options) as onnxruntime takes them.

        Raises:
            ModelError: a provider that this build of onnxruntime does not have.
        """
        available, found = ort.get_available_providers(), []
        for name in self.providers:
            full = PROVIDERS.get(name, name)
            if full not in available:
                raise ModelError(f"this onnxruntime has no {full}; it has {', '.join(available)}")
            options = dict(self.provider_options.get(name, {}))
            if full == PROVIDERS["cuda"] and self.memory_limit_bytes:
                options.setdefault("gpu_mem_limit", str(self.memory_limit_bytes))
            found.append((full, options))
        return found

    def require(self, need_bytes: int, what: str) -> None:
        """Refuse what would not fit.

        Raises:
            ModelError: ``need_bytes`` is above the limit.
        """
        if self.memory_limit_bytes and need_bytes > self.memory_limit_bytes:
            raise ModelError(
                f"{what} needs about {need_bytes} bytes, the limit is {self.memory_limit_bytes}"
            )


def open_session(path: Path, options: RuntimeOptions) -> ort.InferenceSession:
    """Open one graph.

    Raises:
        ModelError: no such provider, a graph that onnxruntime cannot read.
    """
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 4  # what goes wrong is raised, once
    settings.add_session_config_entry(
        "session.intra_op.allow_spinning", str(int(options.is_spinning))
    )
    if options.memory_limit_bytes:
        # The arena doubles what it holds; without it a request costs what it needs.
        settings.enable_cpu_mem_arena = False
    providers = options.resolved()
    try:
        session = ort.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base but Exception
        raise ModelError(f"{path}: {error}") from error
    _give_back()
    return session


def _give_back() -> None:
    """Hand what loading freed back to the system: glibc keeps it, half of what is resident."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def weight_bytes(paths: Sequence[Path], per_byte: float = INT8_UNFOLDED) -> int:
    """Return an estimate of the memory that sessions of these files take, bytes.

    Args:
        per_byte: ``AS_STORED`` where the graph computes in the type that is stored.
    """
    return int(per_byte * sum(p.stat().st_size for p in paths if p.is_file()))


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What greedy decoding's bits depend on; two equal records give equal answers.

    Attributes:
        runtime: onnxruntime's version and build. providers: of the session, best first.
        threads: of one operator. machine: architecture, e.g. ``x86_64``.
        cpu_features: instruction sets the kernels choose among, sorted.
    """

    runtime: str
    providers: tuple[str, ...]
    threads: int
    machine: str
    cpu_features: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"runtime": self.runtime, "providers": list(self.providers),
                "threads": self.threads, "machine": self.machine,
                "cpu_features": list(self.cpu_features)}


def run_record(
    session: ort.InferenceSession, options: RuntimeOptions,
    cpuinfo: Path = Path("/proc/cpuinfo"),
) -> RunRecord:
    """Return the record of a session on this machine."""
    return RunRecord(
        f"onnxruntime {ort.__version__} {ort.get_build_info()}",
        tuple(session.get_providers()), options.threads, platform.machine(),
        cpu_features(cpuinfo),
    )


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Return the instruction sets of the first core, () where the system does not list them."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return tuple(sorted(set(_CPU_FLAGS) & set(value.split())))
    return ()


class CancelFlag:
    """Stops a run: a graph at its next operator, a decoder at its next token.

    ``set`` may be called from another thread or a signal handler.
    """

    def __init__(self) -> None:
        self.run_options = ort.RunOptions()

    def set(self) -> None:
        """Ask for the stop; it cannot be taken back."""
        self.run_options.terminate = True

    @property
    def is_set(self) -> bool:
        """Whether the stop was asked for."""
        return bool(self.run_options.terminate)


class Cancelled(ModelError):  # noqa: N818 - an outcome that was asked for, not a fault
    """A cancel flag ended the run."""


def run_graph(
    session: ort.InferenceSession, feed: Mapping[str, NDArray[Any]],
    outputs: Sequence[str] | None = None, cancel: CancelFlag | None = None,
) -> list[NDArray[Any]]:
    """Run a graph on arrays.

    Raises:
        Cancelled: by the flag. ModelError: the graph failed.
    """
    try:
        return list(session.run(outputs, dict(feed), cancel.run_options if cancel else None))
    except Exception as error:  # onnxruntime's errors share no base but Exception
        raise graph_error(error, cancel) from error


def graph_error(error: Exception, cancel: CancelFlag | None) -> ModelError:
    """Return the error of ours that stands for one of onnxruntime."""
    if cancel is not None and cancel.is_set:
        return Cancelled("cancelled")
    return ModelError(f"onnxruntime: {error}")


NUMPY_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(double)": np.float64,
}


def input_types(session: ort.InferenceSession) -> dict[str, type[np.generic]]:
    """Return the numpy type of each input.

    Raises:
        ModelError: an element type without a numpy counterpart, e.g. bfloat16.
    """
    found = {}
    for item in session.get_inputs():
        if item.type not in NUMPY_TYPES:
            raise ModelError(f"input {item.name} has type {item.type}")
        found[item.name] = NUMPY_TYPES[item.type]
    return found

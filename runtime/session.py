"""onnxruntime, set up the way this package promises: CPU unless named otherwise, no telemetry, no spinning."""

from __future__ import annotations

import ctypes
import io
import os
import sys
import threading
import weakref
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any, Final

from .errors import BundleError, EngineError, OptionError, ProviderUnavailableError, first_line
from .installing import install_command
from .threads import default_threads, startable

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnxruntime

__all__ = ["PROVIDERS", "Session", "create_session", "import_onnxruntime", "providers_of"]

PROVIDERS: Final[dict[str, str]] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
}
"""Short names; onnxruntime's own names work too."""

_SESSION_CONFIG: Final[dict[str, str]] = {
    # A spinning pool burns a core between pictures and slows the decoding threads beside it.
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
}


_IMPORTING = threading.Lock()


def import_onnxruntime() -> Any:
    """Imports onnxruntime with its telemetry switched off.

    Since 1.29 the official wheels write a device id below the home directory and look for a network at import, unless
    the variable is set before. ``setdefault`` leaves the choice to a user who has made one.

    Raises:
        EngineError: If it cannot be imported.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    said = io.StringIO()
    try:
        with (
            _IMPORTING,
            redirect_stderr(said),
        ):  # numpy tells there, with a traceback, of modules made for another numpy
            import onnxruntime

            # 3 = errors only. The hardware probe warns on every Raspberry Pi before any session option can silence it.
            onnxruntime.set_default_logger_severity(3)
    except ModuleNotFoundError as error:
        raise EngineError(f"{first_line(error)}. To install what is needed: {install_command()}") from error
    except Exception as error:  # a system library, another numpy, a folder that two packages wrote into
        reason = first_line(error) if str(error) else " ".join(said.getvalue().split()).partition(". ")[0]
        raise EngineError(
            f"onnxruntime cannot be imported ({reason}). It may lack a system library (on Windows the Visual C++ "
            "runtime), be made for another version of numpy, or lie over another package of its kind: uninstall every "
            "onnxruntime package, then install one."
        ) from error
    if said.getvalue() and sys.stderr is not None:
        sys.stderr.write(said.getvalue())
    return onnxruntime


class Session:
    """An inference session that a child of ``fork()`` makes anew when it uses it.

    A session's threads do not exist in the child. There it can neither be run safely nor end: its destructor waits for
    them for ever, or crashes.
    """

    def __init__(self, make: Callable[[], onnxruntime.InferenceSession]) -> None:
        """Makes the session; ``make`` is kept for the children."""
        self._make = make
        self._session = make()
        self._process = os.getpid()

    @property
    def here(self) -> onnxruntime.InferenceSession:
        """The session of this process."""
        if self._process != os.getpid():
            self._session = self._make()  # twice by two threads at once: one of them goes
            self._process = os.getpid()
        return self._session


_ALIVE: weakref.WeakSet[onnxruntime.InferenceSession] = weakref.WeakSet()


def _never_end() -> None:
    """Takes a reference to every session that the parent made, which nothing gives back: they outlive this process."""
    for session in list(_ALIVE):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_never_end)


def create_session(
    model: str | os.PathLike[str] | bytes,
    *,
    provider: str = "cpu",
    threads: int | None = None,
    optimize: bool = True,
    name: str | None = None,
) -> onnxruntime.InferenceSession:
    """Creates an inference session.

    Args:
        model: Path of an ONNX file, or its bytes.
        provider: A key of :data:`PROVIDERS` or onnxruntime's own name.
        threads: Intra-op threads; by default from affinity and cgroup quota, at most four. Fewer where the system does
            not give so many. 0 is refused: it would let onnxruntime count the host's cores.
        optimize: Let onnxruntime lay the weights out for this processor. ``False`` loads faster and in less memory
            (measured on the built-in model by ``benchmarks/session.py``: 3 ms and 9 MiB less), and each run takes up to
            twice as long.
        name: What messages call the model; its path unless given.

    Raises:
        EngineError: If onnxruntime cannot be imported.
        ProviderUnavailableError: If the provider is not part of this onnxruntime, or did not come up.
        OptionError: If ``threads`` is below 1.
        BundleError: If onnxruntime cannot load the file.
    """
    if threads is not None and threads < 1:
        raise OptionError(f"threads is {threads}; it must be 1 or more")
    ort = import_onnxruntime()
    wanted = PROVIDERS.get(provider.lower(), provider)
    available = ort.get_available_providers()
    if wanted not in available:
        known = ", ".join(sorted(_short_name(name) for name in available))
        raise ProviderUnavailableError(
            f"This onnxruntime ({ort.__version__}) has no execution provider {provider!r}; it has: {known}. "
            "Other providers come with other onnxruntime packages (onnxruntime-gpu, onnxruntime-openvino, ...)."
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = startable(threads or default_threads())
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # The arena and the memory pattern keep the largest batch ever seen; a batch job wants flat memory.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # 4 = fatal only: what fails is raised, and a line of its log would bring names of the model to the terminal raw.
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    for key, value in _SESSION_CONFIG.items():
        options.add_session_config_entry(key, value)
    providers = [wanted] if wanted == PROVIDERS["cpu"] else [wanted, PROVIDERS["cpu"]]
    content = model if isinstance(model, bytes) else os.fspath(model)
    try:
        # Its own fallback would print to stdout.
        session = ort.InferenceSession(content, sess_options=options, providers=providers, enable_fallback=0)
    except Exception as error:
        what = name or ("the model" if isinstance(model, bytes) else os.fspath(model))
        on = "" if wanted == PROVIDERS["cpu"] else f" with the execution provider {provider!r}"
        raise BundleError(f"onnxruntime {ort.__version__} cannot load {what}{on}: {first_line(error)}") from error
    if session.get_providers()[0] != wanted:
        raise ProviderUnavailableError(
            f"Execution provider {provider!r} did not come up (onnxruntime fell back to "
            f"{_short_name(session.get_providers()[0])}); check its drivers, or use the provider 'cpu'."
        )
    _ALIVE.add(session)
    return session


def providers_of(session: onnxruntime.InferenceSession) -> tuple[str, ...]:
    """Returns the short names of the providers a session really uses, first choice first."""
    return tuple(_short_name(name) for name in session.get_providers())


def _short_name(provider: str) -> str:
    return next((short for short, full in PROVIDERS.items() if full == provider), provider)

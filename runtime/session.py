"""onnxruntime, set up the way this package promises: CPU unless named otherwise, no telemetry, no spinning."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from .errors import BundleError, OptionError, ProviderUnavailableError, first_line
from .threads import default_threads

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["PROVIDERS", "create_session", "import_onnxruntime", "providers_of"]

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
"""Short names for ``--provider``; onnxruntime's own names work too."""

_SESSION_CONFIG: Final[dict[str, str]] = {
    # A spinning pool burns a core between pictures and slows the decoding threads beside it.
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
}


def import_onnxruntime() -> Any:
    """Imports onnxruntime with its telemetry switched off.

    Since 1.29 the official wheels write a device id below the home directory and look for a network at import, unless
    the variable is set before. ``setdefault`` leaves the choice to a user who has made one.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    # 3 = errors only. The hardware probe warns on every Raspberry Pi before any session option can silence it.
    onnxruntime.set_default_logger_severity(3)
    return onnxruntime


def create_session(
    model: str | os.PathLike[str] | bytes, *, provider: str = "cpu", threads: int | None = None, optimize: bool = True
) -> onnxruntime.InferenceSession:
    """Creates an inference session.

    Args:
        model: Path of an ONNX file, or its bytes.
        provider: A key of :data:`PROVIDERS` or onnxruntime's own name.
        threads: Intra-op threads; by default from affinity and cgroup quota, at most four. 0 is refused: it would let
            onnxruntime count the host's cores.
        optimize: Let onnxruntime lay the weights out for this processor. ``False`` loads faster and in less memory
            (measured on the built-in model by ``benchmarks/session.py``: 3 ms and 9 MiB less), and each run takes up to
            twice as long.

    Raises:
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
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # The arena and the memory pattern keep the largest batch ever seen; a batch job wants flat memory.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    for key, value in _SESSION_CONFIG.items():
        options.add_session_config_entry(key, value)
    providers = [wanted] if wanted == PROVIDERS["cpu"] else [wanted, PROVIDERS["cpu"]]
    content = model if isinstance(model, bytes) else os.fspath(model)
    try:
        session = ort.InferenceSession(content, sess_options=options, providers=providers)
    except Exception as error:
        what = "the model" if isinstance(model, bytes) else os.fspath(model)
        raise BundleError(f"onnxruntime {ort.__version__} cannot load {what}: {first_line(error)}") from error
    if session.get_providers()[0] != wanted:
        raise ProviderUnavailableError(
            f"Execution provider {provider!r} did not come up (onnxruntime fell back to "
            f"{_short_name(session.get_providers()[0])}); check its drivers, or use --provider cpu."
        )
    return session


def providers_of(session: onnxruntime.InferenceSession) -> tuple[str, ...]:
    """Returns the short names of the providers a session really uses, first choice first."""
    return tuple(_short_name(name) for name in session.get_providers())


def _short_name(provider: str) -> str:
    return next((short for short, full in PROVIDERS.items() if full == provider), provider)

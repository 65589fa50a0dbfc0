"""Runs a bundle's network: pixels in, logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .errors import BundleError
from .session import Session, create_session, providers_of

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    from .bundle.bundle import Bundle
    from .bundle.manifest import Manifest

__all__ = ["Network"]


class Network:
    """The session of one variant, checked against the bundle's manifest.

    Attributes:
        providers: Short names of the execution providers really in use, first choice first.
        threads: How many threads a run has.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: str | None = None,
        *,
        provider: str = "cpu",
        threads: int | None = None,
        optimize: bool = True,
    ) -> None:
        """Makes the session; the arguments are those of :func:`~runtime.session.create_session`.

        Raises:
            VariantNotFoundError: If the bundle has no such variant.
            BundleIntegrityError: If its file is missing or was changed.
            BundleError: If onnxruntime cannot load the graph, or it does not fit the manifest.
            ProviderUnavailableError: If the provider is not available.
            OptionError: If ``threads`` is below 1.
        """
        manifest = bundle.manifest
        self._io = manifest.io
        self._classes = 1 if manifest.activation == "single_logit" else len(manifest.labels)
        name = str(bundle.variant_path(variant))

        def make() -> onnxruntime.InferenceSession:
            with bundle.opened_variant(variant) as model:
                return create_session(model, provider=provider, threads=threads, optimize=optimize, name=name)

        self._session = Session(make)
        session = self._session.here
        quantization = bundle.variant(variant).quantization
        dynamic = quantization is not None and quantization.get("mode") in ("dynamic", "unknown")
        self._step = _rows_per_run(session, manifest, dynamic)
        self.providers = providers_of(session)
        self.threads = session.get_session_options().intra_op_num_threads

    def logits(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Runs the network.

        Args:
            pixel_values: float32 (N, 3, H, W), N of 1 or more.

        Returns:
            float32 (N, classes), or (N, 1) for a single logit.

        Raises:
            BundleError: If the network gives another shape.
            Exception: If onnxruntime cannot run it; its errors share no public base class.
        """
        session = self._session.here
        step = self._step or len(pixel_values)
        parts = [
            session.run([self._io.output_name], {self._io.input_name: pixel_values[start : start + step]})[0]
            for start in range(0, len(pixel_values), step)
        ]
        logits = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if np.shape(logits) != (len(pixel_values), self._classes):
            raise BundleError(
                f"the network gives values of shape {np.shape(logits)} for {len(pixel_values)} pictures "
                f"and {self._classes} classes"
            )
        return logits


def _rows_per_run(session: onnxruntime.InferenceSession, manifest: Manifest, dynamic: bool) -> int | None:
    """Compares the graph with the manifest; returns the batch size that every run must have, or ``None`` for any.

    Dynamic quantisation takes the activations' scale from the whole batch, so that an answer would depend on its
    batch-mates (onnxruntime #6851): such graphs get one picture per run.
    """
    io = manifest.io
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name for node in session.get_outputs()}
    if set(inputs) != {io.input_name} or io.output_name not in outputs:
        raise BundleError(
            f"The graph of {manifest.name} does not fit its manifest: its inputs are {sorted(inputs)}, "
            f"its outputs {sorted(outputs)}."
        )
    batch, *_ = inputs[io.input_name].shape
    if isinstance(batch, int) and batch != 1:
        raise BundleError(
            f"The graph of {manifest.name} takes {batch} pictures at a time, no more and no fewer; "
            "export it with a dynamic batch axis."
        )
    return 1 if dynamic or batch == 1 else None

"""Fits a bundle's temperature and thresholds on labelled pictures, and writes them into it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression

from ..runtime.bundle.manifest import MANIFEST_NAME, Decision
from .defaults import MAX_ERROR
from .errors import LabelsError
from .metrics import CLASSES, female_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ..runtime.bundle.bundle import Bundle

__all__ = ["Fit", "Mix", "fit", "fit_temperature", "fit_threshold", "rescale", "write_decision"]

Mix = Literal["found", "even", "both"]
"""Among how many of each class the share of wrong answers is taken: as found, as if there were as many women as men, or
the worse of the two. A class that is rare among the pictures flatters the answer for the other."""

FEWEST = 20
"""A share of fewer answers than this says nothing."""
TEMPERATURES = (0.05, 20.0)
"""Range of temperatures; a model that is right everywhere would otherwise be made infinitely sure."""


@dataclass(frozen=True)
class Fit:
    """A fitted decision rule and what it gives on the pictures it was fitted on.

    Attributes:
        temperature: Divisor of the logits.
        thresholds: Per class, the least probability at which it is answered.
        answered: Share of the pictures of each class that get an answer, right or wrong.
        wrong: Share of the answers given for each class that are wrong.
        nll_before: Mean negative log-likelihood with the bundle's temperature.
        nll_after: The same with the fitted one.
    """

    temperature: float
    thresholds: dict[str, float]
    answered: dict[str, float]
    wrong: dict[str, float]
    nll_before: float
    nll_after: float


def fit(
    probabilities: npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
    *,
    activation: str = "softmax",
    temperature: float = 1.0,
    max_error: float = MAX_ERROR,
    mix: Mix = "found",
) -> Fit:
    """Fits temperature and thresholds.

    Args:
        probabilities: Of each class in the order of ``CLASSES``, (n, 2), in [0, 1].
        truth: Index of the true class, (n,).
        activation: What made them of the logits: ``softmax`` or ``sigmoid``.
        temperature: What the logits had been divided by.
        max_error: Share of wrong answers allowed for each class, above 0 and below 0.5.
        mix: Among how many of each class that share is taken. The temperature is fitted on the pictures as found, or
            else with the same weight for both classes.

    Raises:
        LabelsError: If a class is missing, the model is no better than chance, or no threshold meets ``max_error``.
    """
    counts = np.bincount(truth, minlength=2)
    if counts.min() == 0:
        raise LabelsError(f"No picture is labelled {CLASSES[int(counts.argmin())]}; calibration needs both classes.")
    even = (len(truth) / (2 * counts))[truth]
    weights = np.ones(len(truth)) if mix == "found" else even
    fitted = fit_temperature(probabilities, truth, activation, temperature, weights)
    scaled = rescale(probabilities, activation, temperature, fitted)
    chosen = scaled.argmax(axis=1)
    score = scaled.max(axis=1)
    mixes = {"found": [np.ones(len(truth))], "even": [even], "both": [np.ones(len(truth)), even]}[mix]
    thresholds = {
        name: fit_threshold(
            score[chosen == k], (truth != k)[chosen == k], [each[chosen == k] for each in mixes], max_error, name
        )
        for k, name in enumerate(CLASSES)
    }
    given = score >= np.array([thresholds[name] for name in CLASSES])[chosen]
    return Fit(
        temperature=fitted,
        thresholds=thresholds,
        answered={name: float(given[truth == k].mean()) for k, name in enumerate(CLASSES)},
        wrong={
            name: float(np.average((truth != k)[given & (chosen == k)], weights=weights[given & (chosen == k)]))
            for k, name in enumerate(CLASSES)
        },
        nll_before=_nll(probabilities, truth, weights),
        nll_after=_nll(scaled, truth, weights),
    )


def fit_temperature(
    probabilities: npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
    activation: str,
    now: float,
    weights: npt.NDArray[np.float64],
) -> float:
    """Returns the temperature of greatest likelihood (Guo et al. 2017, arXiv 1706.04599).

    A logistic regression without intercept on the logits has one coefficient, and that is its inverse.

    Raises:
        LabelsError: If the model is no better than chance on these pictures.
    """
    logits = _logits(probabilities, activation, now)
    if activation == "sigmoid":  # one binary problem for each class
        features = logits.reshape(-1, 1)
        target = np.eye(2)[truth].reshape(-1)
        weights = np.repeat(weights, 2)
    else:  # two classes that share one unit of probability: the log-odds of the first
        features = logits[:, :1]
        target = (truth == 0).astype(float)
    regression = LogisticRegression(C=1e12, fit_intercept=False, tol=1e-8, max_iter=1000)
    inverse = float(regression.fit(features, target, sample_weight=weights).coef_[0, 0])
    if inverse <= 0:
        raise LabelsError(
            "On these pictures the model is no better than chance; are the labels the wrong way round? "
            "Nothing was written."
        )
    return float(np.clip(1 / inverse, *TEMPERATURES))


def fit_threshold(
    score: npt.NDArray[np.float64],
    wrong: npt.NDArray[np.bool_],
    mixes: Sequence[npt.NDArray[np.float64]],
    max_error: float,
    name: str,
) -> float:
    """Returns the lowest threshold at which at most ``max_error`` of the answers for one class are wrong.

    Args:
        score: Probability of the class where it is the most probable one.
        wrong: Whether that answer is wrong.
        mixes: Weights of the pictures; the share is kept with each of them.
        max_error: Share allowed.
        name: The class, for the message.

    Raises:
        LabelsError: If no threshold leaves :data:`FEWEST` answers that are right often enough.
    """
    order = np.argsort(-score, kind="stable")
    score = score[order]
    error = np.max([np.cumsum((wrong * weights)[order]) / np.cumsum(weights[order]) for weights in mixes], axis=0)
    # Pictures with the same score are answered together or not at all.
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1) if len(score) else np.array([], dtype=int)
    good = last[(error[last] <= max_error) & (last + 1 >= FEWEST)]
    if not len(good):
        raise LabelsError(
            f"No threshold that leaves at least {FEWEST} answers keeps the wrong ones for {name} below {max_error:.0%} "
            "on these pictures. Nothing was written."
        )
    end = int(good[-1])
    if end == len(score) - 1:
        return 0.5 if score[end] >= 0.5 else 0.0  # everything may be answered
    return float((score[end] + score[end + 1]) / 2)


def rescale(
    probabilities: npt.NDArray[np.float64], activation: str, now: float, temperature: float
) -> npt.NDArray[np.float64]:
    """Returns the probabilities that another temperature would give, (n, 2)."""
    scaled = 0.5 * (1 + np.tanh(_logits(probabilities, activation, now) / temperature / 2))  # the sigmoid
    return scaled if activation == "sigmoid" else np.stack([scaled[:, 0], 1 - scaled[:, 0]], axis=1)


def write_decision(bundle: Bundle, decision: Decision) -> Path:
    """Writes a decision rule into the bundle's manifest, whole or not at all; nothing else of it changes.

    Raises:
        LabelsError: If the model has no manifest (another tool exported it), or its folder cannot be written.
    """
    target = bundle.path / MANIFEST_NAME
    if not target.is_file():
        raise LabelsError(
            f"{bundle.path} has no {MANIFEST_NAME} to write the rule into; gender-classifier models add makes one."
        )
    text = replace(bundle.manifest, decision=decision).to_json()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{MANIFEST_NAME}.", dir=bundle.path)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(target.stat().st_mode & 0o777)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LabelsError(f"{target} cannot be written ({error.strerror}); the bundle is as it was.") from error
    return target


def _logits(probabilities: npt.NDArray[np.float64], activation: str, temperature: float) -> npt.NDArray[np.float64]:
    """The log-odds of each class, (n, 2), that the temperature had divided."""
    logarithm = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    if activation == "sigmoid":
        complement = np.log(np.maximum(1 - probabilities, np.finfo(np.float64).eps))
        both: npt.NDArray[np.float64] = temperature * (logarithm - complement)
        return both
    # What one class lacks to one is the other; 1 - p would lose its digits near one.
    odds: npt.NDArray[np.float64] = temperature * (logarithm[:, 0] - logarithm[:, 1])
    return np.stack([odds, -odds], axis=1)


def _nll(
    probabilities: npt.NDArray[np.float64], truth: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
) -> float:
    female = np.clip(female_share(probabilities), 1e-12, 1 - 1e-12)
    return float(np.average(-np.log(np.where(truth == 0, female, 1 - female)), weights=weights))

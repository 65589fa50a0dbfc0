"""The average of networks that grew from the same weights: often better than each, at no cost when it runs.

Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
inference time".
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["average_weights", "refresh_statistics"]


def average_weights(models: Sequence[Any]) -> Any:
    """A network whose weights are the mean of those of networks of one shape.

    Args:
        models: One or more; none is changed. Counters are taken from the first.

    Returns:
        A new network. Its batch norms still need :func:`refresh_statistics`: the mean of statistics is not the
        statistics of the mean.
    """
    mean = copy.deepcopy(models[0])
    states = [model.state_dict() for model in models]
    with torch.no_grad():
        for name, value in mean.state_dict().items():
            if value.dtype.is_floating_point:
                value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return mean


def refresh_statistics(model: Any, batches: Iterable[Tensor]) -> None:
    """Sets the running mean and variance of batch norms to those of the batches, each batch counting the same.

    Args:
        model: Changed in place; its mode stays as it was.
        batches: Normalised pictures (n, 3, h, w), as in training.
    """
    torch.optim.swa_utils.update_bn(batches, model)

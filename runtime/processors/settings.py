"""Reads the settings of one processor class, and refuses in a sentence what it cannot honour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedProcessorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .transforms import Size

__all__ = ["MAX_EDGE", "Settings", "Triple"]

Triple = tuple[float, float, float]
"""One number per channel: red, green, blue."""

MAX_EDGE = 8192
"""Longest edge, in pixels, that a configuration may ask for: far beyond any classifier, and a square of it is within
:data:`.transforms.MAX_PIXELS`."""

_SIZE_KEYS = (
    {"height", "width"},
    {"shortest_edge"},
    {"shortest_edge", "longest_edge"},
    {"longest_edge"},
    {"max_height", "max_width"},
)
"""The forms of a size that transformers knows (``VALID_SIZE_DICT_KEYS``)."""


@dataclass(frozen=True)
class Settings:
    """Settings by key: what the configuration says, else the default of the class.

    Attributes:
        name: The class, for messages.
        values: The merged settings.
    """

    name: str
    values: Mapping[str, Any]

    def refuse(self, key: str, why: str) -> UnsupportedProcessorError:
        """Returns the error that names the class and the key."""
        return UnsupportedProcessorError(
            f"the image processor {self.name} cannot be reproduced: its setting {key} {why}"
        )

    def flag(self, key: str) -> bool:
        """Returns a switch."""
        value = self.values[key]
        if not isinstance(value, bool):
            raise self.refuse(key, f"is {value!r}, not true or false")
        return value

    def number(self, key: str) -> float:
        """Returns a finite number."""
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
            raise self.refuse(key, f"is {value!r}, not a number")
        return float(value)

    def share(self, key: str) -> float | None:
        """Returns a share above 0, or ``None``."""
        if self.values[key] is None:
            return None
        value = self.number(key)
        if value <= 0:
            raise self.refuse(key, f"is {value!r}, not above zero")
        return value

    def whole(self, key: str) -> int:
        """Returns a whole number of pixels, at least one."""
        return self._edge(key, self.values[key])

    def resample(self, key: str = "resample") -> int:
        """Returns Pillow's number of a filter."""
        value = self.values[key]
        if isinstance(value, bool) or value not in (0, 1, 2, 3, 4, 5):
            raise self.refuse(key, f"is {value!r}, not one of Pillow's filters 0 to 5")
        return int(value)

    def triple(self, key: str, *, divisor: bool = False) -> Triple:
        """Returns three numbers, from three or from one for all channels.

        Args:
            key: The setting.
            divisor: Whether zero is refused.
        """
        value = self.values[key]
        numbers = list(value) if isinstance(value, (list, tuple)) else [value] * 3
        good = len(numbers) == 3 and all(
            isinstance(n, (int, float)) and not isinstance(n, bool) and _finite(n) for n in numbers
        )
        if not good:
            raise self.refuse(key, f"is {value!r}, not one number or three")
        if divisor and 0 in numbers:
            raise self.refuse(key, f"is {value!r}, and pixels would be divided by zero")
        return float(numbers[0]), float(numbers[1]), float(numbers[2])

    def size(self, key: str, *, square: bool, width_first: bool = False) -> dict[str, int]:
        """Returns a size in one of transformers' forms.

        Args:
            key: The setting.
            square: Whether a single integer means both edges (else the shorter edge).
            width_first: Whether a list is (width, height), as in Donut.
        """
        value = self.values[key]
        if isinstance(value, int) and not isinstance(value, bool):
            edge = self._edge(key, value)
            return {"height": edge, "width": edge} if square else {"shortest_edge": edge}
        if isinstance(value, (list, tuple)):
            if len(value) != 2:
                raise self.refuse(key, f"is {value!r}, not two numbers")
            height, width = reversed(value) if width_first else value
            return {"height": self._edge(key, height), "width": self._edge(key, width)}
        if not hasattr(value, "keys") or set(value) not in _SIZE_KEYS:
            raise self.refuse(key, f"is {value!r}, which is not a form of a size that transformers knows")
        return {name: self._edge(key, edge) for name, edge in value.items()}

    def exact_size(self, key: str, *, width_first: bool = False) -> Size:
        """Returns a size that must name its height and width (a single integer means both)."""
        size = self.size(key, square=True, width_first=width_first)
        if "height" not in size:
            raise self.refuse(key, f"is {self.values[key]!r}, and this class takes height and width only")
        return size["height"], size["width"]

    def _edge(self, key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_EDGE:
            raise self.refuse(key, f"has the value {value!r}, not a whole number of pixels from 1 to {MAX_EDGE}")
        return value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False

"""Reads JSON that may be broken or hostile into frozen dataclasses, and writes them back.

Every refusal is a sentence that names the field. An unknown field, a missing one and a wrong type are errors, so that a
reader never guesses at what a newer writer meant. Depth and numbers are bounded before anything is built from them.
"""

from __future__ import annotations

import functools
import json
import math
import types
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["JSONFormatError", "build", "excerpt", "parse", "plain"]

T = TypeVar("T")

MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**63 - 1
"""Largest whole number, of either sign: what a file size, a time in nanoseconds or an inode can be."""


class JSONFormatError(ValueError):
    """A text is not JSON, or not of the form that was asked for; the message is a sentence without its full stop."""


def parse(text: str | bytes, *, lone_surrogates: bool = False) -> Any:
    """Parses JSON text.

    Args:
        text: The text, or its bytes in UTF-8, 16 or 32. The caller bounds its length.
        lone_surrogates: Accept texts that no encoding can write, by which Python names files whose names are not
            valid UTF-8.

    Raises:
        JSONFormatError: If it is not JSON, nested more than :data:`MAX_DEPTH` deep, or holds a number that is not
            finite or beyond :data:`MAX_INTEGER`, or a NUL character.
    """
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except JSONFormatError:
        raise
    except RecursionError:
        raise JSONFormatError("it is nested too deep") from None
    except ValueError as error:  # json's own, and text that is not UTF-8
        raise JSONFormatError(f"it is not valid JSON ({error})") from error
    _check(value, MAX_DEPTH, lone_surrogates)
    return value


def build(cls: type[T], value: object) -> T:
    """Builds a dataclass from a parsed JSON object, field by field, after the types of its fields.

    Supported are dataclasses, ``str``, ``int``, ``float``, ``bool``, ``Any``, ``X | None``, ``Literal``,
    ``tuple[X, ...]`` and ``dict[str, X]``.

    Args:
        cls: The dataclass. A ``ValueError`` of its ``__post_init__`` becomes a sentence with the field's name.
        value: From :func:`parse`.

    Raises:
        JSONFormatError: If the object does not fit; the message names the field.
    """
    return _dataclass(cls, value, "")


def plain(value: Any) -> Any:
    """Turns dataclasses and tuples into what ``json.dumps`` takes."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def excerpt(value: object) -> str:
    """Returns a value for a message: its ``repr``, of bounded length."""
    shown = repr(value[:100] if isinstance(value, (str, list)) else value)
    return shown if len(shown) <= 100 else shown[:97] + "..."


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(number := int(digits)) > MAX_INTEGER:
        raise JSONFormatError(f"the number {excerpt(digits)} is out of range")
    return number


def _finite(digits: str) -> float:
    number = float(digits)  # of NaN and Infinity, which json knows, too
    if not math.isfinite(number):
        raise JSONFormatError(f"{excerpt(digits)} is not a finite number")
    return number


def _check(value: Any, depth: int, lone_surrogates: bool) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise JSONFormatError(f"the text {excerpt(value)} contains a NUL character")
        if not lone_surrogates and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise JSONFormatError(f"the text {excerpt(value)} contains half of a character")
    elif isinstance(value, (dict, list)):
        if not depth:
            raise JSONFormatError("it is nested too deep")
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(item, depth - 1, lone_surrogates)


def _value(hint: Any, value: Any, name: str) -> Any:
    """Checks a value against a type hint and returns it as that type."""
    if is_dataclass(hint):
        return _dataclass(hint, value, name)  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _value(next(kind for kind in get_args(hint) if kind is not type(None)), value, name)
    if origin is Literal:
        if value not in (choices := get_args(hint)):
            raise JSONFormatError(f"{name} is {excerpt(value)}, not one of {', '.join(map(repr, choices))}")
        return value
    if origin in (tuple, dict):
        return _container(origin, get_args(hint), value, name)
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise JSONFormatError(f"{name} is not {_NOUNS[hint]}")
    return value


def _container(kind: type, hints: tuple[Any, ...], value: Any, name: str) -> Any:
    if kind is tuple:
        if not isinstance(value, list):
            raise JSONFormatError(f"{name} is not a list")
        return tuple(_value(hints[0], item, f"{name}[{index}]") for index, item in enumerate(value))
    if not isinstance(value, dict):
        raise JSONFormatError(f"{name} is not an object")
    return {key: _value(hints[1], item, f"{name}.{excerpt(key)[1:-1]}") for key, item in value.items()}


_NOUNS: Final = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _dataclass(cls: type[T], value: object, name: str) -> T:
    what = name or "it"
    if not isinstance(value, dict):
        raise JSONFormatError(f"{what} is not an object")
    kinds, needed = _fields_of(cls)  # type: ignore[arg-type]
    if unknown := value.keys() - kinds.keys():
        raise JSONFormatError(f"{what} has an unknown field: {_listed(unknown)}")
    if missing := needed - value.keys():
        raise JSONFormatError(f"{what} lacks a field: {_listed(missing)}")
    built = {key: _value(kinds[key], item, f"{name}.{key}".lstrip(".")) for key, item in value.items()}
    try:
        return cls(**built)
    except ValueError as error:
        raise JSONFormatError(f"{name}: {error}" if name else str(error)) from error


@functools.cache
def _fields_of(cls: type) -> tuple[dict[str, Any], frozenset[str]]:
    """Returns the types of a dataclass's fields by name, and the names of those that have no default."""
    hints = get_type_hints(cls)
    kinds = {field.name: hints[field.name] for field in fields(cls)}
    return kinds, frozenset(
        field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING
    )


def _listed(names: Iterable[str]) -> str:
    first, *others = sorted(names)[:6]
    return ", ".join(excerpt(name)[1:-1] for name in (first, *others[:4])) + (", ..." if len(others) > 4 else "")

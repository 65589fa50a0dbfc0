"""Makes text from anywhere safe to print: names, labels, notes, messages of decoders."""

from __future__ import annotations

__all__ = ["printable", "printable_lines"]


def printable(text: str) -> str:
    r"""Returns text as one line that cannot steer a terminal; applied twice it changes nothing more.

    Control characters, line ends, marks that turn the direction of writing, and lone surrogates become escapes
    (``\n``, ``\x1b``, ``\u202e``); a surrogate that stands for a byte of a path (PEP 383) becomes that byte's.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def printable_lines(text: str) -> str:
    """Returns a message of one or more lines, each safe to print.

    All but the first are indented, so that none that a file brought can pass for one of this program's.
    """
    return "\n  ".join(map(printable, text.split("\n")))


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")

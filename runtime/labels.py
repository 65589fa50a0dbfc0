"""Reads what a model's own label words mean.

It imports nothing heavy: the command line reads it to build its help.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .errors import OptionError, UnknownLabelsError, UnsupportedHeadError

if TYPE_CHECKING:
    from .bundle.manifest import Label

    Activation = Literal["softmax", "sigmoid", "single_logit"]

__all__ = [
    "FEMALE",
    "MALE",
    "meaning_of",
    "meanings",
    "parse_label_map",
    "raw_labels",
    "read_head",
]

FEMALE = "female"
MALE = "male"

# Words of the labels seen on the Hub: "woman", "women", "female", "Female ♀", "female portrait", "Human Female",
# "random woman" and their counterparts. "female" contains "male" and "woman" contains "man", so labels are compared
# word by word, and the woman's words come first.
_WORDS: tuple[tuple[str, frozenset[str]], ...] = (
    (FEMALE, frozenset({"female", "females", "woman", "women"})),
    (MALE, frozenset({"male", "males", "man", "men"})),
)
# Words that say nothing about gender and may stand beside one of the above. Anything else makes a label unknown:
# "male child" or "not female" must not pass for "male" and "female".
_NEUTRAL = frozenset({"face", "human", "person", "portrait", "random"})
_MOST_LABELS = 1000  # names are made for so many at most, only to say that they are not two
_LONGEST_LABEL = 200
_ATTRIBUTES = frozenset({"age", "ages", "gender", "sex", "year", "years"})


def _words(raw: str) -> list[str]:
    """Splits a label into lower-case words; signs such as ``♀`` and underscores separate words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", raw)
    return [word for word in re.split(r"[\W_]+", spaced.casefold()) if word]


def meaning_of(raw: str) -> str | None:
    """Returns ``female`` or ``male`` for a label word that is known, else ``None``."""
    words = set(_words(raw)) - _NEUTRAL
    for meaning, known in _WORDS:
        if words and words <= known:
            return meaning
    return None


def raw_labels(id2label: Mapping[Any, str]) -> tuple[str, ...]:
    """Returns the labels of a transformers configuration in the order of their indices.

    Args:
        id2label: Index to label. The keys are strings in JSON (``{"0": "Female"}``) and integers in transformers.

    Raises:
        UnsupportedHeadError: If the keys are not 0, 1, ... n - 1, or a label is longer than any word for a class.
    """
    try:
        by_index = {int(key): str(label) for key, label in id2label.items()}
    except (TypeError, ValueError):
        raise UnsupportedHeadError(
            f"id2label has the keys {_quoted(list(id2label))}; they must be whole numbers"
        ) from None
    if sorted(by_index) != list(range(len(id2label))):
        raise UnsupportedHeadError(
            f"id2label has the keys {_quoted(list(id2label))}; they must count up from 0 without a gap"
        )
    if any(len(label) > _LONGEST_LABEL for label in by_index.values()):
        raise UnsupportedHeadError(f"id2label has a label of more than {_LONGEST_LABEL} characters")
    return tuple(by_index[index] for index in range(len(by_index)))


def meanings(id2label: Mapping[Any, str], label_map: Mapping[str, str] | None = None) -> tuple[Label, ...]:
    """Reads what each class of a binary gender head means.

    The order is read from the indices and never assumed: some published models put men first.

    Args:
        id2label: Index to label, as in ``config.json``.
        label_map: Meaning (``female`` or ``male``) by the model's own label, for words that are not in the table.

    Returns:
        The two labels in index order.

    Raises:
        UnsupportedHeadError: If the classes are not exactly one for women and one for men. The message names them.
        OptionError: If ``label_map`` names a label that the model does not have, or another meaning.
    """
    from .bundle.manifest import Label

    raws = raw_labels(id2label)
    given = dict(label_map or {})
    for raw, meaning in given.items():
        if raw not in raws:
            raise OptionError(f"The label map names {raw!r}, which is not among the model's labels: {_quoted(raws)}")
        if meaning not in (FEMALE, MALE):
            raise OptionError(f"The label map gives {raw!r} the meaning {meaning!r}; it must be {FEMALE} or {MALE}")
    found = [given.get(raw) or meaning_of(raw) for raw in raws]
    if len(raws) != 2:
        raise UnsupportedHeadError(
            f"the model has {len(raws)} class{'' if len(raws) == 1 else 'es'} ({_quoted(raws)}); "
            "a gender classifier has exactly two, one for women and one for men"
        )
    attributes = [raw for raw in raws if raw not in given and _ATTRIBUTES & set(_words(raw))]
    if attributes:
        raise UnsupportedHeadError(
            f"the model's outputs are {_quoted(raws)}: {_quoted(attributes)} is a quantity, not a class. "
            "A head that measures several attributes is no gender classifier"
        )
    unknown = [raw for raw, meaning in zip(raws, found, strict=True) if meaning is None]
    if unknown:
        raise UnknownLabelsError(
            f"the model's classes are {_quoted(raws)}; what {_quoted(unknown)} means is not known. "
            "If one class is women and the other men, say so with the label map "
            f"'{raws[0]}={FEMALE},{raws[1]}={MALE}' (or the other way round)"
        )
    if found[0] == found[1]:
        raise UnsupportedHeadError(
            f"the model's classes {_quoted(raws)} both mean {found[0]}; one must be women, the other men"
        )
    return tuple(Label(raw, str(meaning)) for raw, meaning in zip(raws, found, strict=True))


def read_head(
    config: Mapping[str, Any], label_map: Mapping[str, str] | None = None
) -> tuple[tuple[Label, ...], Activation]:
    """Reads the labels and the activation of a gender head from a ``config.json``.

    ``problem_type`` decides the activation as transformers' pipeline does: softmax unless it says
    ``multi_label_classification`` (a sigmoid per class); one output is a single logit, its sigmoid the probability
    of its label, and what remains belongs to the other gender.

    Args:
        config: The parsed ``config.json``.
        label_map: As for :func:`meanings`.

    Returns:
        The two labels in the model's order, and the activation.

    Raises:
        UnsupportedHeadError: If the head is a regression, or not exactly {woman, man}.
        OptionError: If ``label_map`` does not fit.
    """
    from .bundle.manifest import Label

    problem = config.get("problem_type")
    if problem == "regression":
        raise UnsupportedHeadError("the model's problem_type is regression: its outputs are quantities, not classes")
    if problem not in (None, "single_label_classification", "multi_label_classification"):
        raise UnsupportedHeadError(f"the model's problem_type {problem!r} is not known")
    id2label = config.get("id2label") or _default_labels(config.get("num_labels"))
    if not isinstance(id2label, Mapping):
        raise UnsupportedHeadError("the model's id2label is not a table of labels")
    if len(id2label) != 1:
        labels = meanings(id2label, label_map)
        return labels, "sigmoid" if problem == "multi_label_classification" else "softmax"
    (raw,) = raw_labels(id2label)
    other = f"not {raw}"
    meaning = (label_map or {}).get(raw) or meaning_of(raw)
    opposite = MALE if meaning == FEMALE else FEMALE
    if meaning is None:
        raise UnknownLabelsError(
            f"the model has a single output, {raw!r}, and what it means is not known. If its sigmoid is the "
            f"probability of one gender, say so with the label map '{raw}={FEMALE}' (or {MALE})"
        )
    return (Label(other, opposite), Label(raw, meaning)), "single_logit"


def _default_labels(count: object) -> dict[int, str]:
    """Returns the names that transformers gives to labels without one; two unless their number is stated."""
    if count is None:
        count = 2
    if not isinstance(count, int) or not 0 <= count <= _MOST_LABELS:
        raise UnsupportedHeadError("the model's num_labels is not a number of classes")
    return {index: f"LABEL_{index}" for index in range(count)}


def parse_label_map(text: str) -> dict[str, str]:
    """Reads ``RAW=female,RAW2=male`` as the command line takes it.

    Raises:
        OptionError: If it is not of that form.
    """
    pairs: dict[str, str] = {}
    for part in text.split(","):
        raw, sign, meaning = part.rpartition("=")
        raw, meaning = raw.strip(), meaning.strip()
        if not sign or not raw or meaning not in (FEMALE, MALE) or raw in pairs:
            raise OptionError(f"the label map {text!r} is not of the form RAW={FEMALE},RAW2={MALE} (each label once)")
        pairs[raw] = meaning
    return pairs


def _quoted(words: Sequence[object]) -> str:
    shown = [repr(word) if len(repr(word)) <= 100 else f"{repr(word)[:97]}..." for word in words[:10]]
    return ", ".join(shown) + (f" and {len(words) - 10} more" if len(words) > 10 else "")

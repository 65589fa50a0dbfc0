"""Holds the words and sentences that people read about pictures, English and French side by side.

Machine formats never use them, and errors are in English.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..runtime.errors import OptionError

__all__ = ["CATALOGUE", "LANGUAGES", "counted", "display", "phrase"]

LANGUAGES: Final = ("en", "fr")

CATALOGUE: Final[Mapping[str, tuple[str, str]]] = {
    # An answer, in one word.
    "female": ("woman", "femme"),
    "male": ("man", "homme"),
    "uncertain": ("uncertain", "incertain"),
    "mixed": ("mixed", "mixte"),
    "no_face": ("no face", "aucun visage"),
    # People of one picture; before the bar stands the form for one, behind it that for several.
    "people.female": ("{n} woman|{n} women", "{n} femme|{n} femmes"),
    "people.male": ("{n} man|{n} men", "{n} homme|{n} hommes"),
    "people.uncertain": ("{n} uncertain", "{n} incertain|{n} incertains"),
    # Pictures of a run. In French they are feminine ("une image incertaine").
    "pictures": ("{n} picture|{n} pictures", "{n} image|{n} images"),
    "pictures.female": ("{n} woman|{n} women", "{n} femme|{n} femmes"),
    "pictures.male": ("{n} man|{n} men", "{n} homme|{n} hommes"),
    "pictures.mixed": ("{n} mixed", "{n} mixte|{n} mixtes"),
    "pictures.uncertain": ("{n} uncertain", "{n} incertaine|{n} incertaines"),
    "pictures.no_face": ("{n} without a face", "{n} sans visage"),
    "pictures.failed": ("{n} failed ({reasons})", "{n} en échec ({reasons})"),
    "pictures.held": ("; {n} of them held already", " ; dont {n} déjà connue|; dont {n} déjà connues"),
    # Why a picture has no answer.
    "failed.not_found": ("{n} not found", "{n} introuvable|{n} introuvables"),
    "failed.permission_denied": ("{n} not permitted", "{n} interdite|{n} interdites"),
    "failed.not_a_file": ("{n} not a file", "{n} qui n'est pas un fichier|{n} qui ne sont pas des fichiers"),
    "failed.unsupported_format": ("{n} of an unsupported format", "{n} de format non pris en charge"),
    "failed.unreadable": ("{n} unreadable", "{n} illisible|{n} illisibles"),
    "failed.model_error": (
        "{n} on which the model failed",
        "{n} sur laquelle le modèle a échoué|{n} sur lesquelles le modèle a échoué",
    ),
    "failed.too_large": ("{n} too large", "{n} trop grande|{n} trop grandes"),
    # Pieces of lines.
    "colon": (": ", " : "),
    "percent": ("{value}%", "{value} %"),
    "of_people": ("(of {n} people)", "(de {n} personnes)"),
    "face_at": ("({width} x {height} px at {x}, {y})", "({width} x {height} px en {x}, {y})"),
    # Sentences on stderr.
    "disclaimer": (
        "A guess at how a person looks, not at who they are; it can be wrong.",
        "Une supposition sur l'apparence, pas sur l'identité d'une personne ; elle peut être fausse.",
    ),
    "no_face_hint": (
        "No face was found in {n} picture; --no-faces classifies whole pictures."
        "|No face was found in {n} pictures; --no-faces classifies whole pictures.",
        "Aucun visage n'a été trouvé dans {n} image ; --no-faces classe les images entières."
        "|Aucun visage n'a été trouvé dans {n} images ; --no-faces classe les images entières.",
    ),
    "larger_model": (
        "The built-in model is small. To bring a larger one from the Hub: {command} && gender-classifier export",
        "Le modèle intégré est petit. Pour en obtenir un plus grand du Hub : {command} && gender-classifier export",
    ),
    "chosen.variable": (
        "Using the model {model}, which GENDER_CLASSIFIER_MODEL names.",
        "Le modèle utilisé est {model}, que nomme GENDER_CLASSIFIER_MODEL.",
    ),
    "chosen.exported": (
        "Using the model {model}, the one exported last.",
        "Le modèle utilisé est {model}, le dernier exporté.",
    ),
    "left_out": (
        "{n} file that is not a photograph was left out ({examples})."
        "|{n} files that are not photographs were left out ({examples}).",
        "{n} fichier qui n'est pas une photographie a été laissé de côté ({examples})."
        "|{n} fichiers qui ne sont pas des photographies ont été laissés de côté ({examples}).",
    ),
}
"""By key, the English and the French form."""


def phrase(language: str, key: str, **values: object) -> str:
    """Returns an entry of the catalogue that has one form, filled in.

    Raises:
        OptionError: If the language is not one of :data:`LANGUAGES`.
    """
    return _forms(language, key)[0].format(**values)


def counted(language: str, key: str, n: int, **values: object) -> str:
    """Returns an entry with its number, in the singular or the plural: English says "0 men", French "0 homme".

    Of a label that the catalogue does not have (a bundle may have its own), the word stands as it is.

    Raises:
        OptionError: If the language is not one of :data:`LANGUAGES`.
    """
    if key not in CATALOGUE:
        return f"{n} {key.partition('.')[2]}"
    forms = _forms(language, key)
    one = n == 1 or (language == "fr" and n == 0)
    return forms[0 if one else -1].format(n=n, **values)


def display(label: str, language: str = "en") -> str:
    """Returns the word for an answer; a label that the catalogue does not have is shown as it is.

    Raises:
        OptionError: If the language is not one of :data:`LANGUAGES`.
    """
    return phrase(language, label) if label in CATALOGUE else label


def _forms(language: str, key: str) -> list[str]:
    if language not in LANGUAGES:
        raise OptionError(f"{language!r} is not one of the languages {', '.join(LANGUAGES)}")
    return CATALOGUE[key][LANGUAGES.index(language)].split("|")

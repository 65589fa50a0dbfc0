"""Parses ``gender-classifier export``, exports, and says what went wrong in a sentence.

Exit codes: 0 the bundle is there; 1 it could not be made; 2 wrong use.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.bundle.manifest import Framing
from ..runtime.errors import ClassifierError, OptionError
from ..runtime.escaping import printable
from ..runtime.installing import install_command
from ..runtime.parser import Parser
from ..runtime.threads import default_threads
from .checkpoint import DEFAULT_MODEL, DEFAULT_REVISION
from .gate import VariantLimits
from .progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build_parser", "main"]


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of ``gender-classifier export``."""
    limits = VariantLimits()
    parser = Parser(
        prog="gender-classifier export",
        description="Turn a Hugging Face image-classification checkpoint into a verified ONNX bundle.",
        epilog="A bundle is published only when its answers equal those of the original in PyTorch, from picture file "
        "to probabilities.",
    )
    parser.add_argument(
        "model", nargs="?", default=DEFAULT_MODEL, metavar="MODEL",
        help=f"checkpoint folder or Hub model ORG/NAME (default: {DEFAULT_MODEL} at {DEFAULT_REVISION[:7]})",
    )  # fmt: skip
    parser.add_argument("--revision", metavar="SHA", help="commit of a Hub model; a branch or tag is resolved to one")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder that holds bundles by name (default: the model folder)"
    )
    parser.add_argument("--name", help="name of the bundle (default: the model's own)")
    parser.add_argument(
        "--framing", choices=("eyes", "box", "image"),
        help="what the model was trained on: faces with level eyes, squares around a face box, whole pictures "
        "(default: what is known of the model, else image)",
    )  # fmt: skip
    parser.add_argument("--margin", type=float, help="with eyes or box: share added around a face box (default: 0.25)")
    parser.add_argument("--eye-distance", type=float, help="with eyes: their distance, of the side (default: 0.3)")
    parser.add_argument("--eye-line", type=float, help="with eyes: height from the top, of the side (default: 0.4)")
    parser.add_argument(
        "--label-map",
        metavar="RAW=female,RAW2=male",
        help="what the model's labels mean, where the words are not known",
    )
    parser.add_argument(
        "--variants",
        default="int8,q4",
        metavar="NAMES",
        help="quantised variants to try (default: int8,q4; '' for none)",
    )
    parser.add_argument(
        "--default-variant", metavar="NAME", help="variant loaded unless told otherwise (default: by measurement)"
    )
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="verify on these pictures, not on the drawn ones")
    parser.add_argument("--calibration", type=Path, metavar="DIR", help="pictures that calibrate a static int8")
    parser.add_argument(
        "--tolerance", type=float, default=limits.tolerance, metavar="P",
        help="largest probability difference of fp32 (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--max-difference", type=float, default=limits.difference, metavar="P",
        help="largest probability difference of a quantised variant (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--max-flips", type=float, default=limits.flips, metavar="SHARE",
        help="share of decisions that a quantised variant may flip (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--max-latency", type=float, default=limits.latency, metavar="RATIO",
        help="largest latency of a quantised variant relative to fp32 (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--exclusion-rounds", type=int, default=limits.exclusion_rounds, metavar="N",
        help="groups of sensitive nodes that may stay fp32 to meet these limits (default: %(default)d)",
    )  # fmt: skip
    parser.add_argument("--push", metavar="ORG/NAME", help="upload the finished bundle to the Hub")
    parser.add_argument("--private", action="store_true", help="make a repository that --push creates private")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    # Before any heavy package is imported: transformers and the Hub's client read them then.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # torch would count the host's cores, also in a container that may use one of them.
    os.environ.setdefault("OMP_NUM_THREADS", str(default_threads()))
    try:
        _run(given)
    except OptionError as error:
        parser.error(str(error))
    except ClassifierError as error:
        say(str(error))
        return 1
    except ModuleNotFoundError as error:
        needed = install_command("export")
        say(f"the package {error.name} is missing. To install what exports: {needed}")
        return 1
    except OSError as error:
        say(_os_sentence(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing was published.")
        return 130
    return 0


def _framing(given: argparse.Namespace) -> Framing | None:
    numbers = {"margin": given.margin, "eye_distance": given.eye_distance, "eye_line": given.eye_line}
    if given.framing is not None:
        return Framing.of(given.framing, **numbers)
    if any(value is not None for value in numbers.values()):
        raise OptionError("--margin, --eye-distance and --eye-line need --framing.")
    return None


def _run(given: argparse.Namespace) -> None:
    import huggingface_hub  # noqa: F401 - the Hub client alone would name the extra [hub], of too little use here

    from ..runtime.labels import parse_label_map
    from .exporter import ExportOptions, export_model

    options = ExportOptions(
        revision=given.revision,
        output=given.output,
        name=given.name,
        framing=_framing(given),
        label_map=parse_label_map(given.label_map) if given.label_map else None,
        variants=tuple(part.strip() for part in given.variants.split(",") if part.strip()),
        default_variant=given.default_variant,
        pictures=given.pictures,
        calibration=given.calibration,
        limits=VariantLimits(
            tolerance=given.tolerance,
            difference=given.max_difference,
            flips=given.max_flips,
            latency=given.max_latency,
            exclusion_rounds=given.exclusion_rounds,
        ),
    )
    folder = export_model(given.model, options)
    if given.push:
        from . import hub

        address = hub.push(folder, given.push, private=given.private)
        say(f"uploaded to {address}")
    print(printable(str(folder)))


def _os_sentence(error: OSError) -> str:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full; nothing was published."
    return f"{error}. Nothing was published."

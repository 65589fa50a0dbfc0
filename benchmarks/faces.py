"""Measures the face detector: faces against a hand count, recall against cost, time, and what it does to accuracy.

    python benchmarks/faces.py count --detector FILE --photos DIR
    python benchmarks/faces.py sizes --detector FILE --photos DIR
    python benchmarks/faces.py limits --detector FILE --photos DIR
    python benchmarks/faces.py time --detector FILE --photos DIR --model NAME
    python benchmarks/faces.py accuracy --detector FILE --model NAME --data DIR [DIR ...]

``--write FILE`` puts the tables between that command's marks in a page (``docs/faces.md``) instead of printing them.

The photographs are not part of this repository; ``faces_hand_count.json`` beside this file holds where a person saw
faces in them: ``clear`` ones, and ``hard`` ones (hidden, turned away, blurred or in the dark), which are neither missed
nor false when they are found or not. ``--data`` is a folder with pictures and ``labels.csv`` (columns ``file``,
``gender``, and ``age`` where known).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import itertools
import json
import math
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gender_classifier import runtime
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.faces.crop import crop_box, crop_square
from gender_classifier.runtime.faces.detector import DEFAULT_DETECT_SIZE, Detector, Face

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gender_classifier.runtime.prediction import Box

HAND_COUNT = Path(__file__).with_name("faces_hand_count.json")
PLAIN, LEVEL = "face, never turned", "face"
SAME_FACE = 0.4
"""Least intersection over union of a found box and the hand-checked one."""


@dataclass
class Tally:
    """What became of the faces of one or more pictures."""

    clear: int = 0
    found: int = 0
    hard: int = 0
    false: list[Face] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        """Adds up two tallies."""
        return Tally(
            self.clear + other.clear, self.found + other.found, self.hard + other.hard, self.false + other.false
        )


def overlap(first: Box, second: Box) -> float:
    """Returns the intersection over union of two boxes."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, wide) * max(0.0, high)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared / (areas - shared)


def inside(box: Box, region: Box) -> bool:
    """Whether the centre of a box lies in a region."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return region[0] <= x <= region[2] and region[1] <= y <= region[3]


def compare(faces: Iterable[Face], clear: list[Box], hard: list[Box]) -> Tally:
    """Sorts found faces, surest first, into found ones, hard ones and false alarms (a second box is one too)."""
    open_faces = list(clear)
    tally = Tally(clear=len(clear))
    for face in sorted(faces, key=lambda one: -one.score):
        best = max(open_faces, key=lambda box: overlap(face.box, box), default=None)
        if best is not None and overlap(face.box, best) >= SAME_FACE:
            open_faces.remove(best)
            tally.found += 1
        elif any(inside(face.box, region) for region in hard):
            tally.hard += 1
        else:
            tally.false.append(face)
    return tally


def hand_count() -> dict[str, dict[str, list[Box]]]:
    """Returns the boxes seen by a person, by the photograph's number."""
    text = json.loads(HAND_COUNT.read_text(encoding="utf-8"))
    return {
        name: {kind: [(b[0], b[1], b[2], b[3]) for b in boxes] for kind, boxes in entry.items()}
        for name, entry in text.items()
    }


def load_photo(folder: Path, name: str) -> Image.Image:
    """Opens one of the photographs."""
    with Image.open(folder / f"{name}.jpg") as image:
        return image.convert("RGB")


def count(arguments: argparse.Namespace) -> None:
    """Prints the table of faces found against the hand count, then the totals over thresholds."""
    lowest = Detector.load(arguments.detector, threshold=0.3, **options(arguments))
    detector = Detector.load(arguments.detector, **options(arguments), **threshold(arguments))
    total = Tally()
    all_faces: dict[str, tuple[Face, ...]] = {}
    print("| photograph | faces | found | missed | hard ones found | false alarms |\n|---|---|---|---|---|---|")
    for name, seen in hand_count().items():
        photo = load_photo(arguments.photos, name)
        all_faces[name] = lowest.detect(photo)
        one = compare(detector.detect(photo), seen["clear"], seen["hard"])
        total += one
        hard = f"{one.hard} of {len(seen['hard'])}" if seen["hard"] else ""
        print(f"| {name} | {one.clear} | {one.found} | {one.clear - one.found} | {hard} | {len(one.false)} |")
    print(f"| all | {total.clear} | {total.found} | {total.clear - total.found} | {total.hard} | {len(total.false)} |")
    print("\n| threshold | found | missed | hard ones found | false alarms |\n|---|---|---|---|---|")
    for limit in (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9):
        total = Tally()
        for name, seen in hand_count().items():
            chosen = [face for face in all_faces[name] if face.score >= limit]
            total += compare(chosen, seen["clear"], seen["hard"])
        print(f"| {limit} | {total.found} | {total.clear - total.found} | {total.hard} | {len(total.false)} |")


def mosaics(folder: Path, per_side: int, cell: int) -> list[tuple[Image.Image, list[Box], list[Box]]]:
    """Pastes the photographs side by side into large pictures, and moves the boxes with them."""
    seen = hand_count()
    names = [name for name in seen if seen[name]["clear"]]
    result = []
    for start in range(0, len(names), per_side**2):
        canvas = Image.new("RGB", (per_side * cell, per_side * cell), (90, 90, 90))
        boxes: dict[str, list[Box]] = {"clear": [], "hard": []}
        for index, name in enumerate(names[start : start + per_side**2]):
            photo = load_photo(folder, name)
            scale = cell / max(photo.size)
            photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
            left, top = index % per_side * cell, index // per_side * cell
            canvas.paste(photo, (left, top))
            for kind, moved in boxes.items():
                moved.extend(
                    (b[0] * scale + left, b[1] * scale + top, b[2] * scale + left, b[3] * scale + top)
                    for b in seen[name][kind]
                )
        result.append((canvas, boxes["clear"], boxes["hard"]))
    return result


def sizes(arguments: argparse.Namespace) -> None:
    """Prints recall and time over detect_size, for the photographs and for large pictures made of them."""
    seen = hand_count()
    single = [(load_photo(arguments.photos, name), b["clear"], b["hard"]) for name, b in seen.items()]
    sets = [("photographs, 1280 px", single)]
    sets += [(f"{n * n} in one, {n * 1280} px", mosaics(arguments.photos, n, 1280)) for n in (2, 3)]
    for title, pictures in sets:
        print(f"\n{title}: {len(pictures)} pictures, {sum(len(p[1]) for p in pictures)} clear faces\n")
        print("| detect size | looks per picture | found | of all | false alarms | ms per picture |")
        print("|---|---|---|---|---|---|")
        for size in arguments.sizes:
            detector = Detector.load(arguments.detector, detect_size=size, **threshold(arguments))
            total, looks, seconds = Tally(), 0, 0.0
            for image, clear, hard in pictures:
                started = time.thread_time()
                faces, runs = look(detector, image)
                seconds += time.thread_time() - started
                looks += runs
                total += compare(faces, clear, hard)
            print(
                f"| {size} | {looks / len(pictures):.1f} | {total.found} | {total.found / total.clear:.1%} "
                f"| {len(total.false)} | {seconds / len(pictures) * 1e3:.0f} |",
                flush=True,
            )


def limits(arguments: argparse.Namespace) -> None:
    """Prints which faces are found by their size, and by how far the picture is turned."""
    detector = Detector.load(arguments.detector, **options(arguments), **threshold(arguments))
    size = arguments.detect_size or DEFAULT_DETECT_SIZE
    edges = (8, 10, 12, 16, 24, 48, math.inf)
    there, found = Counter[float](), Counter[float]()
    for per_side, cell in ((1, 1280), (2, 1280), (3, 1280), (4, 960), (5, 960), (6, 960)):
        for image, clear, _ in mosaics(arguments.photos, per_side, cell):
            faces = detector.detect(image)
            for box in clear:
                side = max(box[2] - box[0], box[3] - box[1]) * min(1.0, size / max(image.size))
                bound = next(edge for edge in edges if side < edge)
                there[bound] += 1
                found[bound] += any(overlap(face.box, box) >= SAME_FACE for face in faces)
    print(f"| longer side of the face, where the picture's longest side is {size} px | faces | found |\n|---|---|---|")
    for low, high in itertools.pairwise((0, *edges)):
        name = f"{low:g} px and more" if high == math.inf else f"{low:g} to {high:g} px"
        print(f"| {name} | {there[high]} | {found[high] / max(1, there[high]):.1%} |")
    print("\n| picture turned by | found |\n|---|---|")
    for turn in (0, 15, 30, 45, 90, 180):
        right, total = 0, 0
        for name, seen in hand_count().items():
            photo = load_photo(arguments.photos, name).rotate(turn, Image.Resampling.BICUBIC, expand=True)
            right += min(len(detector.detect(photo)), len(seen["clear"]))
            total += len(seen["clear"])
        print(f"| {turn} degrees | {right} of {total} |", flush=True)


def look(detector: Detector, image: Image.Image) -> tuple[tuple[Face, ...], int]:
    """Detects, and counts the runs of the network."""
    runs = 0
    original = detector.candidates

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal runs
        runs += 1
        return original(*given, **named)

    detector.candidates = counted  # type: ignore[method-assign]
    try:
        return detector.detect(image), runs
    finally:
        del detector.candidates


@dataclass
class Labelled:
    """One picture of a labelled folder, and what the model says of it in each framing (``None``: no face)."""

    label: str
    age: str
    answers: dict[str, str | None]


def answer_all(folder: Path, model: runtime.Classifier, detector: Detector, turn: float) -> list[Labelled]:
    """Classifies every picture whole, by its largest face as it is, and by that face as the package frames it."""
    margin = model.manifest.framing.margin or 0.25
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    result = []
    for row in rows:
        image = decode(folder / row["file"])
        if turn:
            image = image.rotate(turn, Image.Resampling.BICUBIC, expand=True)
        views = {"whole picture": image}
        if faces := detector.detect(image):
            views[PLAIN] = crop_square(image, faces[0].box, margin)
            views[LEVEL] = crop_box(image, faces[0].box, margin, faces[0].landmarks)
        logits = model.network.logits(np.stack([model.pipeline.processor(view) for view in views.values()]))
        words = [model.manifest.labels[index].meaning for index in logits.argmax(axis=1)]
        answers: dict[str, str | None] = dict.fromkeys(("whole picture", PLAIN, LEVEL))
        result.append(Labelled(row["gender"], row.get("age", ""), {**answers, **dict(zip(views, words, strict=True))}))
    return result


def accuracy(arguments: argparse.Namespace) -> None:
    """Prints accuracy without detection and with it, and whether levelling the eyes helps."""
    model = runtime.load(arguments.model, variant=arguments.variant, faces=False)
    detector = Detector.load(arguments.detector, **options(arguments), **threshold(arguments))
    weights = model.manifest.variants[model.variant].sha256[:12]
    print(f"Model `{model.manifest.name}`, {model.variant}, sha256 {weights}; most probable class, no threshold.\n")
    print("| pictures | framing | balanced accuracy | women right | men right | no face found |")
    print("|---|---|---|---|---|---|")
    notes = []
    for folder in arguments.data:
        for turn in arguments.turn:
            everyone = answer_all(folder, model, detector, turn)
            groups = {"": everyone}
            adults = [one for one in everyone if one.age.isdigit() and int(one.age) >= 18]
            if adults and len(adults) < len(everyone):
                groups[", adults"] = adults
            for name, group in groups.items():
                title = f"{folder.name}{name}" + (f", turned by {turn:g} degrees" if turn else "")
                for framing in group[0].answers:
                    print(f"| {title} ({len(group)}) | {framing} | {shares(group, framing)} |", flush=True)
                notes.append(f"{title}: {discordant(group)}")
    print("\n" + "\n".join(f"- {note}" for note in notes))


def shares(group: list[Labelled], framing: str) -> str:
    """Returns cells: balanced accuracy, share right of women and men (of all of them, found or not), none found."""
    right = [
        statistics.fmean(one.answers[framing] == gender for one in group if one.label == gender)
        for gender in ("female", "male")
    ]
    none = sum(one.answers[framing] is None for one in group)
    return f"{statistics.fmean(right):.1%} | {right[0]:.1%} | {right[1]:.1%} | {none}"


def discordant(group: list[Labelled]) -> str:
    """Compares the face with level eyes with the face as it is, picture by picture (exact McNemar test, two-sided)."""
    plain = [one.answers[PLAIN] == one.label for one in group]
    level = [one.answers[LEVEL] == one.label for one in group]
    better = sum(b and not a for a, b in zip(plain, level, strict=True))
    worse = sum(a and not b for a, b in zip(plain, level, strict=True))
    total = better + worse
    tail = sum(math.comb(total, k) for k in range(min(better, worse) + 1)) / 2**total
    return f"levelling the eyes corrects {better} answers and spoils {worse} (p = {min(1.0, 2 * tail):.2g})"


def measure(arguments: argparse.Namespace) -> None:
    """Prints the time of decoding, of the detector and of the classifier for photographs of several sizes."""
    model = runtime.load(arguments.model, variant=arguments.variant, faces=False, threads=1)
    detector = Detector.load(arguments.detector, **options(arguments), **threshold(arguments))
    margin = model.manifest.framing.margin or 0.25
    print("| photograph | megapixels | faces | looks | decode ms | detect ms | classify ms | share | detect ms/MP |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, megapixels in ((n, m) for m in arguments.megapixels for n in ("003", "032", "055")):
        photo = load_photo(arguments.photos, name)
        scale = math.sqrt(megapixels * 1e6 / (photo.width * photo.height))
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
        content = io.BytesIO()
        photo.save(content, "JPEG", quality=90)
        times: dict[str, list[float]] = {"decode": [], "detect": [], "classify": []}
        for _ in range(arguments.repeats):
            clock = [time.thread_time()]  # one thread does it all; what else runs hardly counts
            image = decode(content.getvalue(), runtime.Limits(max_bytes=1 << 30, max_pixels=1 << 30))
            clock.append(time.thread_time())
            faces = detector.detect(image)
            clock.append(time.thread_time())
            if faces:
                model.network.logits(
                    np.stack(
                        [model.pipeline.processor(crop_box(image, face.box, margin, face.landmarks)) for face in faces]
                    )
                )
            clock.append(time.thread_time())
            for kind, start, end in zip(times, clock, clock[1:], strict=False):
                times[kind].append((end - start) * 1e3)
        looks = look(detector, image)[1]
        cost = {kind: statistics.median(values) for kind, values in times.items()}
        cells = " | ".join(f"{value:.0f}" for value in cost.values())
        share = cost["detect"] / sum(cost.values())
        print(
            f"| {name} | {megapixels:g} | {len(faces)} | {looks} | {cells} | {share:.0%} "
            f"| {cost['detect'] / megapixels:.1f} |",
            flush=True,
        )


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the options of ``Detector.load`` that were given."""
    return {} if arguments.detect_size is None else {"detect_size": arguments.detect_size}


def threshold(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the threshold where one was given."""
    return {} if arguments.threshold is None else {"threshold": arguments.threshold}


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    jobs: dict[str, Callable[[argparse.Namespace], None]] = {
        "count": count,
        "sizes": sizes,
        "limits": limits,
        "time": measure,
        "accuracy": accuracy,
    }
    for name, job in jobs.items():
        command = commands.add_parser(name, help=job.__doc__)
        command.set_defaults(job=job)
        command.add_argument("--detector", type=Path, required=True, help="YuNet's ONNX file")
        command.add_argument("--threshold", type=float)
        command.add_argument("--detect-size", type=int)
        command.add_argument("--photos", type=Path, help="folder of the hand-counted photographs")
        command.add_argument("--sizes", type=int, nargs="+", default=[640, 1152, 1664, 2176, 3200, 3840])
        command.add_argument("--model", help="name or folder of a bundle")
        command.add_argument("--variant", help="its variant")
        command.add_argument("--data", type=Path, nargs="+", help="folders with labels.csv")
        command.add_argument("--turn", type=float, nargs="+", default=[0.0], help="degrees to turn the pictures by")
        command.add_argument("--megapixels", type=float, nargs="+", default=[1, 12, 24, 48])
        command.add_argument("--repeats", type=int, default=5)
        command.add_argument("--write", type=Path, metavar="FILE", help="page whose tables are replaced")
    return parser.parse_args()


def write(page: Path, command: str, text: str) -> None:
    """Puts a command's output between its marks in a page.

    Raises:
        ValueError: If the page has no such marks.
    """
    begin, end = f"<!-- faces.py {command}: begin -->\n", f"<!-- faces.py {command}: end -->"
    old = page.read_text(encoding="utf-8")
    before, found, rest = old.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no marks for {command}")
    page.write_text(f"{before}{begin}{text.strip()}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Runs the command that was named."""
    arguments = parse()
    if arguments.write is None:
        arguments.job(arguments)
        return
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        arguments.job(arguments)
    write(arguments.write, arguments.command, printed.getvalue())


if __name__ == "__main__":
    main()

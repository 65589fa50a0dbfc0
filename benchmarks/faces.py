"""Measures the face detector: faces against a hand count, recall against cost, time, the least size worth an answer.

    python benchmarks/faces.py count --photos DIR [--other FILE ...]
    python benchmarks/faces.py sizes --photos DIR
    python benchmarks/faces.py limits --photos DIR
    python benchmarks/faces.py time --photos DIR
    python benchmarks/faces.py pair --other FILE [FILE ...]
    python benchmarks/faces.py least --data DIR [DIR ...]

``--write FILE`` puts the tables between that command's marks in a page (``docs/faces.md``) instead of printing them.

The photographs are not part of this repository; ``photos.csv`` beside this file holds where a person saw
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
import math
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gender_classifier import runtime
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.faces.detector import Detector, Face
from gender_classifier.runtime.faces.record import builtin
from gender_classifier.runtime.pipeline import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gender_classifier.runtime.prediction import Box

HAND_COUNT = Path(__file__).with_name("photos.csv")
LOOKS = ((640, 480), (320, 320))
"""Sizes at which one look is timed."""

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
    photos: dict[str, dict[str, list[Box]]] = {}
    with HAND_COUNT.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            seen = photos.setdefault(row["file"].removesuffix(".jpg"), {"clear": [], "hard": []})
            if row["seen"]:
                seen[row["seen"]].append((float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"])))
    return photos


def load_photo(folder: Path, name: str) -> Image.Image:
    """Opens one of the photographs."""
    with Image.open(folder / f"{name}.jpg") as image:
        return image.convert("RGB")


def count(arguments: argparse.Namespace) -> None:
    """Prints the faces found against the hand count, over thresholds."""
    for path in (arguments.detector, *arguments.other):
        own, lowest = (
            Detector.load(path, **options(arguments)),
            Detector.load(path, threshold=0.3, **options(arguments)),
        )
        found = {name: lowest.detect(load_photo(arguments.photos, name)) for name in hand_count()}
        print(f"{path.name}, sha256 {own.sha256[:12]}, threshold {own.threshold:g}:\n")
        print("| threshold | found | missed | hard ones found | false alarms |\n|---|---|---|---|---|")
        for limit in sorted({0.5, 0.6, 0.7, 0.8, 0.85, 0.9, own.threshold}):
            total = Tally()
            for name, seen in hand_count().items():
                faces = [face for face in found[name] if face.score >= limit]
                total += compare(faces, seen["clear"], seen["hard"])
            mark = "**" if limit == own.threshold else ""
            print(
                f"| {mark}{limit:g}{mark} | {total.found} ({total.found / total.clear:.1%}) "
                f"| {total.clear - total.found} | {total.hard} | {len(total.false)} |"
            )
        print()


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
    size = detector.detect_size
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


def least(arguments: argparse.Namespace) -> None:
    """Prints how often the model is right by the size of the face: where its answers stop being worth something."""
    model = runtime.load(arguments.model, variant=arguments.variant)
    detector = Detector.load(arguments.detector, **options(arguments))
    print(f"Model {model.identity}; most probable class, no threshold.\n")
    print("| longer side of the face | women right | men right | balanced accuracy, 95 % interval |")
    print("|---|---|---|---|")
    for side in (6, 8, 10, 12, 14, 16, 20, 24, 32, 48):
        right: dict[str, list[bool]] = {"female": [], "male": []}
        for image, face, label in labelled_faces(arguments, detector):
            small, boxes, eyes = shrunk(image, face, side)
            chances = model.predict(small, boxes=boxes, eyes=eyes).people[0].probabilities
            right[label].append(max(chances, key=chances.__getitem__) == label)
        women, men = (statistics.fmean(each) for each in right.values())
        error = (
            1.96
            / 2
            * math.sqrt(sum(p * (1 - p) / len(each) for p, each in zip((women, men), right.values(), strict=True)))
        )
        middle = (women + men) / 2
        print(
            f"| {side} px | {women:.1%} | {men:.1%} | {middle:.1%} ({middle - error:.1%} to {middle + error:.1%}) |",
            flush=True,
        )


def labelled_faces(arguments: argparse.Namespace, detector: Detector) -> Iterator[tuple[Image.Image, Face, str]]:
    """Yields the adults of labelled folders: the picture, its largest face, ``female`` or ``male``."""
    for folder in arguments.data:
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if not row["age"].isdigit() or int(row["age"]) >= 18]
        for row in rows[:: arguments.every]:
            image = decode(folder / row["file"])
            if faces := detector.detect(image):
                yield image, faces[0], row["gender"]


def shrunk(image: Image.Image, face: Face, side: float) -> tuple[Image.Image, list[Box], list[Any]]:
    """Returns a picture scaled down until its face has the given longer side, and where face and eyes are then."""
    scale = min(1.0, side / longer_side(face.box))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    across, down = size[0] / image.width, size[1] / image.height
    x0, y0, x1, y1 = face.box
    eyes = [(x * across, y * down) for x, y in face.landmarks[:2]]
    small = image.resize(size, Image.Resampling.LANCZOS)
    return small, [(x0 * across, y0 * down, x1 * across, y1 * down)], [tuple(eyes)]


def longer_side(box: Box) -> float:
    """Returns the longer side of a box."""
    return max(box[2] - box[0], box[3] - box[1])


def measure(arguments: argparse.Namespace) -> None:
    """Prints the time of decoding, of the detector and of the classifier for photographs of several sizes."""
    model = runtime.load(arguments.model, variant=arguments.variant, faces=False, threads=1)
    detector = Detector.load(arguments.detector, **options(arguments), **threshold(arguments))
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
                regions = [Region(face.box, face.score, face.landmarks) for face in faces]
                model.network.logits(model.pipeline.tensors(image, regions))
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


def pair(arguments: argparse.Namespace) -> None:
    """Prints the time of one run of the network, in turn with other detectors, on one thread of a plain session."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    paths = (arguments.detector, *arguments.other)
    sessions = [onnxruntime.InferenceSession(str(path), settings) for path in paths]
    print("| detector | file | " + " | ".join(f"{w} x {h}, ms" for w, h in LOOKS) + " | share of the last one |")
    print("|---|---|" + "---|" * (len(LOOKS) + 1))
    times: dict[tuple[int, tuple[int, int]], list[float]] = {}
    random = np.random.default_rng(0)
    for size in LOOKS:
        pixels = random.integers(0, 256, (1, 3, size[1], size[0])).astype(np.float32)
        for _ in range(arguments.repeats * 8):
            for index, session in enumerate(sessions):
                started = time.process_time()
                session.run(None, {session.get_inputs()[0].name: pixels})
                times.setdefault((index, size), []).append((time.process_time() - started) * 1e3)
    for index, path in enumerate(paths):
        cells = " | ".join(f"{statistics.median(times[index, size]):.1f}" for size in LOOKS)
        ratios = [a / b for a, b in zip(times[index, LOOKS[0]], times[len(paths) - 1, LOOKS[0]], strict=True)]
        print(f"| {path.name} | {path.stat().st_size:,} bytes | {cells} | {statistics.median(ratios):.2f} |")


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
        "pair": pair,
        "least": least,
    }
    for name, job in jobs.items():
        command = commands.add_parser(name, help=job.__doc__)
        command.set_defaults(job=job)
        command.add_argument(
            "--detector", type=Path, default=builtin(), help="its ONNX file (default: the built-in one)"
        )
        command.add_argument("--other", type=Path, nargs="+", default=[], help="detectors to compare with")
        command.add_argument("--threshold", type=float)
        command.add_argument("--detect-size", type=int)
        command.add_argument("--photos", type=Path, help="folder of the hand-counted photographs")
        command.add_argument("--sizes", type=int, nargs="+", default=[640, 1152, 1664])
        command.add_argument("--model", help="name or folder of a bundle")
        command.add_argument("--variant", help="its variant")
        command.add_argument("--data", type=Path, nargs="+", help="folders with labels.csv")
        command.add_argument("--every", type=int, default=1, help="take every so-many-th picture")
        command.add_argument("--megapixels", type=float, nargs="+", default=[1, 12, 48])
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

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.config import Data, load_recipe
from training.data import Row, read_faces, split_by_person
from training.pool import draw_weights
from training.prepare import half_boxes, load_crops, prepare, write_table

ROOT = Path(__file__).resolve().parents[2]


def row(i: int, person: str, gender: str = "female", source: str = "a") -> Row:
    return Row("train", f"{i}.jpg", gender, "", "", person, source, "CC0", 60, 80, (10.0, 10.0, 50.0, 60.0), "00")


def made_up_rows() -> list[Row]:
    rows = []
    for i in range(600):
        # Every third person has a second picture, some of them in another set.
        person = f"p{i if i % 3 else i // 6}"
        rows.append(row(i, person, "female" if i % 4 == 0 else "male", "ab"[i % 2]))
    return rows


def test_nobody_is_on_both_sides() -> None:
    rows = made_up_rows()
    training, validation = split_by_person(rows, 0.2, 1)
    assert sorted(training + validation) == list(range(len(rows)))
    assert not {rows[i].person for i in training} & {rows[i].person for i in validation}
    assert 0.1 < len(validation) / len(rows) < 0.3


def test_split_depends_on_seed_and_not_on_order() -> None:
    rows = made_up_rows()
    held = {rows[i].file for i in split_by_person(rows, 0.2, 1)[1]}
    other = {rows[i].file for i in split_by_person(rows, 0.2, 2)[1]}
    assert held != other
    alone = [r for r in rows if r.source == "a" and r.gender == "female"]
    first = {alone[i].person for i in split_by_person(alone, 0.2, 1)[1]}
    again = {alone[::-1][i].person for i in split_by_person(alone[::-1], 0.2, 1)[1]}
    assert first == again


def test_every_stratum_reaches_validation() -> None:
    rows = [row(i, str(i), "female" if i % 5 == 0 else "male", "ab"[i % 2]) for i in range(200)]
    validation = split_by_person(rows, 0.2, 1)[1]
    cells = Counter((rows[i].source, rows[i].gender) for i in validation)
    assert len(cells) == 4
    assert min(cells.values()) >= 4


def test_genders_are_drawn_alike_in_every_set() -> None:
    rows = [row(i, str(i), "female" if i < 10 else "male", "a") for i in range(100)]
    rows += [row(i, f"x{i}", "female" if i < 150 else "male", "b") for i in range(100, 200)]
    weights = draw_weights(rows, 0.5)
    assert weights.sum() == pytest.approx(1)
    for source in "ab":
        both = [
            sum(w for w, r in zip(weights, rows, strict=True) if (r.source, r.gender) == (source, g))
            for g in ("female", "male")
        ]
        assert both[0] == pytest.approx(both[1])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = [
        ["file", "gender", "age", "race", "person", "set", "licence", "width", "height", "face", "face_score", "sha256"]
    ]
    for i in range(4):
        Image.fromarray(generator.integers(0, 256, (80, 60, 3), np.uint8)).save(folder / f"{i}.png")
        digest = hashlib.sha256((folder / f"{i}.png").read_bytes()).hexdigest()
        face = "10.0 10.0 50.0 60.0" if i else ""
        lines.append([f"{i}.png", "female", "30", "", f"p{i}", "a", "CC0", "60", "80", face, "0.9", digest])
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return tmp_path / "data"


def test_prepare_caches_faces_only_and_in_order(root: Path, tmp_path: Path) -> None:
    data = Data(cache_size=32, cache_margin=0.7)
    prepare(root, tmp_path / "cache", data)
    crops = load_crops(tmp_path / "cache", data)
    rows = read_faces(root, "train")
    assert crops.shape == (3, 32, 32, 3)
    assert crops.dtype == np.uint8
    assert [r.file for r in rows] == ["1.png", "2.png", "3.png"]
    # Box 40 x 50, so the cached side is 50 * 2.4 = 120.
    np.testing.assert_allclose(half_boxes(rows, data.cache_margin), [[40 / 120, 50 / 120]] * 3, rtol=1e-6)


def test_prepare_refuses_a_changed_picture(root: Path, tmp_path: Path) -> None:
    Image.new("RGB", (60, 80)).save(root / "train" / "2.png")
    with pytest.raises(ValueError, match=r"2\.png"):
        prepare(root, tmp_path / "cache", Data(cache_size=32))


def test_table_names_licence_and_digest_but_no_person(tmp_path: Path) -> None:
    rows = [row(0, "somebody"), row(1, "somebody else", "male")]
    write_table(rows, [1], tmp_path / "pictures.csv")
    text = (tmp_path / "pictures.csv").read_text()
    assert text.splitlines()[0] == "file,set,gender,split,licence,sha256"
    assert text.splitlines()[2] == "1.jpg,a,male,validation,CC0,00"
    assert "somebody" not in text


def test_committed_table_has_no_person_twice_in_name() -> None:
    with (ROOT / "training" / "pictures.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert {line["split"] for line in table} == {"train", "validation"}
    assert all(len(line["sha256"]) == 64 and line["licence"] for line in table)
    digests = Counter(line["sha256"] for line in table)
    both = {line["sha256"] for line in table if line["split"] == "train"} & {
        line["sha256"] for line in table if line["split"] == "validation"
    }
    assert not both
    assert len(digests) > 3000


def test_committed_recipe_loads() -> None:
    recipe = load_recipe(ROOT / "training" / "config.json")
    assert recipe.final.config.model.size % 8 == 0
    # Nothing but ready stages is needed, in the order of the file.
    seen: set[str] = set()
    for name, stage in recipe.stages.items():
        assert set(stage.needs) <= seen
        seen.add(name)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"stages": {"a": {"schedule": {"stepz": 3}}}}', "stepz"),
        ('{"stages": {"a": {"scheduled": {}}}}', "scheduled"),
        ('{"scheduled": {}}', "scheduled"),
        ('{"stages": {}}', "no stages"),
        ('{"stages": {"a": {"teachers": ["b"]}, "b": {}}}', "no earlier stage"),
        ('{"stages": {"a": {}, "b": {"initial": "a", "model": {}}}}', "leave out model"),
        ('{"stages": {"a": {}, "b": {"average": ["a"], "schedule": {}}}}', "nothing else"),
        ('{"stages": {"a": {}, "b": {"model": {"size": 96}}, "c": {"average": ["a", "b"]}}}', "different shapes"),
    ],
)
def test_mistakes_in_a_recipe_are_errors(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        load_recipe(path)


def test_a_stage_has_the_network_of_the_one_it_starts_from(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"stages": {"a": {"model": {"size": 96}}, "b": {"initial": "a"}, "c": {"average": ["a", "b"]}}}')
    recipe = load_recipe(path)
    assert recipe.stages["b"].config.model.size == recipe.final.config.model.size == 96

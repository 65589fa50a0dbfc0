"""``gender-classifier evaluate`` from pictures to report, with a tiny bundle that tells red from green."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from PIL import Image

from gender_classifier.evaluation.command_line import main
from gender_classifier.evaluation.report import dumps
from support import ROOT, TinyModel, shared, tiny_bundle
from support.labelled import RED, red_women_green_men


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return red_women_green_men(tmp_path)


def test_a_report_from_end_to_end(
    labels: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(models, TinyModel(framing="box", margin=0.0, thresholds={"female": 0.55, "male": 0.55}))
    out = tmp_path / "out"
    words = [str(labels), "--model", str(bundle), "--group-by", "age,race", "--boxes", "face", "--output", str(out)]
    assert main([*words, "--robustness", "10", "--min-group", "5"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["set"]["pictures"] == 43
    assert report["set"]["scored"] == 40
    # Nothing is dropped in silence: the row without a box, the broken and the missing picture, the third word.
    assert len(report["set"]["failed"]) == 3
    assert report["set"]["failed"]["no_face"] == 1
    assert report["set"]["failed"]["not_found"] == 1
    assert report["set"]["label_not_understood"] == {"unknown": 1}
    assert report["set"]["persons"] == 20
    assert report["overall"]["confusion"] == {"female": {"female": 18, "male": 2}, "male": {"female": 0, "male": 20}}
    assert report["by"]["race"]["groups"]["a"]["recall"]["female"]["value"] == 0.9
    assert report["by"]["age"]["groups"]["45-59"]["n"] == 20
    assert report["robustness"]["n"] == 10
    assert report["model"]["name"] == "tiny"
    text = (out / "report.md").read_text()
    assert "90.0 (69.9 to 97.2)" in text  # Wilson, 18 of 20
    assert "1 no_face" in text
    # No figure by group: none holds twenty women and twenty men.
    expected = ["abstention.png", "confusion.png", "reliability.png", "robustness.png", "roc_pr.png"]
    assert sorted(path.name for path in out.glob("*.png")) == expected
    for path in out.glob("*.png"):
        assert path.stat().st_size < 60_000
        assert path.name in text
        Image.open(path).verify()
    assert not list(out.glob("*.jpg"))  # pictures of people only on request
    assert "95.0" in capsys.readouterr().out


def test_boxes_decide_what_is_seen(labels: Path, models: Path, tmp_path: Path) -> None:
    """The blue surroundings drown the face's colour; only the crop answers with certainty."""
    bundle = tiny_bundle(models, TinyModel(framing="box", margin=0.0))
    seen = {}
    for name, extra in (("crop", ["--boxes", "face"]), ("whole", ["--no-faces"])):
        out = tmp_path / name
        words = [str(labels), "--model", str(bundle), "--robustness", "0", "--output", str(out)]
        assert main([*words, *extra]) == 0
        report = json.loads((out / "report.json").read_text())
        seen[name] = report["curves"]["abstention"][-1]["confidence"]
        assert report["robustness"] is None
    assert seen["crop"] > 0.9 > seen["whole"]


@pytest.mark.parametrize("extra", [[], ["--boxes", "face"]])
def test_a_folder_in_the_hubs_layout_is_measured_as_it_is(
    extra: list[str], labels: Path, models: Path, tmp_path: Path
) -> None:
    """Another tool exported it: there is no bundle.json."""
    folder, out = tiny_bundle(models), tmp_path / "out"
    (folder / "bundle.json").unlink()
    words = [str(labels), "--model", str(folder), "--robustness", "0", "--output", str(out), *extra]
    assert main(words) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["model"]["name"] == "tiny"
    assert report["overall"]["recall"]["female"]["value"] == 0.9
    assert [path.name for path in folder.iterdir()].count("bundle.json") == 0


def test_two_runs_write_the_same_bytes(labels: Path, models: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(models)
    for name in ("one", "two"):
        words = [str(labels), "--model", str(bundle), "--robustness", "0"]
        assert main([*words, "--output", str(tmp_path / name)]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_filter_and_a_contact_sheet(
    labels: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(models)
    out = tmp_path / "out"
    words = [str(labels), "--model", str(bundle), "--where", "age<40", "--contact-sheet", "5", "--output", str(out)]
    assert main([*words, "--robustness", "0"]) == 0
    assert json.loads((out / "report.json").read_text())["set"]["where"] == "age<40"
    with Image.open(out / "failures.jpg") as sheet:
        assert sheet.width == 6 * 128
    assert "do not publish" in capsys.readouterr().err
    assert "failures" not in (out / "report.md").read_text()


def test_one_gender_alone_and_nothing_readable_still_report(labels: Path, models: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(models)
    words = [str(labels), "--model", str(bundle), "--robustness", "4", "--group-by", "race"]
    assert main([*words, "--where", "gender=F and age<40", "--output", str(tmp_path / "women")]) == 0
    women = json.loads((tmp_path / "women" / "report.json").read_text())["overall"]
    assert women["n_by_class"]["male"] == 0
    assert women["balanced_accuracy"]["value"] is None
    assert "robustness.png" in (tmp_path / "women" / "report.md").read_text()
    assert main([*words, "--where", "file=missing.jpg", "--output", str(tmp_path / "none")]) == 0
    none = json.loads((tmp_path / "none" / "report.json").read_text())
    assert none["set"]["scored"] == 0
    assert none["set"]["failed"] == {"not_found": 1}
    assert not list((tmp_path / "none").glob("*.png"))


def test_faces_are_looked_for_with_a_detector(models: Path, tmp_path: Path) -> None:
    """Pictures without a face are counted, and so are those that lose theirs to a degradation."""
    detector = shared("detector/yunet_n_320_320.onnx")
    Image.new("RGB", (64, 64), RED).save(tmp_path / "empty.png")
    (tmp_path / "set.csv").write_text("file,gender\nempty.png,F\n")
    bundle = tiny_bundle(models, TinyModel(framing="box", margin=0.25))
    words = [str(tmp_path / "set.csv"), "--model", str(bundle), "--detector", str(detector), "--robustness", "2"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["set"]["failed"] == {"no_face": 1}
    assert report["set"]["framing"].startswith("faces found by the detector (sha256 ")
    assert report["robustness"]["untouched"]["answered"] == {"value": 0.0, "low": 0.0, "high": 0.79345, "n": 1}


def test_a_model_of_other_classes_is_refused(
    labels: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(models, TinyModel(labels=(("cat", "cat"), ("dog", "dog"))))
    assert main([str(labels), "--model", str(bundle), "--output", str(tmp_path / "out")]) == 2
    assert "answers cat, dog" in capsys.readouterr().err


def test_labels_by_meaning_whatever_the_models_order(labels: Path, models: Path, tmp_path: Path) -> None:
    """Men first, in other words: red is still what the first class answers, so everybody is now wrong but two."""
    bundle = tiny_bundle(models, TinyModel(labels=(("homme", "male"), ("femme", "female"))))
    out = tmp_path / "out"
    assert main([str(labels), "--model", str(bundle), "--robustness", "0", "--output", str(out)]) == 0
    confusion = json.loads((out / "report.json").read_text())["overall"]["confusion"]
    assert confusion["female"] == {"female": 2, "male": 18}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.csv", "--output", "out"], "nowhere.csv does not exist"),
        (["LABELS", "--model", "no-such-model", "--output", "out"], "no-such-model"),
        (["LABELS", "--model", "MODEL", "--group-by", "height", "--output", "out"], "'height'"),
        (["LABELS", "--model", "MODEL", "--boxes", "box", "--output", "out"], "'box'"),
        (["LABELS", "--model", "MODEL", "--boxes", "age", "--output", "out"], "x0 y0 x1 y1"),
        (["LABELS", "--model", "MODEL", "--where", "old", "--output", "out"], "'old'"),
        (["compare", "LABELS", "--model", "MODEL"], "twice"),
        (["calibrate", "LABELS", "--model", "MODEL", "--max-error", "0.7"], "--max-error"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    words: list[str], says: str, labels: Path, models: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    bundle = tiny_bundle(models)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ANALYSE.md").write_text("")
    given = {"LABELS": str(labels), "MODEL": str(bundle)}
    assert main([given.get(word, word) for word in words]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""


def test_too_few_pictures_for_a_threshold_are_an_error(
    labels: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(models, TinyModel(framing="box", margin=0.0))
    before = (bundle / "bundle.json").read_text()
    assert main(["calibrate", str(labels), "--model", str(bundle), "--boxes", "face"]) == 2
    assert "at least 20 answers" in capsys.readouterr().err  # there are eighteen "female"
    assert (bundle / "bundle.json").read_text() == before


def test_calibrating_a_larger_set(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["file,gender"]
    for index in range(100):
        woman = index % 2 == 0
        strength = 100 + index  # the surest last; the least sure are wrong
        colour = (strength, 60, 60) if woman != (index < 8) else (60, strength, 60)
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{index}.png")
        rows.append(f"{index}.png,{'F' if woman else 'M'}")
    (tmp_path / "set.csv").write_text("\n".join(rows) + "\n")
    bundle = tiny_bundle(models)
    words, before = (
        ["calibrate", str(tmp_path / "set.csv"), "--model", str(bundle)],
        (bundle / "bundle.json").read_text(),
    )
    assert main([*words, "--dry-run"]) == 0
    assert (bundle / "bundle.json").read_text() == before
    assert "nothing was written" in capsys.readouterr().out
    assert main(words) == 0
    decision = json.loads((bundle / "bundle.json").read_text())["decision"]
    assert decision["temperature"] != 1.0
    assert set(decision["thresholds"]) == {"female", "male"}
    assert "100 pictures (50 female, 50 male)" in decision["provenance"]
    assert "written into" in capsys.readouterr().out
    out = tmp_path / "out"
    assert main([str(tmp_path / "set.csv"), "--model", str(bundle), "--robustness", "0", "--output", str(out)]) == 0
    point = json.loads((out / "report.json").read_text())["overall"]["operating_point"]
    assert 1 - point["precision"]["female"]["value"] <= 0.05
    assert 1 - point["precision"]["male"]["value"] <= 0.05
    assert point["answered"]["value"] < 1


def test_two_models_are_compared(
    labels: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = tiny_bundle(models, TinyModel(name="right"))
    wrong = tiny_bundle(models, TinyModel(name="wrong", labels=(("m", "male"), ("f", "female"))))
    out = tmp_path / "deep" / "compare.json"
    assert main(["compare", str(labels), "--model", str(right), "--model", str(wrong), "--output", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["all"]["n"] == 41
    assert result["all"]["only_first_right"] == 39
    assert result["all"]["only_second_right"] == 2
    assert result["all"]["p_value"] < 1e-6
    assert [model["name"] for model in result["models"]] == ["right", "wrong"]
    assert "McNemar" in capsys.readouterr().out


def test_the_module_runs_and_help_needs_no_extra(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules.update({k: None for k in ('sklearn', 'pandas', 'matplotlib', 'onnxruntime')}); "
    code = blocked + "from gender_classifier.evaluation.command_line import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words, status, says in (
        (["--help"], 0, "calibrate"),
        (["x.csv", "--output", "o"], 2, '[evaluation]"'),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert says in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_json_stays_json_when_put_on_fewer_lines() -> None:
    awkward = {
        "text": "a {brace}  and\n[bracket]",
        "n": {"value": None, "low": -0.5},
        "list": [1, 2],
        "empty": {},
        "deep": [{"x": [1]}],
    }
    assert json.loads(dumps(awkward)) == awkward
    assert '{"value": null, "low": -0.5}' in dumps(awkward)

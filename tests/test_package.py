"""One import name, wherever the package lies: wheel, sdist, editable install, checkout, vendored copy; no rival counts.

The environments are real ones. They see numpy and the other dependencies of this one through a ``.pth`` line, so that
no package index is asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from support import ROOT

PICTURE = ROOT / "examples" / "average-woman.jpg"
RIVALS = (
    "runtime.py",
    "evaluation.py",
    "gender_cli.py",
    "export/__init__.py",
    "export/__main__.py",
    "docs/__init__.py",
)
ANSWER = f"""
import gender_classifier as gc
from gender_classifier.runtime.classifier import Classifier
classifier = gc.load(faces=False)
assert type(classifier) is Classifier is gc.Classifier
print(classifier.predict({str(PICTURE)!r}).label, gc.__file__)
"""


def run(python: Path, *words: str, cwd: Path, **variables: str) -> str:
    """Runs a program of its own and returns its stdout; nothing of this process's paths goes along."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "GENDER_", "XDG_"))}
    environment = {**kept, "HOME": str(cwd), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(
        [str(python), *words], cwd=cwd, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(folder: Path) -> Path:
    """Makes an environment with this one's dependencies, and without this project; returns its Python."""
    venv.create(folder, symlinks=os.name != "nt")
    (site_of(folder) / "dependencies.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")
    return python_of(folder)


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_of(folder: Path) -> Path:
    (found,) = [*folder.glob("lib/*/site-packages"), *folder.glob("Lib/site-packages")]
    return found


def install(python: Path, *words: str) -> None:
    pytest.importorskip("pip")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", *options, *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def build(source: Path, target: Path, kind: str) -> Path:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)],
        cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    (made,) = target.iterdir()
    return made


def rivals(folder: Path) -> Path:
    """Writes modules with the names of our rooms, none of which may ever be imported."""
    for name in RIVALS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"raise SystemExit('the rival {name} was imported')\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the dependencies alone."""
    return environment(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel; its folder."""
    folder = tmp_path_factory.mktemp("installed")
    install(environment(folder), str(wheel))
    return folder


def test_a_wheel_holds_one_package_and_nothing_of_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("gender_classifier-0.1.0.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {"gender_classifier", "gender_classifier-0.1.0.dist-info"}
    second = {name.split("/")[1] for name in names if name.startswith("gender_classifier/")}
    rooms = {"runtime", "gender_cli", "export", "evaluation", "models", "examples"}
    assert second == rooms | {"__init__.py", "__main__.py", "py.typed"}
    assert not [name for name in names if "__pycache__" in name or "/docs/" in name]
    assert "License-Expression: MIT AND CC-BY-4.0" in metadata
    assert "License-File: LICENSE" in metadata
    assert "License-File: NOTICE.md" in metadata


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = build(source, tmp_path / "again", "wheel")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as two:
        assert one.namelist() == two.namelist()
        assert [name for name in one.namelist() if one.read(name) != two.read(name)] == []


@pytest.mark.slow
def test_one_name_in_site_packages(installed: Path) -> None:
    site = site_of(installed)
    assert {path.name for path in site.iterdir()} - {"__pycache__", "dependencies.pth"} == {
        "gender_classifier",
        "gender_classifier-0.1.0.dist-info",
    }


@pytest.mark.slow
@pytest.mark.parametrize("place", ["working folder", "PYTHONPATH", "site-packages"])
def test_rivals_change_nothing(installed: Path, wheel: Path, place: str, tmp_path: Path) -> None:
    folder, variables = installed, {}
    cwd = tmp_path / "work"
    cwd.mkdir()
    if place == "working folder":
        rivals(cwd)
    elif place == "PYTHONPATH":
        variables = {"PYTHONPATH": str(rivals(tmp_path / "path"))}
    else:
        folder = tmp_path / "env"
        install(environment(folder), str(wheel))
        rivals(site_of(folder))
    python = python_of(folder)
    label, file = run(python, "-c", ANSWER, cwd=cwd, **variables).split(" ", 1)
    assert label == "female"
    assert Path(file.strip()).is_relative_to(folder)
    for program, *words in ([python.with_name("gender-classifier")], [python, "-m", "gender_classifier"]):
        assert "female" in run(program, *words, str(PICTURE), "--jsonl", "--no-faces", cwd=cwd, **variables)
        assert "MODEL" in run(program, *words, "export", "--help", cwd=cwd, **variables)
        assert "LABELS" in run(program, *words, "evaluate", "--help", cwd=cwd, **variables)


@pytest.mark.slow
def test_an_editable_install_leaves_no_copies(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    python = environment(tmp_path / "env")
    install(python, "--editable", str(ROOT))
    site = site_of(tmp_path / "env")
    files = {path.suffix for path in site.iterdir() if path.name != "__pycache__"}
    assert files == {".pth", ".dist-info"}
    label, file = run(python, "-c", ANSWER, cwd=rivals(tmp_path / "work")).split(" ", 1)
    assert label == "female"
    assert Path(file.strip()) == ROOT / "gender_classifier.py"


@pytest.mark.slow
def test_a_copy_inside_another_package_works(installed: Path, bare: Path, tmp_path: Path) -> None:
    vendor = tmp_path / "myapp" / "vendor"
    vendor.mkdir(parents=True)
    for folder in (vendor.parent, vendor):
        (folder / "__init__.py").touch()
    shutil.copytree(site_of(installed) / "gender_classifier", vendor / "gender_classifier")
    code = (
        "import sys; from myapp.vendor import gender_classifier as gc; "
        f"print(gc.load(faces=False).predict({str(PICTURE)!r}).label); assert 'gender_classifier' not in sys.modules"
    )
    assert run(bare, "-c", code, cwd=tmp_path) == "female\n"


@pytest.mark.slow
def test_a_pickle_is_read_where_the_place_it_was_made_in_is_gone(
    installed: Path, bare: Path, wheel: Path, tmp_path: Path
) -> None:
    """From a wheel to a checkout and to an environment at another path, and from a checkout to a wheel."""
    checkout = tmp_path / "copy"
    for room in ("runtime", "models"):
        shutil.copytree(ROOT / room, checkout / room)
    shutil.copy(ROOT / "gender_classifier.py", checkout)
    gone = environment(tmp_path / "gone")
    install(gone, str(wheel))
    dump = "import gender_classifier, pickle; pickle.dump(gender_classifier.load(faces=False), open('PLACE', 'wb'))"
    run(gone, "-c", dump.replace("PLACE", "wheel"), cwd=tmp_path)
    run(bare, "-c", dump.replace("PLACE", "checkout"), cwd=tmp_path, PYTHONPATH=str(checkout))
    shutil.rmtree(checkout)
    shutil.rmtree(tmp_path / "gone")
    there = python_of(installed)
    load = f"import pickle; print(pickle.load(open('PLACE', 'rb')).predict({str(PICTURE)!r}).label)"
    assert run(there, "-c", load.replace("PLACE", "wheel"), cwd=tmp_path) == "female\n"
    assert run(there, "-c", load.replace("PLACE", "checkout"), cwd=tmp_path) == "female\n"
    assert run(bare, "-c", load.replace("PLACE", "wheel"), cwd=tmp_path, PYTHONPATH=str(ROOT)) == "female\n"


@pytest.mark.parametrize("safe", ["", "1"])
def test_the_scripts_of_a_checkout_run_from_any_folder(bare: Path, safe: str, tmp_path: Path) -> None:
    cwd = rivals(tmp_path / "work")
    variables = {"PYTHONSAFEPATH": safe}
    script = str(ROOT / "gender_classifier.py")
    assert "female" in run(bare, script, str(PICTURE), "--jsonl", "--no-faces", cwd=cwd, **variables)
    assert "MODEL" in run(bare, str(ROOT / "export"), "--help", cwd=cwd, **variables)
    assert "LABELS" in run(bare, str(ROOT / "evaluation"), "--help", cwd=cwd, **variables)


def test_the_module_forms_run_in_a_checkout(bare: Path) -> None:
    assert "MODEL" in run(bare, "-m", "export", "--help", cwd=ROOT)
    assert "LABELS" in run(bare, "-m", "evaluation", "--help", cwd=ROOT)
    assert "PATH" in run(bare, "-m", "gender_classifier", "--help", cwd=ROOT)

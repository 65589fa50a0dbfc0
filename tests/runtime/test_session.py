"""onnxruntime as this package sets it up; also where it cannot be imported, in few threads, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gender_classifier as gc
from gender_classifier.runtime.errors import BundleError, EngineError
from gender_classifier.runtime.session import create_session
from support import ROOT, TinyModel, tiny_bundle
from support.tiny_detector import red_detector

WHOLE = """
import os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {root!r})
import numpy as np
import gender_classifier as gc
from gender_classifier.runtime.options import Faces
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("model"))


def python(code: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WHOLE.format(root=str(ROOT)) + code, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


# -- fork ----------------------------------------------------------------------------------------------------------

FORK = """
classifier = gc.load(sys.argv[1], threads=int(sys.argv[2]), faces=Faces(sys.argv[3]) if sys.argv[3:] else False)
picture = np.zeros((320, 320, 3), np.uint8)
picture[32:64, 32:64, 0] = 255
expected = classifier.predict(picture)
assert expected.ok, expected
for what in ("nothing", "use", "drop", "use and drop", "use and fork"):
    child = os.fork()
    if child == 0:
        if "use" in what:
            assert classifier.predict(picture) == expected
            assert list(classifier.predict_many([picture] * 9)) == [expected] * 9
        if "drop" in what:
            del classifier
        if "fork" in what:
            grandchild = os.fork()
            if grandchild == 0:
                assert classifier.predict(picture) == expected
                sys.exit(0)
            assert os.waitpid(grandchild, 0)[1] == 0
        sys.exit(0)
    print(what, os.waitpid(child, 0)[1], flush=True)
assert classifier.predict(picture) == expected
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("faces", [False, True])
def test_a_child_of_fork_ends_and_answers(threads, faces, tmp_path):
    """A session waits for its threads when it ends, and a child has none: it hung, or crashed with SIGSEGV."""
    detector = [red_detector(tmp_path / "detector.onnx", stride=32)] if faces else []
    done = python(FORK, ROOT / "models/gender-small", threads, *detector)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["nothing 0", "use 0", "drop 0", "use and drop 0", "use and fork 0", ""]


# -- an onnxruntime that cannot be imported -----------------------------------------------------------------------

BROKEN = {
    "raises": "raise ImportError('DLL load failed while importing the C++ part\\nsecond line')",
    "numpy": "raise AttributeError('_ARRAY_API not found')",
    "nothing": "",
    "tells": "import sys; sys.stderr.write('\\nA module made for\\nanother numpy. More.\\n'); raise ImportError",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_onnxruntime_that_cannot_be_imported_is_one_sentence(tmp_path, model, kind):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime/__init__.py").write_text(BROKEN[kind])
    done = python(
        "sys.path.insert(0, sys.argv[2])\nsys.exit(gc.main(['examples', '--model', sys.argv[1]]))", model, tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("gender-classifier: onnxruntime cannot be imported (")
    done = python("sys.path.insert(0, sys.argv[1])\nsys.exit(gc.main(['--version']))", tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "onnxruntime of an unknown version"


def test_the_error_is_also_an_import_error(tmp_path, model):
    code = """
sys.modules["onnxruntime"] = None
try:
    gc.load(sys.argv[1])
except gc.EngineError as error:
    print(isinstance(error, ImportError), isinstance(error, gc.ClassifierError))
"""
    assert python(code, model).stdout.split() == ["True", "True"]
    assert issubclass(EngineError, ImportError)


@pytest.mark.parametrize("package", ["numpy", "PIL"])
def test_another_library_that_is_missing_is_a_sentence_too(model, package):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nsys.modules[{package!r}] = None\n"
            f"import gender_classifier\nsys.exit(gender_classifier.main(['examples', '--model', {str(model)!r}]))",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert package in sentence


def test_version_asks_the_module_whatever_package_brought_it(tmp_path):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime/__init__.py").write_text('__version__ = "9.9.9"\nraise ImportError("not to be imported")')
    done = python("sys.path.insert(0, sys.argv[1])\nsys.exit(gc.main(['--version']))", tmp_path)
    assert done.stdout.splitlines()[-1] == "onnxruntime 9.9.9"


# -- the session ---------------------------------------------------------------------------------------------------


def test_a_graph_that_cannot_be_loaded_prints_nothing(tmp_path, capfd):
    """onnxruntime's own wrapper tries again with other providers, and says so on stdout, which holds data only."""
    with pytest.raises(BundleError, match="cannot load the model"):
        create_session(b"not a graph")
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="needs to become another user")
def test_few_threads_allowed():
    """``RLIMIT_NPROC``, as containers and shared hosts set it; everything is imported before, as that user may not."""
    code = """
import resource, shutil, tempfile
folder = tempfile.mkdtemp()
os.chmod(folder, 0o755)
try:
    for name in ("models/gender-small", "examples"):
        shutil.copytree(os.path.join(sys.argv[1], name), os.path.join(folder, os.path.basename(name)))
    model, pictures = os.path.join(folder, "gender-small"), os.path.join(folder, "examples")
    os.environ["GENDER_CLASSIFIER_MODELS"] = folder
    words = [pictures, "--model", model, "--jsonl", "--no-faces", "--quiet"]
    assert gc.main([*words, "--threads", "1"]) == 0
    for limit in (1, 2, 4):
        child = os.fork()
        if child == 0:
            os.setgid(54321)
            os.setuid(54321)
            resource.setrlimit(resource.RLIMIT_NPROC, (limit,) * 2)
            os._exit(gc.main([*words, "--threads", "4"]))
        print("child", os.waitpid(child, 0)[1], flush=True)
finally:
    shutil.rmtree(folder)
"""
    done = python(code, ROOT, OMP_NUM_THREADS="1")
    assert done.stderr == ""
    assert done.stdout.count("child 0") == 3
    assert done.stdout.count('"status": "ok"') == 8


def test_what_was_loaded_is_logged(model, caplog):
    with caplog.at_level("DEBUG", "gender_classifier"):
        gc.load(model, threads=1)
    (message,) = [record.getMessage() for record in caplog.records if "loaded" in record.getMessage()]
    for part in ("tiny", str(model), "fp32", "cpu", "1 thread"):
        assert part in message


def test_nothing_is_printed_where_logging_is_not_configured(tmp_path):
    folder = tiny_bundle(tmp_path, TinyModel(framing="box", margin=0.25))
    done = python("gc.load(sys.argv[1])", folder, XDG_DATA_HOME=str(tmp_path), GENDER_CLASSIFIER_DETECTOR="")
    assert (done.returncode, done.stderr) == (0, "")

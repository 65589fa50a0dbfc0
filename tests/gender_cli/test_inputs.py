"""Arguments become a lazy stream in a fixed order, and nothing in a tree is skipped silently."""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gender_classifier.gender_cli import inputs
from gender_classifier.gender_cli.globbing import glob
from gender_classifier.gender_cli.inputs import PICTURE_SUFFIXES, Item, LeftOut, expand
from gender_classifier.runtime.escaping import printable
from gender_classifier.runtime.prediction import Status
from support import ROOT

# ruff: noqa: PTH118, PTH119, PTH207, PTH211
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def paths(*arguments: str, recursive: bool = False) -> list[str]:
    return [item.path for item in expand(arguments, recursive=recursive)]


def statuses(*arguments: str, recursive: bool = True) -> dict[str, Status | None]:
    return {
        os.path.basename(item.path): item.problem and item.problem[0] for item in expand(arguments, recursive=recursive)
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(here: Path) -> None:
    make(here, "album/b.PNG", "album/a.jpg", "album/notes.txt", "album/sub/c.webp", "album/.hidden.jpg")
    assert paths("album") == ["album/.hidden.jpg", "album/a.jpg", "album/b.PNG"]
    assert paths("album/", recursive=True) == [
        "album/.hidden.jpg", "album/a.jpg", "album/b.PNG", "album/sub/c.webp"
    ]  # fmt: skip


def test_paths_come_back_as_they_were_typed(here: Path) -> None:
    make(here, "a.jpg")
    assert paths("./a.jpg", ".", str(here)) == ["./a.jpg", "./a.jpg", str(here / "a.jpg")]


def test_a_named_file_is_taken_whatever_its_suffix_and_a_missing_one_too(here: Path) -> None:
    make(here, "picture.bin")
    assert list(expand(["picture.bin", "gone.jpg"], recursive=False)) == [Item("picture.bin"), Item("gone.jpg")]


def test_a_folder_without_pictures_is_a_result_with_a_sentence(here: Path) -> None:
    make(here, "empty/notes.txt", "empty/sub/a.jpg")
    [item] = expand(["empty"], recursive=False)
    assert item.path == "empty"
    assert item.problem is not None
    assert item.problem[0] is Status.NOT_FOUND
    assert "-r" in item.problem[1]
    assert paths("empty", recursive=True) == ["empty/sub/a.jpg"]


def test_stdin_can_be_read_once(here: Path) -> None:
    first, second = expand(["-", "-"], recursive=False)
    assert first == Item("-")
    assert second.problem is not None


def test_globs(here: Path) -> None:
    make(here, "b.jpg", "a.jpg", ".h.jpg", "x[1].jpg", "t.txt", "sub/c.jpg", "sub/deep/d.jpg", "sub/.git/e.jpg")
    assert paths("?.jpg") == ["a.jpg", "b.jpg"]
    assert paths("*.txt") == ["t.txt"]
    assert paths("x[1].jpg") == ["x[1].jpg"], "a name that exists is no pattern"
    assert paths("*/c.jpg") == ["sub/c.jpg"]
    assert paths("s*") == ["sub/c.jpg"], "a folder that matches is expanded like a folder argument"
    assert paths("**/*.jpg") == ["a.jpg", "b.jpg", "sub/c.jpg", "sub/deep/d.jpg", "x[1].jpg"]
    assert paths("**/deep/**") == ["sub/deep/d.jpg"]
    assert paths("**/.git/*") == ["sub/.git/e.jpg"]
    assert paths(str(here / "*.txt")) == [str(here / "t.txt")]
    assert statuses("*.heic") == {"*.heic": Status.NOT_FOUND}


@given(
    tree=st.sets(st.lists(st.sampled_from(["a", "b", "ab", ".c"]), min_size=1, max_size=4).map(tuple), max_size=12),
    pattern=st.lists(st.sampled_from(["a", "*", "**", "?b", "[ab]", ".*"]), min_size=1, max_size=5),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_globs_match_what_the_standard_library_matches(
    tmp_path_factory: pytest.TempPathFactory, tree: set[tuple[str, ...]], pattern: list[str]
) -> None:
    import glob as standard

    if not any(set(part) & set("*?[") for part in pattern):
        pattern = [*pattern, "*"]
    root = tmp_path_factory.mktemp("tree")
    make(root, *("/".join(names) + "/f" for names in tree))
    make(root, *("/".join(names) + "/.h" for names in tree))
    text = os.path.join(root, *pattern)
    expected = {
        os.path.normpath(path)
        for path in standard.glob(text, recursive=True)
        if "**" not in pattern or Path(path).is_file()
    }
    ours = list(glob(text))
    assert set(ours) == expected
    assert len(ours) == len(set(ours))


@posix
def test_what_is_no_file_becomes_a_result_with_a_status(here: Path) -> None:
    make(here, "t/a.jpg")
    os.mkfifo("t/fifo.jpg")
    os.symlink("loop", "t/loop")
    os.symlink("gone.jpg", "t/dangling.jpg")
    os.symlink("/dev/zero", "t/device.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("t/socket")
        assert statuses("t") == {
            "a.jpg": None,
            "dangling.jpg": Status.NOT_FOUND,
            "device.jpg": Status.NOT_A_FILE,
            "fifo.jpg": Status.NOT_A_FILE,
            "loop": Status.NOT_A_FILE,
            "socket": Status.NOT_A_FILE,
        }
        assert statuses("t/socket", "t/fifo.jpg", "t/loop", "t/device.jpg") == dict.fromkeys(
            ["socket", "fifo.jpg", "loop", "device.jpg"], Status.NOT_A_FILE
        )


@posix
def test_a_loop_of_folders_ends(here: Path) -> None:
    make(here, "t/a.jpg", "t/sub/b.jpg")
    os.symlink("..", "t/sub/up")
    os.symlink("sub", "t/zz")
    assert statuses("t") == {"a.jpg": None, "up": Status.NOT_A_FILE, "b.jpg": None, "zz": Status.NOT_A_FILE}


def test_a_folder_mounted_inside_itself_ends(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(here, "t/a.jpg", "t/sub/t/a.jpg", "t/z/b.jpg")
    identity = inputs._identity

    def mounted(path: str) -> tuple[int, int]:
        return identity(path.removeprefix("t/sub/") if path.startswith("t/sub/t") else path)

    monkeypatch.setattr(inputs, "_identity", mounted)
    items = list(expand(["t"], recursive=True))
    assert [(item.path, item.problem and item.problem[0]) for item in items] == [
        ("t/a.jpg", None),
        ("t/sub/t", Status.NOT_A_FILE),
        ("t/z/b.jpg", None),
    ]


@posix
def test_links_cannot_multiply_the_work(here: Path) -> None:
    # Followed blindly, these thirty folders of two links each would be 2^30 visits.
    for number in range(30):
        Path(f"d{number:02}").mkdir()
        if number:
            for name in ("x", "y"):
                os.symlink(f"../d{number:02}", f"d{number - 1:02}/{name}")
    make(here, "d29/a.jpg")
    items = list(expand(["d00"], recursive=True))
    assert [item.path for item in items if item.problem is None] == ["/".join(["d00", *"x" * 29, "a.jpg"])]
    assert len(items) == 30


@posix
def test_a_link_to_a_folder_elsewhere_is_followed_unless_told_otherwise(here: Path) -> None:
    make(here, "t/a.jpg", "elsewhere/b.jpg")
    os.symlink("../elsewhere", "t/link")
    assert paths("t", recursive=True) == ["t/a.jpg", "t/link/b.jpg"]
    _, link = expand(["t"], recursive=True, follow_folder_links=False)
    assert link.path == "t/link"
    assert link.problem is not None


@posix
def test_names_that_are_not_utf8_survive(here: Path) -> None:
    name = b"\xff\n\xf0\x9f\x98\x80.jpg"
    Path("t").mkdir()
    (here / "t" / os.fsdecode(name)).touch()
    [path] = paths("t")
    assert os.fsencode(path) == b"t/" + name
    assert printable(path) == "t/\\xff\\n\U0001f600.jpg"


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_a_result(here: Path) -> None:
    make(here, "t/a.jpg", "t/secret/b.jpg")
    (here / "t/secret").chmod(0)
    try:
        assert statuses("t") == {"a.jpg": None, "secret": Status.PERMISSION_DENIED}
    finally:
        (here / "t/secret").chmod(0o700)


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(here: Path) -> None:
    make(here, "[2019] x/a.jpg", "[2019] x/what?/b.jpg", "0 x/c.jpg", "y/[2020]/d.jpg", "y/2/e.jpg")
    assert paths("[2019] x/*.jpg") == ["[2019] x/a.jpg"]
    assert paths(str(here / "[2019] x" / "*.jpg")) == [str(here / "[2019] x/a.jpg")]
    assert paths("[2019] x/what?/*.jpg") == ["[2019] x/what?/b.jpg"]
    assert paths("[2019] x/**/*.jpg") == ["[2019] x/a.jpg", "[2019] x/what?/b.jpg"]
    assert paths("*/[2020]/*.jpg") == ["y/[2020]/d.jpg"], "below a pattern too"
    assert paths("[0-9] x/*.jpg") == ["0 x/c.jpg"], "and a pattern stays one where no such folder is"


def test_odd_patterns_find_nothing_or_what_they_say(here: Path) -> None:
    make(here, "t/a.jpg", "t/ab.jpg")
    assert paths("t/a**.jpg") == paths("t/***.jpg") == ["t/a.jpg", "t/ab.jpg"]
    for pattern in ("t/a.jpg/*", "gone/*.jpg", "t/\0*", f"t/{'x' * 300}*", "t/[", "../gone[/**/*"):
        assert [item.problem and item.problem[0] for item in expand([pattern], recursive=True)] == [Status.NOT_FOUND]


def test_files_that_only_look_like_photographs_are_left_out_and_counted(here: Path) -> None:
    make(
        here, "t/a.jpg", "t/._a.jpg", "t/__MACOSX/t/b.jpg", "t/@eaDir/a.jpg/THUMB.jpg", "t/d/._c.png", "t/._notes.txt",
        "t/a.gender-annotated.jpg", "t/a.gender-annotated-2.jpg", "t/d/a.gender-input3.png", "t/a.gender-x.jpg",
    )  # fmt: skip
    left_out = LeftOut()
    found = [item.path for item in expand(["t"], recursive=True, left_out=left_out)]
    assert found == ["t/a.gender-x.jpg", "t/a.jpg"]
    assert left_out.count == 7
    assert left_out.examples == ["._a.jpg", "@eaDir", "__MACOSX"]
    left_out = LeftOut()
    found = [item.path for item in expand(["t/**/*.jpg", "t/._*"], recursive=True, left_out=left_out)]
    assert found == ["t/a.gender-x.jpg", "t/a.jpg"]
    assert paths("t/._a.jpg", "t/a.gender-annotated.jpg") == ["t/._a.jpg", "t/a.gender-annotated.jpg"], "if named"
    assert paths("t/__MACOSX/t/*.jpg") == ["t/__MACOSX/t/b.jpg"]


def test_a_file_called_dash_that_a_pattern_matches_is_no_stdin(here: Path) -> None:
    make(here, "-")
    assert paths("?") == ["./-"]


def test_folders_that_vanish_or_refuse_while_being_walked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(here, "t/a/x.jpg", "t/b/x.jpg", "t/c/x.jpg", "t/d/x.jpg")
    scan = os.scandir
    failures = {
        "t/a": FileNotFoundError(2, "No such file"),
        "t/b": PermissionError(13, "Permission denied"),
        "t/c": OSError(5, "Input/output error"),
    }

    def scandir(path: str) -> object:
        if path in failures:
            raise failures[path]
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert statuses("t") == {
        "a": Status.NOT_FOUND,
        "b": Status.PERMISSION_DENIED,
        "c": Status.UNREADABLE,
        "x.jpg": None,
    }


def test_excluded_folders_are_left_out(here: Path) -> None:
    make(here, "t/a.jpg", "t/out/b.jpg", "t/z/c.jpg")
    items = expand(["t"], recursive=True, exclude=["t/out"])
    assert [item.path for item in items] == ["t/a.jpg", "t/z/c.jpg"]


@posix
def test_a_tree_deeper_than_pythons_recursion_limit(here: Path) -> None:
    # A limit a little above the present depth: a tree of a thousand levels is more than pytest can clean up.
    depth = 60
    (here / "/".join(["t", *"d" * depth])).mkdir(parents=True)
    make(here, "/".join(["t", *"d" * depth, "a.jpg"]))
    frames = len(inspect.stack(0))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 40)
    try:
        found = paths("t", recursive=True)
    finally:
        sys.setrecursionlimit(limit)
    assert found == ["/".join(["t", *"d" * depth, "a.jpg"])]


def test_the_stream_is_lazy_and_memory_does_not_grow_with_the_tree(here: Path) -> None:
    for folder in range(40):
        (here / f"t/{folder:02}").mkdir(parents=True)
        for number in range(50):
            (here / f"t/{folder:02}/{number:02}.jpg").touch()
    tracemalloc.start()
    try:
        count = sum(1 for _ in expand(["t"], recursive=True))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 2000
    assert peak < 100_000, "a list of 2,000 items alone would be more"


@given(names=st.lists(st.text("ab\n\U0001f600é", min_size=1, max_size=6), max_size=8, unique=True))
@settings(max_examples=40, deadline=None)
def test_every_picture_comes_once_in_sorted_order(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("t")
    make(root, *(f"{name}/{name}.jpg" for name in names))
    found = [item.path for item in expand([str(root)], recursive=True) if item.problem is None]
    assert found == sorted((str(root / name / f"{name}.jpg") for name in names), key=lambda path: path.split("/"))


def test_the_suffixes_are_those_pillow_or_the_heif_extra_can_open() -> None:
    image = pytest.importorskip("PIL.Image")
    known = set(image.registered_extensions())
    heif = {".heic", ".heics", ".heif", ".heifs", ".hif"}
    newer = {".pfm", ".avif", ".avifs", ".jif"}  # not in every Pillow this package runs with, or an alias
    assert PICTURE_SUFFIXES - known - heif - newer == set()
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PICTURE_SUFFIXES)


def test_expanding_imports_neither_numpy_nor_onnxruntime(here: Path) -> None:
    code = (
        "import sys, gender_classifier.gender_cli.inputs as i; list(i.expand(['.', '-', '*.jpg'], recursive=True)); "
        "sys.exit(bool({'numpy', 'onnxruntime', 'PIL'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

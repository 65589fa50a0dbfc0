"""Which files are pictures: an allow list of formats, and a sentence that names everything else."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFile

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.prediction import Status
from support import ROOT


def refused(data: bytes) -> str:
    """Returns the sentence for bytes that are a picture in no format of the list."""
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert caught.value.status is Status.UNSUPPORTED_FORMAT
    assert caught.value.message.endswith(".")
    return caught.value.message


def encoded(format_name: str, mode: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 90, 30)).convert(mode).save(buffer, format_name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format_name", "mode", "what"),
    [
        ("JPEG2000", "RGB", "JPEG 2000"), ("ICNS", "RGBA", "Mac icon"), ("PCX", "RGB", "PCX"), ("SGI", "RGB", "SGI"),
        ("DDS", "RGBA", "DirectDraw"), ("XBM", "1", "X bitmap"), ("BLP", "P", "Blizzard"), ("IM", "RGB", "not a"),
        ("MSP", "1", "not a"), ("SPIDER", "F", "not a"), ("EPS", "RGB", "EPS"), ("PDF", "RGB", "PDF"),
    ],
)  # fmt: skip
def test_what_pillow_could_read_outside_the_list_is_named_and_refused(format_name: str, mode: str, what: str) -> None:
    message = refused(encoded(format_name, mode))
    assert what in message
    assert "save" in message or "C source" in message


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\xff\x0a", "JPEG XL"), (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"II\xbc\x01", "JPEG XR"), (b"FUJIFILMCCD-RAW 0201", "raw"), (b"IIU\0\x18\0\0\0", "raw"), (b"qoif", "QOI"),
        (b"RIFF\0\0\1\0AVI LIST", "video"), (b"\x1a\x45\xdf\xa3\x01", "video"), (b"PK\3\4", "ZIP"),
        (b"gimp xcf v011", "GIMP"), (b"\n  <svg xmlns='x'>", "SVG"), (b"\xef\xbb\xbf<?xml ?>", "XML"),
        (b"<!DOCTYPE html>", "web page"), (b"SIMPLE  =      T", "FITS"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "AppleDouble"),
        (b"\x01\0\0\0" + bytes(36) + b" EMF", "metafile"), (b"\xd7\xcd\xc6\x9a", "metafile"),
        (struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2", "video"),
        (struct.pack(">I", 20) + b"ftypcrx \0\0\0\1isom", "raw"),
        (b"MZ\x90\0", "not a picture"), (b"plain words", "not a picture"),
    ],
)  # fmt: skip
def test_other_files_among_pictures_are_named(head: bytes, what: str) -> None:
    assert what in refused(head + bytes(200))


@pytest.mark.parametrize(
    "data",
    [
        b"Dear diary,\ntoday I took no photographs.\n" * 30, b"a", b"\n", b"\0" * 4096, b"\xff" * 4096,
        b"%PDF-1.7\n", b"PK\3\4" + bytes(60), b"<html><body></body></html>", "naïve text, ".encode() * 200,
        b"{\"json\": [1, 2, 3]}", bytes(range(255, -1, -1)) * 8, b"hello world\n" * 100_000, b"P5 is a sentence.\n",
    ],
)  # fmt: skip
def test_what_is_not_a_picture(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"photo\.jpg") as caught:
        decode(path)
    assert caught.value.status is Status.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    "header", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xc5\xd0\xd3\xc6" + bytes(30)]
)
def test_eps_never_runs_a_program(header: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object, **_options: object) -> None:
        raise AssertionError("a program was started")

    for name in ("Popen", "check_call", "run", "call"):
        monkeypatch.setattr(subprocess, name, forbidden)
    monkeypatch.setattr(os, "system", forbidden)
    assert "EPS" in refused(header + b"%%EndComments\n0 0 moveto\n%%EOF\n")


def test_iptc_cannot_smuggle_in_another_format() -> None:
    """Pillow's plugin hands what it finds inside to ``Image.open``, which would draw an EPS."""
    field = lambda tag, data: b"\x1c" + bytes(tag) + struct.pack(">H", len(data)) + data  # noqa: E731
    refused(
        field((3, 20), b"\0\x09") + field((3, 30), b"\0\x09") + field((3, 60), b"\1\0")
        + field((3, 120), b"\0\1") + field((8, 10), b"%!PS-Adobe-3.0 EPSF-3.0\n")
    )  # fmt: skip


def test_plugins_of_the_application_are_not_asked() -> None:
    def factory(*_args: object) -> ImageFile.ImageFile:
        raise AssertionError("a foreign plugin was asked")

    Image.register_open("FOREIGN", factory, lambda prefix: True)  # type: ignore[arg-type]
    try:
        refused(b"FOREIGN" * 10)
    finally:
        del Image.OPEN["FOREIGN"]
        Image.ID.remove("FOREIGN")


def test_the_applications_own_pillow_asks_its_plugins_in_its_order(tmp_path: Path) -> None:
    """That of TGA takes nearly anything; once imported before that of ICO, it took the application's icons."""
    Image.new("RGBA", (128, 128)).save(tmp_path / "TGA", "TGA")
    Image.new("RGBA", (128, 128)).save(tmp_path / "ICO", "ICO", sizes=[(128, 128)], bitmap_format="bmp")
    code = (
        "import sys; from gender_classifier.runtime.decode.decode import decode; from PIL import Image\n"
        "for name in ('TGA', 'ICO'): decode(f'{sys.argv[1]}/{name}')\n"
        "for name in ('TGA', 'ICO'): print(Image.open(f'{sys.argv[1]}/{name}').format)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    assert done.stdout.split() == ["TGA", "ICO"]


def test_a_jpeg_needs_no_other_plugin(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded("JPEG", "RGB"))
    code = (
        "import sys; from gender_classifier.runtime.decode.decode import decode; decode(sys.argv[1])\n"
        "print(sorted(m for m in sys.modules if m.startswith('PIL.') and m.endswith('Plugin')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    assert "PIL.JpegImagePlugin" in done.stdout
    assert "PIL.PngImagePlugin" not in done.stdout


def test_what_a_decoder_says_of_a_file_cannot_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A property of a HEIC called ESC[2J cleared the screen."""

    def load(_self: ImageFile.ImageFile) -> None:
        raise ValueError("unknown property \x1b[2J\x07\u202e\ud800\nof the file")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(ImageError) as caught:
        decode(encoded("PNG", "RGB"))
    assert r"unknown property \x1b[2J\x07\u202e\ud800\nof the file" in caught.value.message
    assert caught.value.message.isprintable()
    assert str(caught.value) == caught.value.message

"""What a picture becomes: sources, colours, orientation."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from gender_classifier.runtime.decode.decode import REDUCED_AT_LEAST, decode
from gender_classifier.runtime.errors import ImageError, OptionError
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status
from support import ROOT, shared


def painted(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A picture without any symmetry, so that every orientation looks different."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([x * 6 % 256, y * 8 % 256, (x * y) % 256], axis=-1).astype(np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "RGB":
        return picture
    if mode in ("RGBA", "LA"):
        alpha = Image.fromarray(((x + y) * 3 % 256).astype(np.uint8))
        picture = picture.convert(mode)
        picture.putalpha(alpha)
        return picture
    if mode == "I;16":
        return Image.fromarray((x * 1500 + y * 40).astype(np.uint16))
    if mode == "F":
        return Image.fromarray((x * 7.3 - 20 + y / 9).astype(np.float32))
    return picture.convert(mode)


def smooth(size: tuple[int, int]) -> Image.Image:
    """Slow gradients: what survives subsampled colours and a reduced scale."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([x * 255 // size[0], y * 255 // size[1], (x + y) * 255 // sum(size)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def reference(data: bytes) -> Image.Image:
    """transformers.image_utils.load_image, without transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as opened:
            upright = ImageOps.exif_transpose(opened)
            assert upright is not None
            return upright.convert("RGB")


def same(left: Image.Image, right: Image.Image) -> bool:
    return left.mode == right.mode == "RGB" and left.size == right.size and left.tobytes() == right.tobytes()


# Sources


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(painted(), "JPEG"))
    return path


def test_every_source_gives_the_same_pixels(jpeg: Path) -> None:
    data = jpeg.read_bytes()
    expected = reference(data)

    class Pathlike:
        def __fspath__(self) -> bytes:
            return os.fsencode(jpeg)

    sources: list[Any] = [
        jpeg, str(jpeg), Pathlike(), data, bytearray(data), memoryview(data), io.BytesIO(data), expected,
        np.asarray(expected), np.asarray(expected)[:, ::-1][:, ::-1],
    ]  # fmt: skip
    for source in sources:
        assert same(decode(source), expected), type(source)
    with jpeg.open("rb") as file:
        assert same(decode(file), expected)
    with jpeg.open("rb", buffering=0) as raw:
        assert same(decode(raw), expected)


def test_result_is_independent_of_file_and_source(jpeg: Path) -> None:
    data = encoded(painted(), "JPEG", exif=orientation_exif(6))
    jpeg.write_bytes(data)
    picture = decode(jpeg)
    before = picture.tobytes()
    jpeg.write_bytes(b"something else")
    assert picture.tobytes() == before
    assert picture.getexif().get(0x0112, 1) == 1, "applied once, it must not be there to be applied again"
    assert pickle.loads(pickle.dumps(picture)).tobytes() == before
    assert type(picture) is Image.Image

    mine = painted()
    given = decode(mine)
    given.putpixel((0, 0), (1, 2, 3))
    assert mine.tobytes() == painted().tobytes()

    array = np.zeros((4, 5, 3), np.uint8)
    given = decode(array)
    array[:] = 255
    assert not np.asarray(given).any()


def test_callers_picture_is_not_changed() -> None:
    data = encoded(painted(), "PNG", exif=orientation_exif(8))
    mine = Image.open(io.BytesIO(data))
    assert same(decode(mine), reference(data))
    assert mine.size == (40, 30)
    assert mine.getexif()[0x0112] == 8


def test_seekable_stream_is_read_whole_restored_and_left_open(jpeg: Path) -> None:
    data = jpeg.read_bytes()
    stream = io.BytesIO(data)
    stream.seek(0, io.SEEK_END)  # where saving into it left off
    assert same(decode(stream), reference(data))
    assert stream.tell() == len(data)
    assert not stream.closed


def test_pipe_is_read_from_where_it_stands(jpeg: Path) -> None:
    data = jpeg.read_bytes()
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as reader, os.fdopen(write_end, "wb") as writer:
        thread = threading.Thread(target=lambda: (writer.write(data), writer.close()))
        thread.start()
        assert same(decode(reader), reference(data))
        thread.join()
        assert not reader.closed


@pytest.mark.parametrize("wrong", [None, 3, 1.5, ["a.jpg"], object(), (1, 2), {"a": 1}])
def test_wrong_type_is_a_wrong_call(wrong: Any) -> None:
    with pytest.raises(TypeError, match="A picture is a path"):
        decode(wrong)


def test_file_in_text_mode_is_a_wrong_call(jpeg: Path) -> None:
    with jpeg.open("r", encoding="latin-1") as file, pytest.raises(TypeError, match="binary mode"):
        decode(file)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="binary mode"):
        decode(io.StringIO("text"))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.bool_, np.int8])
def test_array_of_another_dtype_is_a_wrong_call(dtype: Any) -> None:
    with pytest.raises(TypeError, match=f"not {np.dtype(dtype)}"):
        decode(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (3, 4, 4, 3), (4, 4, 5), (3, 40, 40)])
def test_array_of_another_shape_is_a_wrong_call(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="height, width, 3"):
        decode(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_array_is_taken_as_pillow_takes_it(mode: str) -> None:
    picture = Image.frombytes(mode, (5, 4), np.random.default_rng(0).bytes(5 * 4 * len(mode)))
    array = np.asarray(picture)
    shapes = [array, array[:, :, None]] if mode == "L" else [array]
    for each in shapes:
        assert decode(each).tobytes() == picture.convert("RGB").tobytes()
        assert decode(each[::-1, ::2]).size == (3, 4)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 4), (4, 0, 1)])
def test_array_without_pixels_is_a_bad_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="no pixels") as caught:
        decode(np.zeros(shape, np.uint8))
    assert caught.value.status is Status.UNREADABLE


def test_picture_without_pixels_is_a_bad_picture() -> None:
    with pytest.raises(ImageError, match="no pixels") as caught:
        decode(Image.new("RGB", (0, 5)))
    assert caught.value.status is Status.UNREADABLE


# Colours

MODES_BY_FORMAT = [
    ("PNG", "1"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGB"), ("PNG", "RGBA"),
    ("TIFF", "1"), ("TIFF", "L"), ("TIFF", "LA"), ("TIFF", "P"), ("TIFF", "RGB"), ("TIFF", "RGBA"),
    ("TIFF", "CMYK"), ("TIFF", "LAB"),
    ("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "L"), ("GIF", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA"),
    ("BMP", "1"), ("BMP", "L"), ("BMP", "P"), ("BMP", "RGB"), ("BMP", "RGBA"), ("PPM", "1"), ("PPM", "L"),
    ("PPM", "RGB"),     ("TGA", "LA"), ("TGA", "RGB"), ("TGA", "RGBA"), ("TGA", "P"),
    ("DIB", "RGB"), ("AVIF", "RGB"), ("AVIF", "RGBA"), ("ICO", "RGBA"),
]  # fmt: skip


@pytest.mark.parametrize(("format_name", "mode"), MODES_BY_FORMAT)
def test_colours_are_those_of_the_reference(format_name: str, mode: str) -> None:
    data = encoded(painted(mode, (32, 24)), format_name)
    assert same(decode(data), reference(data))


def test_transparency_is_dropped_not_composited() -> None:
    picture = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    assert decode(encoded(picture, "PNG")).getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("transparency", [0, bytes(range(256))])
def test_palette_with_transparency_keeps_its_colours(transparency: int | bytes) -> None:
    data = encoded(painted("P"), "PNG", transparency=transparency)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of the second case
        assert same(decode(data), reference(data))


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_to_eight_bits(format_name: str) -> None:
    """The reference clips: all but the darkest 255 of 65,536 shades become white."""
    samples = np.array([[0, 1, 255, 256, 1000, 32768, 65535]], np.uint16)
    data = encoded(Image.fromarray(samples), format_name)
    assert np.asarray(decode(data))[0, :, 0].tolist() == [0, 0, 0, 1, 3, 128, 255]
    assert np.asarray(decode(Image.open(io.BytesIO(data))))[0, :, 0].tolist() == [0, 0, 0, 1, 3, 128, 255]


def test_cmyk_ignores_its_profile() -> None:
    plain = encoded(painted("CMYK"), "JPEG")
    profiled = encoded(painted("CMYK"), "JPEG", icc_profile=b"\0" * 200)
    assert decode(plain).tobytes() == decode(profiled).tobytes() == reference(plain).tobytes()


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_first_frame_counts(format_name: str) -> None:
    first, second = Image.new("RGB", (16, 16), (200, 10, 10)), Image.new("RGB", (16, 16), (10, 10, 200))
    data = encoded(first, format_name, save_all=True, append_images=[second], **lossless(format_name))
    got = decode(data)
    assert same(got, reference(data))
    red, _, blue = got.getpixel((8, 8))  # type: ignore[misc]
    assert red > 150 > 100 > blue


# Orientation


def orientation_exif(value: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def lossless(format_name: str) -> dict[str, Any]:
    return {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(format_name, {})


TURNS = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}  # fmt: skip


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(format_name: str, orientation: int) -> None:
    stored = painted()
    data = encoded(stored, format_name, exif=orientation_exif(orientation), **lossless(format_name))
    flat = np.asarray(decode(encoded(stored, format_name, **lossless(format_name))))
    expected = TURNS[orientation](flat)
    for source in (data, io.BytesIO(data), Image.open(io.BytesIO(data))):
        assert np.array_equal(np.asarray(decode(source)), expected)
    assert same(decode(data), reference(data))


def test_orientation_examples_look_the_same() -> None:
    folder = shared("decode_corpus/exif_orientation")
    for kind in ("Landscape", "Portrait"):
        upright = np.asarray(decode(folder / f"{kind}_1.jpg"), np.int16)
        for number in range(9):
            turned = np.asarray(decode(folder / f"{kind}_{number}.jpg"), np.int16)
            assert turned.shape == upright.shape, number
            # Each example has its number painted on it, and was compressed on its own.
            assert np.abs(turned - upright).mean() < 8, number


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0nonsense that is no TIFF header",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 9,
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",  # orientation 99
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x03ab\0\0\0\0\0\0",  # orientation "ab"
        b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(30),
        b"Exif\0\0" + bytes(range(91, 155)),
    ],
)
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_leaves_the_picture_as_stored(format_name: str, exif: bytes) -> None:
    flat = decode(encoded(painted(), format_name, **lossless(format_name)))
    data = encoded(painted(), format_name, exif=exif, **lossless(format_name))
    assert same(decode(data), flat)


def test_xmp_orientation_of_a_png() -> None:
    xmp = '<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    data = encoded(painted(), "PNG", pnginfo=info)
    assert same(decode(data), reference(data))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(painted())[::-1, ::-1])


# JPEG at reduced scale


@pytest.mark.parametrize("orientation", [1, 6])
def test_target_decodes_a_large_jpeg_smaller_and_upright(orientation: int) -> None:
    data = encoded(smooth((2400, 1200)), "JPEG", exif=orientation_exif(orientation))
    small = decode(data, target=(100, 100))
    assert min(small.size) >= REDUCED_AT_LEAST * 100
    assert small.size == ((1200, 600) if orientation == 1 else (600, 1200))
    full = decode(data).resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, np.int16) - np.asarray(full, np.int16)).mean() < 3


def test_target_leaves_the_rest_alone() -> None:
    jpeg = encoded(painted(size=(790, 1000)), "JPEG")
    png = encoded(painted(size=(2400, 1200)), "PNG")
    whole = painted(size=(2400, 1200))
    assert decode(jpeg, target=(100, 100)).size == (790, 1000), "1/2 would be less than four times the target"
    assert decode(png, target=(100, 100)).size == (2400, 1200)
    assert decode(whole, target=(100, 100)).size == (2400, 1200)
    lazily = Image.open(io.BytesIO(encoded(whole, "JPEG")))
    assert decode(lazily, target=(100, 100)).size == (2400, 1200), "the caller's picture is not ours to draft"


# HEIC


@pytest.fixture
def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(painted(size=(64, 48))).save(buffer, quality=-1)
    return buffer.getvalue()


def test_heic(heic: bytes) -> None:
    import pillow_heif

    expected = pillow_heif.open_heif(io.BytesIO(heic)).to_pillow().convert("RGB")
    assert same(decode(heic), expected)


@pytest.mark.parametrize("orientation", [3, 6, 5])
def test_heic_is_turned_once(orientation: int) -> None:
    """Cameras write the turn twice: as a property of the picture, which libheif applies, and as EXIF."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    picture = smooth((64, 48))
    data = encoded(picture, "HEIF", exif=orientation_exif(orientation), quality=-1)
    stored = Image.Exif()
    stored.load(pillow_heif.open_heif(data).info["exif"])
    assert stored[0x0112] == orientation
    assert b"irot" in data or b"imir" in data
    got = np.asarray(decode(data), np.int16)
    expected = TURNS[orientation](np.asarray(picture, np.int16))
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < 4


def test_heic_without_the_extra_names_it(heic: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(heic)
    with pytest.raises(ImageError, match=r"IMG_0001.HEIC.*pip install .*\[heif\]") as caught:
        decode(path)
    assert caught.value.status is Status.UNSUPPORTED_FORMAT


def test_truncated_heic(heic: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for flag in (False, True):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", flag)
        for cut in (len(heic) // 3, len(heic) * 2 // 3, len(heic) - 2):
            with pytest.raises(ImageError) as caught:
                decode(heic[:cut])
            assert caught.value.status is Status.UNREADABLE


# The module itself


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys, runtime.decode\n"
        "heavy = {'numpy', 'onnxruntime', 'pillow_heif', 'PIL.EpsImagePlugin', 'PIL.TiffImagePlugin'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    # -S would hide Pillow; the package's own __init__ may not import numpy either.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_threads_agree() -> None:
    sources = [
        encoded(painted(mode), name)
        for name, mode in (("PNG", "P"), ("JPEG", "RGB"), ("TIFF", "CMYK"), ("WEBP", "RGBA"), ("GIF", "P"))
    ]
    expected = [decode(source).tobytes() for source in sources]
    failures: list[object] = []

    def work() -> None:
        for _ in range(20):
            for source, pixels in zip(sources, expected, strict=True):
                try:
                    if decode(source).tobytes() != pixels:
                        failures.append("different pixels")
                except Exception as error:  # noqa: BLE001 - a thread's traceback would be lost
                    failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10", None])
@pytest.mark.parametrize("name", ["max_bytes", "max_pixels"])
def test_limits_are_positive_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name):
        Limits(**{name: value})

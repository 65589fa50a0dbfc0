"""A bundle is used only when every byte is the one its manifest names."""

from __future__ import annotations

import pytest

from gender_classifier.runtime.bundle.bundle import Bundle, sha256_of
from gender_classifier.runtime.errors import (
    BundleIntegrityError,
    ClassifierError,
    ManifestError,
    ModelNotFoundError,
    VariantNotFoundError,
)
from support import tiny_bundle


@pytest.fixture
def folder(tmp_path):
    return tiny_bundle(tmp_path)


def test_an_intact_bundle_opens(folder):
    bundle = Bundle.open(folder)
    assert bundle.variant_path() == folder / "onnx/model.onnx"
    assert bundle.variant_path("fp32") == bundle.variant_path()
    assert bundle.processor_config()["image_processor_type"] == "ViTImageProcessor"
    bundle.verify()


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "onnx/model.onnx"])
@pytest.mark.parametrize("where", ["first", "last"])
def test_one_changed_byte_is_noticed(folder, name, where):
    file = folder / name
    content = bytearray(file.read_bytes())
    content[0 if where == "first" else -1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleIntegrityError, match=name):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "onnx/model.onnx"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleIntegrityError, match=f"{name} is missing"):
        Bundle.open(folder)


def test_a_folder_without_manifest_is_no_bundle(folder):
    (folder / "bundle.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no bundle\.json"):
        Bundle.open(folder)
    with pytest.raises(FileNotFoundError):  # the builtin a caller would catch
        Bundle.open(folder / "nowhere")


def test_a_broken_manifest_names_its_file(folder):
    (folder / "bundle.json").write_text('{"format_version": 1, "surprise": 2}')
    with pytest.raises(ManifestError, match=r"bundle\.json cannot be used: it has an unknown field: surprise"):
        Bundle.open(folder)
    (folder / "bundle.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClassifierError):
        Bundle.open(folder)


def test_an_unknown_variant_lists_those_there_are(folder):
    with pytest.raises(VariantNotFoundError, match="'q4'; it has: fp32"):
        Bundle.open(folder, variant="q4")


def test_sha256_of_a_large_file(tmp_path):
    import hashlib

    content = bytes(range(256)) * 10_000  # more than one chunk
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()

"""A bundle is used only when every byte is the one its manifest names."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest
from PIL import Image

from gender_classifier import runtime
from gender_classifier.runtime import network
from gender_classifier.runtime.bundle.bundle import Bundle, read_manifest
from gender_classifier.runtime.bundle.files import sha256_of
from gender_classifier.runtime.errors import (
    BundleError,
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


def use(folder):
    """What loading does: the small files are compared at once, the ONNX file when it is read."""
    with Bundle.open(folder).opened_variant() as model:
        return model


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "onnx/model.onnx"])
@pytest.mark.parametrize("where", ["first", "last", "more"])
def test_one_changed_byte_is_noticed(folder, name, where):
    file = folder / name
    content = bytearray(file.read_bytes())
    if where == "more":
        content += b" "
    else:
        content[0 if where == "first" else -1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleIntegrityError, match=name):
        use(folder)
    with pytest.raises(BundleIntegrityError, match=name):
        runtime.load(folder)
    with pytest.raises(BundleIntegrityError, match=name):
        Bundle(folder, read_manifest(folder)).verify()


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "onnx/model.onnx"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleIntegrityError, match=f"{name} is missing"):
        use(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("name", ["bundle.json", "preprocessor_config.json", "onnx/model.onnx"])
@pytest.mark.parametrize("what", ["fifo", "folder", "device"])
def test_only_regular_files_are_opened(folder, name, what):
    (folder / name).unlink()
    if what == "fifo":
        os.mkfifo(folder / name)
    elif what == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=r"not a regular file|directory"):
        use(folder)


def forge(folder, content):
    """Gives a bundle another ONNX file, and its manifest the hash of that."""
    (folder / "onnx/model.onnx").write_bytes(content)
    data = json.loads((folder / "bundle.json").read_text())
    data["variants"]["fp32"] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps(data))


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "{tmp}/weights.bin", "*/_ORT_MEM_ADDR_/*"])
@pytest.mark.parametrize("optimize", [True, False])
def test_external_data_is_refused_whatever_the_manifest_vouches_for(folder, tmp_path, monkeypatch, location, optimize):
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(folder / "onnx/model.onnx")
    weights = proto.graph.initializer[0]
    for place in (tmp_path, folder, folder / "onnx"):
        (place / "weights.bin").write_bytes(weights.raw_data)
    monkeypatch.chdir(tmp_path)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location.format(tmp=tmp_path))
    forge(folder, proto.SerializeToString())
    with pytest.raises(BundleError, match="another file"):
        runtime.load(folder, optimize=optimize)


def test_a_name_that_contains_the_word_location_is_no_external_data(folder):
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(folder / "onnx/model.onnx")
    proto.graph.node[0].name = "/model/location/allocation"
    proto.doc_string = "the location of things"
    forge(folder, proto.SerializeToString())
    assert runtime.load(folder).predict(Image.new("RGB", (9, 9), "red")).label == "female"


@pytest.mark.parametrize("size", [0, 20 << 20])
def test_a_file_put_in_its_place_while_it_is_read_is_never_loaded(folder, monkeypatch, size):
    """The bytes that were hashed are the bytes that are loaded, small files and large ones."""
    onnx = pytest.importorskip("onnx")
    good = onnx.load(folder / "onnx/model.onnx")
    good.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(size, np.uint8), "ballast"))
    forge(folder, good.SerializeToString())
    evil = onnx.load(folder / "onnx/model.onnx")
    evil.graph.initializer[0].raw_data = bytes(len(evil.graph.initializer[0].raw_data))
    (folder / "evil").write_bytes(evil.SerializeToString())
    create = network.create_session

    def swap(*args, **named):
        (folder / "evil").replace(folder / "onnx/model.onnx")
        return create(*args, **named)

    monkeypatch.setattr(network, "create_session", swap)
    if size:
        with pytest.raises(BundleIntegrityError, match="try again"):
            runtime.load(folder)
    else:
        assert runtime.load(folder).predict(Image.new("RGB", (9, 9), "red")).score > 0.9


def test_a_large_file_that_is_written_to_while_it_is_loaded_is_refused(folder, monkeypatch):
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(folder / "onnx/model.onnx")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(20 << 20, np.uint8), "ballast"))
    forge(folder, proto.SerializeToString())
    create = network.create_session

    def write(*args, **named):
        session = create(*args, **named)
        with (folder / "onnx/model.onnx").open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
        return session

    monkeypatch.setattr(network, "create_session", write)
    with pytest.raises(BundleIntegrityError, match="changed while it was being loaded; try again"):
        runtime.load(folder)


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
    with pytest.raises(VariantNotFoundError, match="'q4'; it has: fp32"), Bundle.open(folder).opened_variant("q4"):
        pass


def test_sha256_of_a_large_file(tmp_path):
    content = bytes(range(256)) * 10_000  # more than one chunk
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()

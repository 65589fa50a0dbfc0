"""The manifest is a closed format: what it does not name, it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gender_classifier.runtime.bundle.manifest import FORMAT_VERSION, MANIFEST_NAME, Framing, Manifest
from gender_classifier.runtime.errors import ManifestError, OptionError
from support import tiny_bundle


@pytest.fixture
def data(tmp_path) -> dict[str, Any]:
    return json.loads((tiny_bundle(tmp_path) / MANIFEST_NAME).read_text())


def read(data: dict[str, Any]) -> Manifest:
    return Manifest.from_json(json.dumps(data))


def test_round_trip(data):
    manifest = read(data)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.meanings == ("female", "male")
    assert next(iter(json.loads(manifest.to_json()))) == "format_version"


def test_version_1_is_read_and_its_face_framing_is_called_box(data):
    data |= {"format_version": 1, "framing": {"kind": "face", "margin": 0.25}}
    manifest = read(data)
    assert manifest.framing == Framing("box", 0.25)
    assert manifest.format_version == FORMAT_VERSION
    assert Manifest.from_json(manifest.to_json()) == manifest
    data["framing"] = {"kind": "image"}
    assert read(data).framing == Framing("image")


def test_a_framing_from_flags_has_the_numbers_of_the_built_in_model():
    assert Framing.of("eyes") == Framing("eyes", 0.065, 0.3, 0.4)
    assert Framing.of("box") == Framing("box", 0.25)
    assert Framing.of("eyes", eye_line=0.5).eye_line == 0.5
    for kind, wrong in (("image", {"margin": 0.1}), ("box", {"eye_line": 0.4}), ("eyes", {"eye_distance": 1.5})):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Framing.of(kind, **wrong)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("surprise",), 1, "unknown field: surprise"),
        (("source", "surprise"), 1, "source has an unknown field: surprise"),
        (("variants", "fp32", "surprise"), 1, "variants.fp32 has an unknown field: surprise"),
        (("name",), 3, "name is not a text"),
        (("io", "height"), True, "io.height is not a whole number"),
        (("io", "height"), 8.0, "io.height is not a whole number"),
        (("io", "height"), 0, "height and width are positive"),
        (("io", "height"), 8193, "height and width are at most 8192"),
        (("io", "channels"), 4, "channels is 3"),
        (("labels",), {}, "labels is not a list"),
        (("labels",), [], "at least two labels"),
        (("activation",), "relu", "activation is 'relu'"),
        (("framing", "kind"), "box", "box framing needs a margin"),
        (("framing", "kind"), "face", "framing.kind is 'face'"),
        (("framing",), {"kind": "eyes", "margin": 0.2, "eye_line": 0.4}, "needs an eye_distance"),
        (("framing",), {"kind": "box", "margin": 0.2, "eye_line": 0.4}, "box framing has no eye_line"),
        (("framing", "margin"), 0.2, "image framing has no margin"),
        (("source", "digest"), "abc", "sha256 digest"),
        (("source", "kind"), "hub", "40 hex digits"),
        (("variants", "fp32", "file"), "../model.onnx", "not a path inside the bundle"),
        (("variants", "fp32", "file"), "/model.onnx", "not a path inside the bundle"),
        (("variants", "fp32", "file"), "c:\\model.onnx", "not a path inside the bundle"),
        (("variants", "fp32", "sha256"), "A" * 64, "is not a sha256"),
        (("default_variant",), "int8", "default_variant 'int8' is not in variants"),
        (("decision", "temperature"), 0, "temperature is not positive"),
        (("decision", "thresholds"), {"female": 1.5}, "not in [0, 1]"),
        (("decision", "thresholds"), {"cat": 0.5}, "unknown meanings: ['cat']"),
        (("processor", "file"), "other.json", "files does not hold other.json"),
        (("format_version",), FORMAT_VERSION + 1, f"reads 1 and {FORMAT_VERSION}"),
    ],
)
def test_a_wrong_field_is_named(data, path, value, said):
    where = data
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    with pytest.raises(ManifestError, match=_literally(said)):
        read(data)


def test_labels_with_one_meaning_are_refused(data):
    data["labels"][1]["meaning"] = "female"
    with pytest.raises(ManifestError, match="two labels share a meaning"):
        read(data)


@pytest.mark.parametrize("field", ["name", "labels", "variants", "io", "files", "default_variant"])
def test_a_missing_field_is_named(data, field):
    del data[field]
    with pytest.raises(ManifestError, match=f"lacks a field: {field}"):
        read(data)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"a": NaN}', "null", "3"])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


def test_a_newer_format_is_said_to_be_newer_before_its_fields_are_looked_at(data):
    data |= {"format_version": 99, "surprise": 1}
    with pytest.raises(ManifestError, match="format_version is 99"):
        read(data)


def _literally(text: str) -> str:
    import re

    return re.escape(text)

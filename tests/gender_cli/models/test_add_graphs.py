"""``gender-classifier models add``: which graphs are taken."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gender_classifier import runtime
from gender_classifier.runtime.bundle import onnx_folder
from gender_classifier.runtime.bundle.bundle import Bundle
from gender_classifier.runtime.errors import BundleError
from support.foreign import DOUBLE, FLOAT, LOGITS, PIXELS, classify_nodes, left_in, save

onnx = pytest.importorskip("onnx")


class TestGraphs:
    @pytest.mark.parametrize(
        ("inputs", "outputs", "classes", "sentence"),
        [
            ([PIXELS], [("logits", FLOAT, ["batch", 3])], 3, "logits (float32, any x 3)"),
            ([("pixel_values", FLOAT, ["batch", 3, 16, 16])], [LOGITS], 2, "16 pixels where the processor makes 8"),
            ([("pixel_values", FLOAT, ["batch", 1, 8, 8])], [LOGITS], 2, "1 channels"),
            ([("pixel_values", FLOAT, [4, 3, 8, 8])], [("logits", FLOAT, [4, 2])], 2, "exactly 4 pictures"),
            ([("pixel_values", FLOAT, ["batch", 192])], [LOGITS], 2, "one float32 input"),
            ([PIXELS, ("ages", FLOAT, ["batch"])], [LOGITS], 2, "pixel_values (float32, any x 3 x 8 x 8), ages"),
            (
                [("pixel_values", DOUBLE, ["batch", 3, 8, 8])],
                [("logits", DOUBLE, ["batch", 2])],
                2,
                "one float32 input",
            ),
        ],
    )
    def test_a_graph_that_does_not_fit(self, models, foreign, run, inputs, outputs, classes, sentence):
        # Whatever its input is, a graph that runs: made into three float channels first, and back at the end.
        helper = onnx.helper
        _, kind, shape = inputs[0]
        nodes, weights = classify_nodes(classes, source="rgb", target="scores")
        first = helper.make_node("Cast", ["pixel_values"], ["floats"], to=FLOAT)
        if len(shape) == 2:
            second = helper.make_node("Reshape", ["floats", "shape"], ["rgb"])
            weights.append(onnx.numpy_helper.from_array(np.array([0, 3, 8, 8]), "shape"))
        else:
            second = helper.make_node("Concat", ["floats"] * (4 - shape[1] if shape[1] < 3 else 1), ["rgb"], axis=1)
        last = helper.make_node("Cast", ["scores"], ["logits"], to=kind)
        save(foreign, [first, second, *nodes, last], inputs, outputs, weights)
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert sentence in err
        assert left_in(models) == []

    def test_two_outputs_without_logits(self, models, foreign, run):
        nodes, weights = classify_nodes(target="gender")
        nodes.append(onnx.helper.make_node("Identity", ["gender"], ["age"]))
        save(foreign, nodes, [PIXELS], [("gender", FLOAT, ["batch", 2]), ("age", FLOAT, ["batch", 2])], weights)
        assert "gender (float32, any x 2), age" in run("models", "add", foreign)[2]

    def test_of_several_outputs_logits_counts(self, models, foreign, run):
        nodes, weights = classify_nodes()
        nodes.append(onnx.helper.make_node("Identity", ["flat"], ["hidden"]))
        save(foreign, nodes, [PIXELS], [("hidden", FLOAT, ["batch", 3]), LOGITS], weights)
        assert run("models", "add", foreign)[0] == 0
        assert Bundle.open(models / "tiny").manifest.io.output_name == "logits"

    def test_other_names_and_free_sizes(self, models, foreign, run):
        nodes, weights = classify_nodes(source="x", target="y")
        save(foreign, nodes, [("x", FLOAT, ["n", "c", "h", "w"])], [("y", FLOAT, ["n", "k"])], weights)
        assert run("models", "add", foreign)[0] == 0
        io = Bundle.open(models / "tiny").manifest.io
        assert (io.input_name, io.output_name, io.height, io.width) == ("x", "y", 8, 8)

    def test_one_picture_at_a_time(self, models, foreign, run):
        nodes, weights = classify_nodes()
        save(foreign, nodes, [("pixel_values", FLOAT, [1, 3, 8, 8])], [("logits", FLOAT, [1, 2])], weights)
        assert run("models", "add", foreign)[0] == 0
        pictures = [Image.new("RGB", (9, 9), colour) for colour in ("red", "lime", "red")]
        assert [one.label for one in runtime.load(models / "tiny").predict_many(pictures)] == [
            "female",
            "male",
            "female",
        ]

    def test_values_that_are_no_numbers(self, models, foreign, run):
        nodes, weights = classify_nodes(target="raw")
        nodes.append(onnx.helper.make_node("Div", ["raw", "zero"], ["logits"]))
        zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero")
        save(foreign, nodes, [PIXELS], [LOGITS], [*weights, zero])
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "not numbers" in err

    def test_an_operator_that_this_onnxruntime_lacks(self, models, foreign, run):
        nodes = [onnx.helper.make_node("NoSuchOperator", ["pixel_values"], ["logits"], domain="com.microsoft")]
        save(foreign, nodes, [PIXELS], [LOGITS])
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "NoSuchOperator" in err

    def test_external_data(self, models, foreign, run):
        proto = onnx.load(foreign / "onnx/model.onnx")
        onnx.save(proto, foreign / "onnx/model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "self-contained" in err
        with pytest.raises(BundleError, match="another file"):
            onnx_folder.open_folder(foreign)

    @pytest.mark.parametrize("content", [b"", b"no onnx file", b"version https://git-lfs.github.com/spec/v1\noid"])
    def test_no_onnx_file(self, models, foreign, run, content):
        (foreign / "onnx/model.onnx").write_bytes(content)
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert ("git lfs pull" if b"lfs" in content else "not an ONNX file") in err

    def test_dynamic_quantisation_is_recorded(self, models, foreign, run):
        quantization = pytest.importorskip("onnxruntime.quantization")
        source = foreign / "onnx/model.onnx"
        quantization.quantize_dynamic(source, foreign / "onnx/model_quantized.onnx")
        assert run("models", "add", foreign)[0] == 0
        variants = Bundle.open(models / "tiny").manifest.variants
        assert list(variants) == ["fp32", "int8"]
        assert variants["fp32"].quantization is None
        assert variants["int8"].quantization == {"mode": "unknown"}
        # Activations are scaled by the batch, so that the runtime has to run such a graph picture by picture.
        assert runtime.load(models / "tiny", variant="int8").network._step == 1

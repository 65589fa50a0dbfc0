"""Faces, on a detector that takes red cells for faces: where they are, how often it looks, what is refused."""

from __future__ import annotations

import itertools
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gender_classifier.runtime.errors import ClassifierError, DetectorError, ModelNotFoundError, OptionError
from gender_classifier.runtime.faces import tiles, yunet
from gender_classifier.runtime.faces.detector import Detector
from support import shared
from support.tiny_detector import red_detector, write_detector


def picture(size, *reds):
    image = Image.new("RGB", size, (40, 60, 40))
    draw = ImageDraw.Draw(image)
    for x0, y0, x1, y1 in reds:
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=(255, 0, 0))
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("detectors")


@pytest.fixture(scope="module")
def dynamic(folder):
    return red_detector(folder / "dynamic.onnx", stride=32)


@pytest.fixture(scope="module")
def fixed(folder):
    return red_detector(folder / "fixed.onnx", stride=32, size=(640, 640))


def counted(detector):
    """Returns a list that grows by the size of every look."""
    looks = []
    original = detector.candidates

    def candidates(rgb, **named):
        looks.append((rgb.shape[1], rgb.shape[0]))
        return original(rgb, **named)

    detector.candidates = candidates
    return looks


# -- what the outputs mean -----------------------------------------------------------------------------------------


def random_outputs(width, height, seed):
    generator = np.random.default_rng(seed)
    outputs = {}
    for stride in yunet.STRIDES:
        cells = (width // stride) * (height // stride)
        for kind, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            values = generator.normal(0.5, 0.6, (1, cells, channels))  # also beyond [0, 1], as the clamp expects
            outputs[f"{kind}_{stride}"] = values.astype(np.float32)
    return outputs


def test_decoding_is_the_formula_cell_by_cell():
    width, height = 96, 64
    outputs = random_outputs(width, height, seed=1)
    found = yunet.decode(outputs, width, threshold=0.7)
    expected = []
    for stride in yunet.STRIDES:
        for row in range(height // stride):
            for column in range(width // stride):
                cell = row * (width // stride) + column
                cls = min(max(float(outputs[f"cls_{stride}"][0, cell, 0]), 0), 1)
                obj = min(max(float(outputs[f"obj_{stride}"][0, cell, 0]), 0), 1)
                if (score := (cls * obj) ** 0.5) < 0.7:
                    continue
                dx, dy, dw, dh = outputs[f"bbox_{stride}"][0, cell].astype(float)
                x, y, w, h = (column + dx) * stride, (row + dy) * stride, np.exp(dw) * stride, np.exp(dh) * stride
                marks = outputs[f"kps_{stride}"][0, cell].astype(float).reshape(5, 2)
                marks = [((mx + column) * stride, (my + row) * stride) for mx, my in marks]
                expected.append((score, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), marks))
    assert len(found.scores) == len(expected) > 20
    np.testing.assert_allclose(found.scores, [one[0] for one in expected], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, [one[1] for one in expected], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.landmarks, [one[2] for one in expected], rtol=1e-4, atol=1e-3)


def test_nothing_above_the_threshold_is_no_candidate():
    found = yunet.decode(random_outputs(64, 64, seed=2), 64, threshold=1.1)
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)
    assert len(yunet.non_maximum_suppression(found, 0.3).scores) == 0


@pytest.mark.parametrize("seed", range(5))
def test_suppression_keeps_the_best_of_every_overlapping_group(seed):
    generator = np.random.default_rng(seed)
    corners = generator.integers(0, 200, (120, 2))
    sides = generator.integers(10, 80, (120, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    scores = generator.permutation(120).astype(np.float32) / 120
    found = yunet.non_maximum_suppression(yunet.Candidates(boxes, scores, np.zeros((120, 5, 2), np.float32)), 0.3)

    def overlap(a, b):
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared_area = max(0, wide) * max(0, high)
        return shared_area / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared_area)

    kept = []
    for index in sorted(range(120), key=lambda i: -scores[i]):
        if all(overlap(boxes[index], boxes[other]) <= 0.3 for other in kept):
            kept.append(index)
    assert found.scores.tolist() == [scores[index] for index in kept]
    assert found.boxes.tolist() == [boxes[index].tolist() for index in kept]


def test_input_is_blue_green_red_with_black_padding_right_and_below():
    rgb = np.zeros((3, 5, 3), np.uint8)
    rgb[..., 0], rgb[..., 1], rgb[..., 2] = 10, 20, 30
    blob = yunet.to_input(rgb, 32, 64)
    assert blob.shape == (1, 3, 32, 64)
    assert blob.dtype == np.float32
    assert blob[0, :, :3, :5].reshape(3, -1).tolist() == [[30] * 15, [20] * 15, [10] * 15]
    assert blob.sum() == 15 * (10 + 20 + 30)


# -- sizes and tiles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(640, 640), (641, 1), (1152, 864), (1280, 720), (5000, 300), (777, 2311), (1, 1)])
def test_tiles_cover_every_pixel_and_overlap_enough(size):
    covered = np.zeros((size[1], size[0]), np.uint8)
    pieces = tiles.tiles(size, (640, 640))
    for piece in pieces:
        assert 0 <= piece.left < piece.right <= size[0]
        assert 0 <= piece.top < piece.bottom <= size[1]
        assert max(piece.size) <= 640
        covered[piece.top : piece.bottom, piece.left : piece.right] = 1
    assert covered.all()
    lefts = sorted({piece.left for piece in pieces})
    assert all(left + 640 - following >= 128 for left, following in itertools.pairwise(lefts))


def test_the_default_size_takes_four_tiles():
    assert len(tiles.tiles((1152, 1152), (640, 640))) == 4
    assert len(tiles.tiles((1153, 1153), (640, 640))) == 9


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((4000, 3000), ((640, 480), (1152, 864))),
        ((640, 480), ((640, 480),)),
        ((700, 500), ((640, 457),)),  # a look that is hardly larger shows nothing new
        ((200, 300), ((200, 300),)),  # nothing is enlarged
        ((20000, 10), ((640, 1), (1152, 1))),
    ],
)
def test_levels(size, expected):
    assert tiles.levels(size, (640, 640), 1152) == expected


# -- finding -------------------------------------------------------------------------------------------------------


def test_face_is_where_it_is_in_the_picture(dynamic, fixed):
    image = picture((320, 224), (64, 96, 96, 128))
    for path in (dynamic, fixed):
        (face,) = Detector.load(path).detect(image)
        assert face.box == pytest.approx((64, 96, 96, 128), abs=0.01)
        assert face.score > 0.99
        assert np.allclose(face.landmarks, [(80, 112)] * 5)
        assert len(face.landmarks) == 5


def test_blue_is_no_face(dynamic):
    image = Image.new("RGB", (128, 128), (0, 0, 255))
    assert Detector.load(dynamic).detect(image) == ()


@pytest.mark.parametrize("size", [(1280, 320), (320, 1280), (1000, 700)])
def test_large_picture_is_scaled_without_stretching(dynamic, fixed, size):
    # A block of red that fills whole cells of the scaled picture; each cell is one face, and all are squares.
    scale = max(size) / 640
    block = tuple(round(edge * scale) for edge in (64, 64, 160, 128))
    image = picture(size, block)
    for path in (dynamic, fixed):
        faces = Detector.load(path, detect_size=640).detect(image)
        assert len(faces) == 6
        for face in faces:
            wide, high = face.box[2] - face.box[0], face.box[3] - face.box[1]
            assert wide == pytest.approx(32 * scale, rel=0.01)
            assert high == pytest.approx(32 * scale, rel=0.01)
            assert block[0] - 2 <= face.box[0] < face.box[2] <= block[2] + 2
            assert block[1] - 2 <= face.box[1] < face.box[3] <= block[3] + 2


def test_largest_face_comes_first(folder):
    bias = [-20.0, -20.0, 0.5, 0.5, 0.0, 0.0, *[0.5] * 10]
    matrix = np.zeros((16, 3))
    matrix[:2] = (-40, -40, 40)
    grow = matrix.copy()
    grow[4:6, 1] = np.log(2.5)  # green in the cell makes the box larger
    grow[:2, 1] = 0
    detector = Detector.load(write_detector(folder / "sizes.onnx", {32: (grow, bias)}))
    image = picture((256, 96), (0, 0, 32, 32))
    ImageDraw.Draw(image).rectangle((128, 32, 159, 63), fill=(255, 255, 0))
    image.paste((255, 128, 0), (224, 32, 256, 64))
    widths = [face.box[2] - face.box[0] for face in detector.detect(image)]
    assert widths == sorted(widths, reverse=True)
    assert widths == pytest.approx([80, 32 * 2.5 ** (128 / 255), 32], rel=0.01)


def test_small_face_of_a_large_picture_needs_the_closer_look(folder):
    path = red_detector(folder / "eight.onnx", stride=8, times=1.5, size=(640, 640))
    # 8 pixels of 1152: at 640 they are 4.4 and fill no cell.
    image = picture((1152, 864), (800, 400, 808, 408))
    assert Detector.load(path, detect_size=640).detect(image) == ()
    (face,) = Detector.load(path).detect(image)
    assert face.box == pytest.approx((798, 398, 810, 410), abs=0.5)


def test_face_where_tiles_overlap_is_one_face(folder):
    path = red_detector(folder / "seam.onnx", stride=8, times=1.5, size=(640, 640))
    # The tiles of 1152 pixels are 0..640 and 512..1152: the seam lies inside.
    for x in (504, 512, 568, 632, 640):
        image = picture((1152, 640), (x, 320, x + 8, 328))
        (face,) = Detector.load(path).detect(image)
        assert face.box == pytest.approx((x - 2, 318, x + 10, 330), abs=0.5)


def test_portrait_is_done_after_one_look(folder):
    path = red_detector(folder / "portrait.onnx", stride=32, times=4)
    detector = Detector.load(path)
    looks = counted(detector)
    assert len(detector.detect(picture((1920, 1440), (960, 672, 1056, 768)))) == 1
    assert looks == [(640, 480)]
    looks.clear()
    assert detector.detect(picture((1920, 1440))) == ()
    again = [(320, 240), (480, 640), (480, 640), (640, 480)]  # from further away, then turned
    assert looks == [(640, 480)] + [(640, 640)] * 4 + again


def test_whole_look_hints_at_small_faces(folder):
    path = red_detector(folder / "hint.onnx", stride=32, times=1)  # a box of 32 pixels counts as small
    detector = Detector.load(path)
    looks = counted(detector)
    detector.detect(picture((1152, 640), (576, 288, 634, 346)))
    assert len(looks) == 1 + 2


def test_fixed_and_dynamic_graphs_give_the_same_answer(dynamic, fixed):
    image = picture((1500, 1100), (100, 100, 200, 220), (700, 500, 800, 640), (1400, 1000, 1500, 1100))
    first, second = Detector.load(dynamic).detect(image), Detector.load(fixed).detect(image)
    assert len(first) == len(second) > 2
    assert np.allclose([face.box for face in first], [face.box for face in second], atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (31, 33)])
def test_odd_sizes_are_searched(dynamic, fixed, size):
    for path in (dynamic, fixed):
        assert Detector.load(path).detect(Image.new("RGB", size)) == ()


def test_other_modes_are_converted(dynamic):
    image = picture((320, 224), (64, 96, 96, 128))
    detector = Detector.load(dynamic)
    assert detector.detect(image.convert("RGBA")) == detector.detect(image)
    assert detector.detect(image.convert("L")) == ()


def test_threshold_decides(folder):
    path = red_detector(folder / "threshold.onnx", stride=32)
    image = picture((320, 224), (64, 96, 96, 115))  # a little over half a cell of red
    (face,) = Detector.load(path, threshold=0.4).detect(image)
    assert face.score == pytest.approx(0.5, abs=0.3)
    assert Detector.load(path, threshold=face.score + 0.01).detect(image) == ()


# -- threads and processes -----------------------------------------------------------------------------------------


def detect_in_child(detector, image):
    return detector.detect(image)


def test_pickle_keeps_network_and_options(tmp_path):
    path = red_detector(tmp_path / "gone.onnx", stride=32)
    detector = Detector.load(path, threshold=0.35, nms_threshold=0.2, detect_size=960)
    data = pickle.dumps(detector)
    path.unlink()  # a worker elsewhere has no such file
    again = pickle.loads(data)
    assert repr(again) == repr(detector)
    assert again.sha256 == detector.sha256
    image = picture((320, 224), (64, 96, 96, 115))
    assert again.detect(image) == detector.detect(image) != ()


def test_detector_works_in_a_spawned_process(dynamic):
    detector = Detector.load(dynamic)
    image = picture((320, 224), (64, 96, 96, 128))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(detect_in_child, detector, image).result(timeout=60) == detector.detect(image)


def test_threads_share_one_detector(dynamic):
    detector = Detector.load(dynamic)
    images = [picture((320, 224), (32 * i, 96, 32 * i + 32, 128)) for i in range(8)] * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(detector.detect, images))
    assert [round(faces[0].box[0]) for faces in found] == [32 * i for i in range(8)] * 4


# -- what is refused -----------------------------------------------------------------------------------------------


def test_missing_file_is_said_with_what_to_do(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no face detector at .*nowhere\.onnx"):
        Detector.load(tmp_path / "nowhere.onnx")


def test_broken_file_is_refused(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"this is no model")
    with pytest.raises(DetectorError, match=r"broken\.onnx cannot be loaded"):
        Detector.load(tmp_path / "broken.onnx")


def test_graph_without_landmarks_is_refused(tmp_path):
    path = write_detector(tmp_path / "other.onnx", {}, outputs=("cls", "obj", "bbox"))
    with pytest.raises(DetectorError, match=r"no YuNet.*lacks the outputs kps_16, kps_32, kps_8"):
        Detector.load(path)


def test_input_that_is_no_multiple_of_32_is_refused(tmp_path):
    path = red_detector(tmp_path / "odd.onnx", size=(320, 200))
    with pytest.raises(DetectorError, match="320 x 200 is no multiple of 32"):
        Detector.load(path)


@pytest.mark.parametrize(
    "named",
    [
        {"threshold": 0.0},
        {"threshold": 1.5},
        {"threshold": float("nan")},
        {"nms_threshold": 0.0},
        {"detect_size": 31},
        {"threads": 0},
    ],
)
def test_wrong_options_are_refused(dynamic, named):
    with pytest.raises(OptionError, match=next(iter(named))):
        Detector.load(dynamic, **named)


def test_errors_are_the_package_s_and_builtins():
    assert issubclass(DetectorError, ClassifierError)
    assert issubclass(DetectorError, ValueError)


@pytest.mark.parametrize("name", ["~nobody-of-that-name/d.onnx", "nul\0byte.onnx", "x" * 5000])
def test_a_name_that_no_file_can_have_is_a_sentence(name):
    with pytest.raises((ModelNotFoundError, DetectorError), match="face detector"):
        Detector.load(name)


# -- against OpenCV ------------------------------------------------------------------------------------------------


def compare_with_opencv(path, images, *, side=None, threshold=0.5):
    """Runs OpenCV's FaceDetectorYN on the same arrays; returns how many faces were compared."""
    cv2 = pytest.importorskip("cv2")
    detector = Detector.load(path, threshold=threshold, nms_threshold=0.3)
    compared = 0
    for image in images:
        rgb = np.asarray(image)
        if side is not None:  # the graph's input is fixed; OpenCV gets the same padding by hand
            padded = np.zeros((side, side, 3), np.uint8)
            padded[: rgb.shape[0], : rgb.shape[1]] = rgb
        else:
            padded = rgb
        reference = cv2.FaceDetectorYN.create(
            str(path), "", (padded.shape[1], padded.shape[0]), threshold, 0.3, yunet.TOP_K
        )
        _, theirs = reference.detect(np.ascontiguousarray(padded[:, :, ::-1]))
        theirs = np.zeros((0, 15), np.float32) if theirs is None else theirs
        ours = detector.candidates(rgb)
        assert len(ours.scores) == len(theirs)
        if not len(theirs):
            continue
        boxes = np.concatenate([theirs[:, :2], theirs[:, :2] + theirs[:, 2:4]], axis=1)
        distance = np.abs(ours.boxes[:, None] - boxes[None]).max(axis=2)
        match = distance.argmin(axis=1)
        assert sorted(match) == list(range(len(theirs)))
        assert distance.min(axis=1).max() < 1
        assert np.abs(ours.scores - theirs[match, 14]).max() < 1e-3
        assert np.abs(ours.landmarks - theirs[match, 4:14].reshape(-1, 5, 2)).max() < 1
        compared += len(theirs)
    return compared


def test_random_networks_decode_as_in_opencv(tmp_path):
    generator = np.random.default_rng(3)
    spread = np.array([3.0] * 4 + [0.7] * 2 + [3.0] * 10)  # boxes of a few cells, as a real network's are
    middle = np.array([0.5] * 2 + [0.0] * 2 + [0.8] * 2 + [0.0] * 10)
    heads = {
        stride: (generator.normal(0, 1, (16, 3)) * spread[:, None], generator.normal(0, 0.2, 16) + middle)
        for stride in yunet.STRIDES
    }
    path = write_detector(tmp_path / "random.onnx", heads)
    images = [
        Image.fromarray(generator.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        for width, height in ((320, 256), (256, 384), (300, 210))
    ]
    assert compare_with_opencv(path, images) > 30


@pytest.mark.parametrize(
    ("name", "side", "every", "faces"),
    [
        ("yunet_n_640_640", 640, 4, 40),
        pytest.param("yunet_n_640_640", 640, 1, 195, marks=pytest.mark.slow),
        pytest.param("yunet_n_320_320", 320, 1, 195, marks=pytest.mark.slow),
        pytest.param("yunet_n_dynamic", None, 1, 195, marks=pytest.mark.slow),
    ],
)
def test_photographs_give_what_opencv_gives(name, side, every, faces):
    path, photos = shared(f"detector/{name}.onnx"), shared("photos")
    room = (side or 640, side or 640)
    images = []
    for file in sorted(photos.glob("*.jpg"))[::every]:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        images.append(image.resize(tiles.fit(image.size, room), Image.Resampling.BILINEAR))
    assert compare_with_opencv(path, images, side=side) >= faces

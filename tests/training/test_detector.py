"""The detector's recipe on a pool of drawn pictures: heads are red ovals with two dark eyes, the teacher sees red."""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image, ImageDraw

from gender_classifier.runtime.faces import yunet
from gender_classifier.runtime.faces.detector import Detector as Runtime
from gender_classifier.runtime.faces.record import builtin
from support import ROOT
from support.tiny_detector import red_detector
from training.detector import prepare as pool
from training.detector.canvases import Canvases, Mix, make
from training.detector.command import CHECKPOINT, main
from training.detector.config import Stage, load_recipe
from training.detector.curves import look
from training.detector.export import NAMES, export, write_record
from training.detector.geometry import ellipse_region, move, push, similarity
from training.detector.light import spoil
from training.detector.losses import decode, losses, overlaps
from training.detector.mine import mine
from training.detector.network import Detector, Shape
from training.detector.pixels import Layers, Scene, compose
from training.detector.sources import load
from training.detector.train import load_network, save_network, train

SMALL = Shape(8, ("conv:8", "sep3:16", "sep5:16", "sep3:16"), 16)
CPU = torch.device("cpu")


def head(side, ground):
    image = Image.new("RGB", (side * 2, side * 2), ground)
    draw = ImageDraw.Draw(image)
    box = (side // 2, side // 2, side // 2 + round(side * 0.8), side // 2 + side)
    draw.ellipse(box, fill=(255, 0, 0))
    x, y = side // 2 + side * 0.4, side // 2 + side * 0.4
    marks = [
        (x - side * 0.15, y),
        (x + side * 0.15, y),
        (x, y + side * 0.15),
        (x - 4, y + side * 0.3),
        (x + 4, y + side * 0.3),
    ]
    for mark in marks[:2]:
        draw.ellipse((mark[0] - 2, mark[1] - 2, mark[0] + 2, mark[1] + 2), fill=(0, 0, 60))
    return image, [float(v) for v in box], [float(v) for mark in marks for v in mark]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("pool"), pool._Pool()
    for index in range(12):
        image, box, marks = head(40 + 8 * index, (20, 60 + 10 * index, 120))
        seen = yunet.Candidates(
            np.array([box], np.float32), np.array([0.9], np.float32), np.array(marks, np.float32).reshape(1, 5, 2)
        )
        made.add(("scene", "large", "small")[index % 3], image, seen, [True], 300)
    for index in range(3):
        made.add("scene", Image.new("RGB", (200, 150), (0, 80 * index, 90)), yunet.empty(), [], 300)
    (folder / "pool.bin").write_bytes(made.content)
    (folder / "pool.json").write_text(json.dumps([dataclasses.asdict(item) for item in made.items]))
    return folder


@pytest.fixture(scope="module")
def sources(cache):
    return load(cache, CPU, refined=False)


@pytest.fixture(scope="module")
def canvases(sources):
    torch.manual_seed(2)
    return make(sources, 16, 160, Mix(layers=4, crowd_layers=12))


def test_points_go_to_the_canvas_and_back():
    torch.manual_seed(0)
    angle, scale = torch.tensor([0.4, -1.0]), torch.tensor([0.5, 2.0])
    mirror, one = torch.tensor([False, True]), torch.ones(2)
    source, target = torch.tensor([[30.0, 40.0], [5.0, 6.0]]), torch.tensor([[100.0, 90.0], [20.0, 10.0]])
    maps = similarity(scale, angle, mirror, one, source, target)
    assert push(maps, source[:, None])[:, 0].numpy() == pytest.approx(target.numpy(), abs=1e-4)
    right, left = (
        torch.tensor([[20.0, 40.0, 40.0, 40.0] + [30.0] * 6] * 2),
        torch.tensor([[10.0, 20.0, 50.0, 60.0]] * 2),
    )
    boxes, marks = move(maps, left[:, None], right[:, None], mirror)
    eyes = marks[:, 0, 2:4] - marks[:, 0, :2]
    # A mirrored face has its right eye on the other side of the picture, and still on the left of the canvas.
    assert torch.atan2(eyes[:, 1], eyes[:, 0]).abs().numpy() == pytest.approx([0.4, 1.0], abs=1e-5)
    assert (boxes[0, 0, 2:] - boxes[0, 0, :2]).max() < 40 * 0.5 + 1
    region = ellipse_region(
        torch.tensor([50.0, 60.0]), torch.tensor(10.0), torch.tensor(5.0), torch.tensor(math.pi / 2)
    )
    assert (region @ torch.tensor([50.0, 70.0, 1.0])).numpy() == pytest.approx([1, 0], abs=1e-5)


def test_a_scene_and_a_layer_are_where_their_maps_say():
    reds, greens = torch.full((64,), 200), torch.full((64,), 150 << 8)
    atlas = torch.cat([reds, greens]).int()
    level = torch.tensor([[0, 8, 8, 0]])
    scene = Scene(
        to_source=torch.tensor([[[0.5, 0, 0], [0, 0.5, 0]]]),
        level=level,
        size=torch.tensor([[8.0, 8.0]]),
        fill=torch.tensor([[1.0, 2.0, 3.0]]),
        filled=torch.tensor([True]),
    )
    region = ellipse_region(torch.tensor([8.0, 8.0]), torch.tensor(4.0), torch.tensor(4.0), torch.tensor(0.0))
    layers = Layers(
        used=torch.tensor([[True, False]]),
        to_source=torch.tensor([[[[1.0, 0, 0], [0, 1, 0]]] * 2]),
        level=torch.tensor([[[64, 8, 8, 0]] * 2]),
        region=region.expand(1, 2, 2, 3),
        oval=torch.tensor([[True, True]]),
        softness=torch.tensor([[50.0, 50.0]]),
        gain=torch.tensor([[1.0, 1.0]]),
        bias=torch.tensor([[[7.0, 0, 0]] * 2]),
    )
    pixels, top = compose(atlas, scene, layers, 32)
    assert pixels[0, :, 2, 2].tolist() == [200, 0, 0]
    assert pixels[0, :, 8, 8].tolist() == [7, 150, 0]
    assert pixels[0, :, 20, 2].tolist() == [1, 2, 3]
    assert (top[0, 8, 8], top[0, 2, 2]) == (0, -1)


def test_faces_of_canvases_are_where_the_red_ovals_are(sources):
    torch.manual_seed(1)
    made = make(sources, 12, 320, Mix(crowd=0.01, layers=4, crowd_layers=12, empty=0.0))
    assert made.face.sum() >= 8
    hits = []
    for row, column in made.face.nonzero().tolist():
        x0, y0, x1, y1 = made.boxes[row, column].tolist()
        x, y = int((x0 + x1) / 2), int((y0 + y1) / 2)
        if 0 <= x < 320 and 0 <= y < 320 and x1 - x0 > 30:
            blue, green, red = made.pixels[row, :, y, x].tolist()
            hits.append(red >= max(green, blue))
    assert len(hits) >= 4
    assert np.mean(hits) >= 0.8  # grey canvases and covers aside


def test_canvases_are_sound(canvases):
    assert canvases.pixels.shape == (16, 3, 160, 160)
    assert canvases.pixels.min() >= 0
    assert canvases.pixels.max() <= 255
    assert not (canvases.face & canvases.unsure).any()
    boxes = canvases.boxes[canvases.face]
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    assert len(boxes) > 8
    assert sides.min() >= 8
    assert ((boxes[:, :2] + boxes[:, 2:]) / 2 > -sides[:, None] / 2).all()


def test_damage_asks_for_larger_faces_where_it_is_done():
    torch.manual_seed(0)
    pixels, least = spoil(torch.rand(12, 3, 64, 64) * 255)
    assert pixels.shape == (12, 3, 64, 64)
    assert (least >= 8).all()
    assert (least[2:4] >= 14).all()  # at half or a third of the resolution
    assert least[5] == 8


def test_cells_are_read_as_the_runtime_reads_them():
    torch.manual_seed(3)
    grids = [torch.randn(1, 16, 96 // stride, 64 // stride) for stride in (8, 16, 32)]
    answers = decode(grids)
    outputs = {}
    for grid, stride in zip(grids, yunet.STRIDES, strict=True):
        rows = grid.permute(0, 2, 3, 1).flatten(1, 2)
        outputs |= {f"cls_{stride}": rows[..., :1].sigmoid().numpy(), f"obj_{stride}": rows[..., 1:2].sigmoid().numpy()}
        outputs |= {f"bbox_{stride}": rows[..., 2:6].numpy(), f"kps_{stride}": rows[..., 6:].numpy()}
    read = yunet.decode(outputs, 64, 1e-9)
    assert answers.scores[0].numpy() == pytest.approx(read.scores, abs=1e-6)
    assert answers.boxes[0].numpy() == pytest.approx(read.boxes, rel=1e-4, abs=1e-3)
    assert answers.marks[0].numpy().reshape(-1, 5, 2) == pytest.approx(read.landmarks, abs=1e-3)


def test_overlaps_are_those_of_areas():
    first, second = torch.tensor([[[0.0, 0, 10, 10]]]), torch.tensor([[[5.0, 0, 15, 10], [0, 0, 10, 10]]])
    assert overlaps(first, second)[0, 0].tolist() == pytest.approx([1 / 3, 1], abs=1e-4)


def test_the_loss_of_the_truth_is_smaller_and_learning_lowers_it(canvases):
    torch.manual_seed(4)
    network = Detector(SMALL)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    history = []
    for _ in range(25):
        parts = losses(decode(network(canvases.pixels)), canvases)
        assert set(parts) == {"face", "class", "box", "marks"}
        total = parts["face"] + parts["class"] + 2.5 * parts["box"] + 9 * parts["marks"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(float(total.detach()))
    assert history[-1] < 0.7 * history[0]


def test_an_unsure_box_costs_nothing(canvases):
    torch.manual_seed(5)
    network = Detector(SMALL).eval()
    with torch.no_grad():
        for out in network.out:
            out.bias[:2] = 3.0  # faces everywhere
        answers = decode(network(canvases.pixels))
        nothing = torch.zeros_like(canvases.face)
        everywhere = torch.tensor([0.0, 0, 160, 160]).expand_as(canvases.boxes)
        blank = Canvases(canvases.pixels, everywhere, canvases.marks, nothing, nothing)
        unsure = Canvases(canvases.pixels, everywhere, canvases.marks, nothing, ~nothing)
        assert losses(answers, unsure)["face"] < 0.05 * losses(answers, blank)["face"]


def test_a_look_counts_what_is_found(canvases):
    point = look(Detector(SMALL).eval(), canvases)
    assert point["recall"] == [0.0] * 7
    assert point["false"] == 0.0


def stage(**named):
    mix = Mix(layers=4, crowd_layers=8, hard=0.5 if named.get("refined") else 0.0)
    return Stage(
        **{"name": "s", "steps": 2, "batch": 4, "rate": 1e-3, "seed": 0, "large_side": 352, "mix": mix} | named
    )


def test_stages_go_on_from_one_another(cache, tmp_path):
    recipe = dataclasses.replace(load_recipe(ROOT / "training/detector/config.json"), shape=SMALL)
    first, second, file = tmp_path / "1.safetensors", tmp_path / "2.safetensors", tmp_path / "1.onnx"
    log = train(recipe, cache, stage(), None, first, say=lambda _: None)
    assert [point["step"] for point in log["curves"]] == [1, 2]
    export(load_network(recipe, first), file)
    mine(cache, file)
    train(recipe, cache, stage(refined=True, frozen=True, uses=2), first, second, say=lambda _: None)
    one, two = load_network(recipe, first).state_dict(), load_network(recipe, second).state_dict()
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert "stem.0.weight" in changed
    assert not any("running" in name for name in changed)  # frozen


def test_the_file_gives_what_the_network_gives_and_the_runtime_takes_it(tmp_path):
    torch.manual_seed(6)
    network = Detector(SMALL).eval()
    path = tmp_path / "face_detector.onnx"
    export(network, path)
    write_record(path, 0.6, 800)
    runtime = Runtime.load(path)
    assert (runtime.threshold, runtime.detect_size) == (0.6, 800)
    pixels = torch.rand(1, 3, 96, 160) * 255
    grids = network(pixels)
    given = onnxruntime.InferenceSession(str(path)).run(list(NAMES), {"input": pixels.numpy()})
    expected = torch.cat([grid.permute(0, 2, 3, 1).flatten(1, 2) for grid in grids], 1).detach().numpy()
    boxes = np.concatenate([value for name, value in zip(NAMES, given, strict=True) if name.startswith("bbox")], 1)
    assert boxes == pytest.approx(expected[..., 2:6], abs=0.02)  # weights in half precision


def test_the_committed_checkpoint_is_the_file_of_the_package(tmp_path):
    recipe = load_recipe(ROOT / "training/detector/config.json")
    network = load_network(recipe, CHECKPOINT)
    export(network, tmp_path / "again.onnx")
    record = json.loads(builtin().with_name("detector.json").read_text(encoding="utf-8"))
    assert (record["threshold"], record["detect_size"]) == (recipe.threshold, recipe.detect_size)
    pixels = np.random.default_rng(0).integers(0, 256, (160, 224, 3), np.uint8)
    first, second = (Runtime.load(path, threshold=0.01) for path in (builtin(), tmp_path / "again.onnx"))
    one, two = first.candidates(pixels), second.candidates(pixels)
    assert one.scores == pytest.approx(two.scores, abs=1e-4)
    assert one.boxes == pytest.approx(two.boxes, abs=0.01)
    save_network(network, tmp_path / "saved.safetensors")
    assert (tmp_path / "saved.safetensors").read_bytes() == CHECKPOINT.read_bytes()


def test_boxes_of_the_teacher_become_faces_by_rule():
    boxes = np.array([[0, 0, 50, 50], [5, 5, 40, 45], [100, 0, 160, 60], [200, 0, 220, 20]], np.float32)
    scores = np.array([0.9, 0.75, 0.6, 0.6], np.float32)
    assert pool.which_are_faces(boxes, scores) == [True, False, False, False]
    crowd = np.concatenate([boxes, [[300 + 60 * k, 0, 340 + 60 * k, 50] for k in range(5)]]).astype(np.float32)
    assert pool.which_are_faces(crowd, np.array([*scores, *[0.9] * 5], np.float32))[:4] == [True, False, False, True]


def test_the_pool_leaves_out_share_alike_and_what_is_held_out(tmp_path, capsys):
    data, cache, teacher = tmp_path / "data", tmp_path / "cache", red_detector(tmp_path / "t.onnx", stride=32)
    fields = ("file", "set", "licence", "boxes")
    for folder in ("train", "train2", "scenes", "people"):
        (data / folder).mkdir(parents=True)
        rows = [
            {"file": f"{k}.png", "set": "sa_x" if k == 0 else "ours", "licence": "CC0", "boxes": ""} for k in range(7)
        ]
        for row in rows:
            head(64, (0, 40, 90))[0].save(data / folder / row["file"])
        with (data / folder / "labels.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(rows)
    places = ["--data", str(data), "--cache", str(cache), "--teacher", str(teacher)]
    held = sum(pool.is_held_out("scenes", row) for row in pool.read_rows(data, "scenes"))
    assert 0 < held < 6
    counted = pool.prepare(data, cache, teacher)
    assert counted["pictures"] == len(json.loads((cache / "pool.json").read_text()))
    assert counted["pictures"] <= 24 - held
    pool.write_pictures(data, tmp_path / "pictures.csv")
    text = (tmp_path / "pictures.csv").read_text()
    assert "sa_x" not in text
    assert f"scenes,ours,CC0,held out,{held}," in text
    with pytest.raises(SystemExit):
        main([*places, "nothing"])

"""Views, soft answers, steps, calibration: on drawn faces that a network can tell apart in seconds."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import ResNetForImageClassification

from support.faces_pool import RECIPE, gender_onnx, pool
from training.augment import Geometry, companion, mixing
from training.batches import Batch, Source, draw_weights
from training.config import Network, Schedule
from training.soft import GenderNet
from training.train import answer, build_network, learning_rate, train
from training.validation import Examination, calibrate, decide, even_offset

CPU = torch.device("cpu")


class Colour:
    """Stands for the CC0 network: men are bluish."""

    def __call__(self, pictures):
        return 12 * (pictures[:, 2] - pictures[:, 0]).mean((1, 2))


@pytest.fixture(scope="module")
def source():
    return Source(pool(), RECIPE, Colour(), CPU)


def test_the_rebuilt_network_says_what_onnxruntime_says(tmp_path):
    path = gender_onnx(tmp_path / "gender-v1.onnx")
    net = GenderNet(path, CPU)
    torch.manual_seed(0)
    pictures = torch.rand(16, 3, 32, 32) * torch.rand(16, 3, 1, 1)
    values = (pictures.numpy() * 255 - np.array([122.782, 117.001, 104.298]).reshape(1, 3, 1, 1)) / 256
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"images": values.astype(np.float32)})
    got = torch.sigmoid(net(pictures)).numpy()
    assert got == pytest.approx(expected[:, 1], abs=1e-5)
    assert expected[:, 1].std() > 0.003  # the random network says something


def test_views_stay_in_range_and_differ(source):
    torch.manual_seed(0)
    chosen = torch.arange(64)
    good, spoilt, geometry = source.views(chosen)
    assert good.shape == spoilt.shape == (64, 3, 32, 32)
    for views in (good, spoilt):
        assert float(views.min()) >= 0
        assert float(views.max()) <= 1
    assert (good != spoilt).flatten(1).any(1).float().mean() > 0.5
    assert 0.02 < float(geometry.turn.std()) < 0.2
    assert not torch.equal(good, source.views(chosen)[0])


def _pattern(n: int, size: int) -> torch.Tensor:
    ramp = torch.linspace(-1, 1, size)
    one = torch.stack([ramp.expand(size, size), ramp.view(-1, 1).expand(size, size), torch.zeros(size, size)])
    return (one.expand(n, 3, size, size) + 1) / 2


def test_the_companion_has_its_eyes_where_the_cc0_network_wants_them():
    seen = companion(_pattern(1, 128), Geometry.none(1, CPU), (0.30, 0.40))[0] * 2 - 1
    x, y = seen[0, 16], seen[1, :, 16]  # where in the student's view each column and row was read
    eye_columns = [float(np.interp((0.5 + s * 0.3754 / 2) * 32 - 0.5, np.arange(32), x)) for s in (-1, 1)]
    assert eye_columns == pytest.approx([-0.30, 0.30], abs=0.02)
    assert float(np.interp(0.3010 * 32 - 0.5, np.arange(32), y)) == pytest.approx(2 * (0.40 - 0.5), abs=0.02)


def test_a_camera_undoes_what_strayed(source):
    """A point of the face, seen through a straying view and a camera that undoes all of it, is where it was."""
    g = Geometry(*(torch.tensor([v]) for v in (0.15, 1.1, 0.05, -0.04)))
    back = g.undone(torch.ones(1))
    point = torch.tensor([0.3, -0.2])
    turned = lambda angle, v: torch.stack(  # noqa: E731
        [math.cos(angle) * v[0] - math.sin(angle) * v[1], math.sin(angle) * v[0] + math.cos(angle) * v[1]]
    )
    in_view = turned(float(back.turn), point) * back.scale + torch.cat([back.dx, back.dy])
    on_face = turned(float(g.turn), in_view) * g.scale + torch.cat([g.dx, g.dy])
    assert on_face.tolist() == pytest.approx(point.tolist(), abs=0.02)


@pytest.mark.parametrize("halves", [False, True])
def test_two_faces_become_one_and_so_do_their_values(halves):
    torch.manual_seed(1)
    mix = mixing(64, 32, halves, CPU)
    values = torch.rand(64)
    mixed = mix(values.view(-1, 1, 1, 1).expand(64, 3, 32, 32))
    assert mixed.mean((1, 2, 3)).numpy() == pytest.approx(mix.values(values).numpy(), abs=0.15)
    assert (mix.share >= 0.4).all()


def test_women_and_men_weigh_the_same_in_every_set_and_held_out_faces_nothing():
    faces = pool()
    guesses = np.arange(len(faces.labels)) % 2
    weights = draw_weights(faces, guesses, RECIPE)
    assert weights.sum() == pytest.approx(1)
    assert (weights[faces.held] == 0).all()
    assert (faces.sources == "people").sum() == 60  # men all, in the pool; the guesses say so too
    for name in ("large", "small"):
        women, men = (weights[(faces.sources == name) & (guesses == k)].sum() for k in (0, 1))
        assert women == pytest.approx(men)
    large, small = (weights[faces.sources == name].sum() for name in ("large", "small"))
    ratio = (faces.sources == "large").sum() / (faces.sources == "small").sum()
    assert large / small == pytest.approx(ratio**0.6)
    children = dataclasses.replace(faces, trust=np.where(np.arange(240) < 120, 0.25, 1.0))
    doubled = draw_weights(children, guesses, RECIPE)
    assert doubled[0:120].sum() > 0.7


def test_targets_are_labels_where_known_and_soft_answers_elsewhere():
    batch = Batch(torch.zeros(3), None, torch.tensor([0.98, 0.02, 0.0]), torch.tensor([1.0, 1.0, 0.0]), torch.ones(3))
    target = batch.target(torch.tensor([2.0, 2.0, 2.0]), 0.4)
    soft = float(torch.sigmoid(torch.tensor(2.0)))
    assert target.tolist() == pytest.approx([0.4 * 0.98 + 0.6 * soft, 0.4 * 0.02 + 0.6 * soft, soft])
    child = dataclasses.replace(batch, trust=torch.full((3,), 0.25)).target(torch.full((3,), 8.0), 0.4)
    assert float(child[2]) == pytest.approx(1 / (1 + math.exp(-2)))  # an answer that is surer than it may be


def test_batches_hold_labels_and_soft_answers(source):
    torch.manual_seed(0)
    batch = source(256)
    assert batch.views.shape == (256, 3, 32, 32)
    clear = batch.known == 1
    assert float(((batch.soft > 0) == (batch.label > 0.5))[clear].float().mean()) > 0.9
    labelled = source(64, labelled=True)
    assert labelled.soft is None
    assert (labelled.known > 0.999).all()


def test_the_learning_rate_warms_up_and_falls_by_the_clock():
    network, schedule = Network(32, (8,), (1,), lr=1.0, until=0.5), Schedule(warmup=10)
    assert learning_rate(0, 0.0, network, schedule) == pytest.approx(0.1)
    assert learning_rate(9, 0.0, network, schedule) == pytest.approx(1)
    assert learning_rate(99, 0.25, network, schedule) == pytest.approx(0.505)
    assert learning_rate(999, 0.7, network, schedule) == pytest.approx(0.01)


def test_networks_learn_and_the_one_that_ships_is_calibrated(source, tmp_path):
    learners = train(source, RECIPE, tmp_path, say=lambda line: None)
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["parameters"].keys() == RECIPE.networks.keys()
    last = log["curves"][-1]
    assert last["student"]["clean"] > 0.8
    assert last["student"]["steps"] > last["plain"]["steps"] > 0
    assert learners["teacher"].steps < learners["student"].steps
    model = ResNetForImageClassification.from_pretrained(tmp_path / "student").eval()
    examination = Examination.prepare(source, copies=2)
    before = examination.odds(lambda v: answer(model, 32, v))[0]
    rule = decide(
        model,
        lambda v: answer(model, 32, v),
        examination,
        dataclasses.replace(RECIPE, wrong_answers=0.1),
        tmp_path / "out",
    )
    assert rule.temperature == 1
    assert rule.thresholds.keys() == {"female", "male"}
    assert json.loads((tmp_path / "out" / "decision.json").read_text())["thresholds"] == rule.thresholds
    shipped = ResNetForImageClassification.from_pretrained(tmp_path / "out").eval()
    after = examination.odds(lambda v: answer(shipped, 32, v))[0]
    slope, intercept = np.polyfit(before, after, 1)  # calibration is a line in the log odds
    assert after == pytest.approx(slope * before + intercept, abs=1e-3)
    assert slope > 0


def test_calibration_in_the_weights_is_that_of_the_logits():
    torch.manual_seed(0)
    model = build_network(Network(32, (8, 8), (1, 1), embedding=8)).eval()
    views = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        before = answer(model, 32, views)
        calibrate(model, 0.4, 2.5)
        assert answer(model, 32, views).tolist() == pytest.approx(((before + 0.4) / 2.5).tolist(), abs=1e-5)


def test_the_offset_makes_both_classes_equally_often_right():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 4000)
    odds = rng.normal(np.where(truth == 1, 2.0, -1.0), 1.5)
    moved = odds + even_offset(odds, truth)
    women, men = (moved[truth == 0] <= 0).mean(), (moved[truth == 1] > 0).mean()
    assert women == pytest.approx(men, abs=0.01)

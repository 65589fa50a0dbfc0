from __future__ import annotations

import dataclasses

import pytest
import torch

from training.augment import Augmenter, mixup, normalise
from training.config import Augment

OFF = {f.name: 0.0 for f in dataclasses.fields(Augment) if f.name not in {"margin_narrow", "margin_wide"}}


def crops(n: int, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def half(n: int) -> torch.Tensor:
    return torch.tensor([[0.33, 0.41]]).repeat(n, 1)


@pytest.mark.parametrize("size", [48, 80])
@pytest.mark.parametrize("n", [1, 5, 70])
def test_shape_and_range(size: int, n: int) -> None:
    out = Augmenter(Augment(), size, 0.7, seed=0)(crops(n), half(n))
    assert out.shape == (n, 3, size, size)
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_everything_at_once_stays_in_range() -> None:
    always = dict.fromkeys(("grey", "dark", "lowres", "blur", "jpeg", "noise", "background", "border"), 1.0)
    out = Augmenter(dataclasses.replace(Augment(), **always), 48, 0.7, seed=3)(crops(40), half(40))
    assert torch.isfinite(out).all()
    assert 0 <= out.min() <= out.max() <= 1


def test_same_seed_same_pictures() -> None:
    first = Augmenter(Augment(), 48, 0.7, seed=5)(crops(40), half(40))
    again = Augmenter(Augment(), 48, 0.7, seed=5)(crops(40), half(40))
    other = Augmenter(Augment(), 48, 0.7, seed=6)(crops(40), half(40))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_switched_off_it_only_crops_and_mirrors() -> None:
    # At the cache's own margin and size, nothing is left to do but the mirror.
    still = Augment(**OFF, margin_narrow=(0.7, 0.7), margin_wide=(0.7, 0.7))
    source = crops(30, 48)
    out = Augmenter(still, 48, 0.7, seed=0)(source, half(30))
    plain = source.float() / 255
    straight = (out - plain).abs().amax((1, 2, 3)) < 2e-3
    mirrored = (out - plain.flip(-1)).abs().amax((1, 2, 3)) < 2e-3
    assert bool((straight | mirrored).all())
    assert 5 < int(mirrored.sum()) < 25


def test_background_goes_and_the_face_stays() -> None:
    config = Augment(**{**OFF, "background": 1.0}, margin_narrow=(0.7, 0.7), margin_wide=(0.7, 0.7))
    source = torch.full((32, 3, 48, 48), 128, dtype=torch.uint8)
    source[::2] = 30
    out = Augmenter(config, 48, 0.7, seed=0)(source, half(32))
    plain = source.float() / 255
    middle = (out - plain)[:, :, 20:28, 20:28]
    assert middle.abs().max() < 1e-2
    corner = (out - plain)[:, :, :4, :4].abs().amax((1, 2, 3))
    assert (corner > 0.02).float().mean() > 0.9


def test_mixup_keeps_targets_a_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.eye(2).repeat(20, 1)
    pictures, mixed = mixup(torch.rand(40, 3, 8, 8), targets, 0.3, generator)
    assert pictures.shape == (40, 3, 8, 8)
    torch.testing.assert_close(mixed.sum(1), torch.ones(40))
    # The larger share is the picture's own, so the label that a picture leans to does not change.
    assert torch.equal(mixed.argmax(1), targets.argmax(1)) or bool((mixed.amax(1) == 0.5).any())


def test_normalise_is_that_of_the_processor() -> None:
    torch.testing.assert_close(normalise(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([-1.0, 0.0, 1.0]))

"""Composes training canvases: a scene, faces pasted over it, blobs and covers, then what a camera does.

Everything is drawn at random, as batches of tensors on one device. What is known of a canvas comes with it: boxes and
landmarks of the faces that can be seen, and boxes that are neither face nor background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import ellipse_region, move, similarity
from .light import spoil
from .pixels import Layers, Scene, compose
from .sources import FACE, LEVELS, MOST_FACES, UNSURE, Sources

__all__ = ["Canvases", "Mix", "make"]


@dataclass(frozen=True)
class Mix:
    """How canvases are mixed.

    Attributes:
        crowd: Share of canvases with rows of small faces.
        layers: Pasted faces at most, and the last two places for covers, in any other canvas.
        crowd_layers: The same in a crowd, with six places for covers.
        empty: Share of the other canvases without a face.
        hard: Share of these canvases that show a place which an earlier network took for a face.
    """

    crowd: float = 0.17
    layers: int = 8
    crowd_layers: int = 44
    empty: float = 0.13
    hard: float = 0.0


@dataclass
class Canvases:
    """A batch (B) with G boxes each; unused boxes are neither face nor unsure.

    Attributes:
        pixels: (B, 3, S, S) blue, green, red in 0 to 255.
        boxes: (B, G, 4) in pixels; a face at the border may reach beyond it.
        marks: (B, G, 10).
        face: (B, G) bool.
        unsure: (B, G) bool: left out of the loss.
    """

    pixels: Tensor
    boxes: Tensor
    marks: Tensor
    face: Tensor
    unsure: Tensor


_FEW, _SOME = 0.24, 0.44
"""Of the other canvases, shares up to which many small faces are pasted, and some of any size."""

_MOST = 80
"""Boxes of a canvas of 320 pixels that enter the loss; half as many again on larger ones."""

_TILTED = 0.95
"""Radians (54 degrees) from which a face is neither taught nor refused."""


class _Maker:
    def __init__(self, sources: Sources, batch: int, size: int, layers: int, *, crowd: bool, mix: Mix) -> None:
        self.sources, self.batch, self.size, self.layers = sources, batch, size, layers
        self.crowd, self.mix, self.device = crowd, mix, sources.atlas.device
        mode = self.rand(batch)
        self.mode = mode * 0.2 if crowd else mode
        self.empty = self.mode >= 1 - mix.empty
        self.rows = torch.arange(batch, device=self.device)

    # -- random numbers ------------------------------------------------------------------------------------------

    def rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self.device)

    def spread(self, low: float, high: float, *shape: int) -> Tensor:
        """Draws between two sizes, evenly on a logarithmic scale."""
        return torch.exp(self.rand(*shape) * math.log(high / low) + math.log(low))

    def pick(self, pool: Tensor, *shape: int) -> Tensor:
        return pool[torch.randint(len(pool), shape, device=self.device)]

    def level(self, scale: Tensor) -> Tensor:
        """Chooses the resolution of a picture for a scale, now and then one too fine or too coarse."""
        return (-torch.log2(scale) + (self.rand(*scale.shape) - 0.4) * 0.6).round().clamp(0, LEVELS - 1).long()

    def levels(self, picture: Tensor, level: Tensor) -> Tensor:
        return torch.cat([self.sources.levels[picture, level], level[..., None]], -1)

    # -- the scene -----------------------------------------------------------------------------------------------

    def scene(self) -> Scene:
        """Chooses pictures and how they lie; sets ``boxes``, ``marks``, ``face``, ``unsure``, ``target``."""
        data, batch, size = self.sources, self.batch, self.size
        picture = torch.where(
            self.empty | (self.rand(batch) < 0.05), self.pick(data.empty, batch), self.pick(data.crowded, batch)
        )
        spot = data.hard[torch.searchsorted(data.hard_share, self.rand(batch)).clamp(max=len(data.hard) - 1)]
        hard = (self.rand(batch) < self.mix.hard) & ~self.empty
        picture = torch.where(hard, spot[:, 0].long(), picture)
        extent = data.levels[picture, 0, 1:].float()
        kind = data.kinds[picture]
        count = (kind == FACE).sum(1)
        self.target = (self.rand(batch) * count.clamp(min=1)).long().clamp(max=MOST_FACES - 1)
        box = data.boxes[picture, self.target]
        half = spot[:, 3:] / 2
        box = torch.where(hard[:, None], torch.cat([spot[:, 1:3] - half, spot[:, 1:3] + half], -1), box)
        side = (box[:, 2:] - box[:, :2]).amax(1)
        near = hard | (count > 0) & (self.rand(batch) < 0.75)
        self.has_target = near & ~hard
        scale = self.scene_scale(side, near, extent)
        centre = (box[:, :2] + box[:, 2:]) / 2 + (self.rand(batch, 2) - 0.5) * side[:, None] * 0.3
        source = torch.where(near[:, None], centre, self.rand(batch, 2) * extent)
        mirror = self.rand(batch) < 0.5
        angle = torch.where(self.rand(batch) < 0.75, self.normal(batch) * 0.07, (self.rand(batch) - 0.5) * 1.6)
        stretch = torch.exp(self.normal(batch) * 0.06)
        to_source = similarity(scale, angle, mirror, stretch, source, size * (0.06 + 0.88 * self.rand(batch, 2)))
        # Mostly the canvas is filled: its middle stays where the picture reaches all its sides, or as many as it can.
        view = size / scale[:, None]
        middle = to_source[..., :2].sum(-1) * size / 2 + to_source[..., 2]
        low, high = torch.minimum(view / 2, extent - view / 2), torch.maximum(view / 2, extent - view / 2)
        kept = torch.minimum(torch.maximum(middle, low), high) - middle
        to_source[..., 2] += torch.where((self.rand(batch) < 0.85)[:, None], kept, torch.zeros_like(kept))
        self.boxes, self.marks = move(to_source, data.boxes[picture], data.marks[picture], mirror)
        middles = (self.boxes[..., :2] + self.boxes[..., 2:]) / 2
        there = (middles > -0.3 * size).all(-1) & (middles < 1.3 * size).all(-1)
        self.face, self.unsure = (kind == FACE) & there, (kind == UNSURE) & there
        kind_of_fill = self.rand(batch)
        black = torch.zeros(batch, 3, device=self.device)
        return Scene(
            to_source=to_source,
            level=self.levels(picture, self.level(scale)),
            size=extent,
            fill=torch.where((kind_of_fill < 0.4)[:, None], self.rand(batch, 3) * 255, black),
            filled=kind_of_fill < 0.65,
        )

    def scene_scale(self, side: Tensor, near: Tensor, extent: Tensor) -> Tensor:
        """Chooses canvas pixels for one of the picture: by the size of the face that is shown, or freely."""
        batch, size = self.batch, self.size
        wanted = torch.minimum(self.spread(11.0, 0.93 * size, batch), side * 3.2)
        free = (self.spread(0.5, 3.2, batch) * size / extent.amax(1)).clamp(max=3)
        scale = torch.where(near, wanted / side.clamp(min=1), free)
        filling = 0.85 * size / extent.amin(1).clamp(min=1)
        return torch.maximum(scale, torch.where(self.rand(batch) < 0.7, filling, 0.3 * size / extent.amax(1)))

    # -- what lies over it ---------------------------------------------------------------------------------------

    def pasted(self) -> Layers:
        """Chooses faces to paste, as whole portraits or as ovals; sets ``pasted_boxes`` and ``pasted_marks``."""
        data, shape = self.sources, (self.batch, self.layers)
        anyone = torch.arange(len(data.pastes), device=self.device)
        chosen = torch.where(self.rand(*shape) < 0.25, self.pick(data.large, *shape), self.pick(anyone, *shape))
        picture, face = data.pastes[chosen].unbind(-1)
        box = data.boxes[picture, face]
        side, centre, half = (box[..., 2:] - box[..., :2]).amax(-1), (box[..., :2] + box[..., 2:]) / 2, box[..., 2:]
        half = (half - box[..., :2]) / 2
        size, place, used = self.rows_of_people() if self.crowd else self.anywhere(side)
        angle = torch.where(self.rand(*shape) < 0.72, self.normal(*shape) * 0.12, (self.rand(*shape) - 0.5) * 1.65)
        mirror, scale = self.rand(*shape) < 0.5, size / side
        to_source = similarity(scale, angle, mirror, torch.exp(self.normal(*shape) * 0.06), centre, place)
        whole = data.alone[chosen] & (self.rand(*shape) < (0.25 if self.crowd else 0.45))
        middle = data.levels[picture, 0, 1:].float() / 2
        reach = ((1.05 if self.crowd else 1.1) + 0.5 * self.rand(*shape))[..., None]
        centre = torch.where(whole[..., None], middle, centre)
        radius = torch.where(whole[..., None], middle, half * reach * torch.tensor([1.05, 1.0], device=self.device))
        linear, shift = to_source[..., :2] / radius[..., None], (to_source[..., 2] - centre) / radius
        gain = torch.exp(self.normal(*shape) * 0.22)
        bias = (128 * (1 - gain) + self.normal(*shape) * 18)[..., None] + self.normal(*shape, 3) * 7
        boxes, marks = move(to_source, box[..., None, :], data.marks[picture, face][..., None, :], mirror)
        self.pasted_boxes, self.pasted_marks, self.is_face = boxes[..., 0, :], marks[..., 0, :], used.clone()
        self.place = place
        return Layers(
            used=used,
            to_source=to_source,
            level=self.levels(picture, self.level(scale)),
            region=torch.cat([linear, shift[..., None]], -1),
            oval=~whole,
            softness=2.5 + 14 * self.rand(*shape) ** 2,
            gain=gain,
            bias=bias,
        )

    def anywhere(self, side: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sizes and places of pasted faces, and which are used: many small ones, some of any size, or none."""
        shape, mode = (self.batch, self.layers), self.mode[:, None]
        size = torch.minimum(self.spread(9.0, 0.78 * self.size, *shape), side * 3)
        size = torch.where(mode < _FEW, self.spread(8.5, 64.0, *shape), size)
        chance = torch.where(mode < _FEW, 0.55, torch.where(mode < _SOME, 0.24, 0.0))
        return size, self.size * (self.rand(*shape, 2) * 1.06 - 0.03), self.rand(*shape) < chance

    def rows_of_people(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same for a crowd: rows of faces that grow from row to row."""
        batch, shape = self.batch, (self.batch, self.layers)
        base = self.spread(8.5, 26.0 if self.size < 500 else 44.0, batch)
        across, down = base * (1.05 + 0.8 * self.rand(batch)), base * (1.1 + 0.8 * self.rand(batch))
        columns = (self.size / across).ceil().clamp(min=1)
        index = torch.arange(self.layers, device=self.device)[None].float()
        row = (index / columns[:, None]).floor()
        column = index - row * columns[:, None]
        start = self.rand(batch) * (self.size - (self.layers / columns).floor() * down).clamp(min=0) + base * 0.4
        grown = 1 + 0.06 * row * self.rand(batch, 1)
        x = (column + 0.5 * (row % 2)) * across[:, None]
        y = start[:, None] + row * down[:, None] * (1 + 0.02 * row)
        place = torch.stack([x, y], -1) + (self.rand(*shape, 2) - 0.5) * base[:, None, None] * 0.35
        return base[:, None] * grown * (0.85 + 0.3 * self.rand(*shape)), place, self.rand(*shape) < 0.93

    def skin(self) -> Tensor:
        tone = self.rand(self.batch, self.layers)
        colour = torch.stack([90 + 150 * tone, 60 + 135 * tone, 45 + 120 * tone], -1)
        return colour + self.normal(self.batch, self.layers, 3) * 12

    def add_blobs(self, layers: Layers) -> Tensor:
        """Puts plain shapes, many of them of the colour of skin, where no face is; returns which layers are plain."""
        shape = (self.batch, self.layers)
        if self.crowd:
            blob = torch.zeros(shape, dtype=torch.bool, device=self.device)
        else:
            chance = torch.where(self.empty, 0.35, 0.05)[:, None]
            blob = (self.rand(*shape) < chance) & ~(layers.used & (self.rand(*shape) < 0.7))
        side = self.spread(10.0, 0.5 * self.size, *shape)
        angle = self.rand(*shape) * math.pi
        region = ellipse_region(self.place, side * 0.5, side * (0.3 + 0.5 * self.rand(*shape)), angle)
        layers.region = torch.where(blob[..., None, None], region, layers.region)
        layers.oval = torch.where(blob, self.rand(*shape) < 0.75, layers.oval)
        self.colour = torch.where((self.rand(*shape) < 0.6)[..., None], self.skin(), self.rand(*shape, 3) * 255)
        self.is_face &= ~blob
        layers.used = layers.used | blob
        return blob

    def add_covers(self, layers: Layers, plain: Tensor) -> None:
        """Covers faces with masks, dark glasses and hands, in the last layers; sets ``harmless``."""
        self.harmless = torch.zeros_like(plain)
        covers = 6 if self.crowd else 2
        for index in range(self.layers - covers, self.layers):
            covered = torch.randint(0, self.layers - covers, (self.batch,), device=self.device)
            pasted = self.is_face[self.rows, covered]
            box = torch.where(
                pasted[:, None], self.pasted_boxes[self.rows, covered], self.boxes[self.rows, self.target]
            )
            marks = torch.where(
                pasted[:, None], self.pasted_marks[self.rows, covered], self.marks[self.rows, self.target]
            )
            there = pasted | (self.has_target & self.face[self.rows, self.target])
            used = there & (self.rand(self.batch) < (0.3 if self.crowd else 0.2))
            kind = self.rand(self.batch)
            mask, glasses = kind < 0.35, (kind >= 0.35) & (kind < 0.6)
            region = self.cover(box, marks.view(-1, 5, 2), mask, glasses)
            layers.region[:, index] = torch.where(used[:, None, None], region, layers.region[:, index])
            oval = mask & (self.rand(self.batch) < 0.5) | (kind >= 0.6)
            layers.oval[:, index] = torch.where(used, oval, layers.oval[:, index])
            colour = self.cover_colour(mask, glasses, index)
            self.colour[:, index] = torch.where(used[:, None], colour, self.colour[:, index])
            layers.softness[:, index] += 4.0 * used
            layers.used[:, index] |= used
            plain[:, index] |= used
            self.is_face[:, index] &= ~used
            self.harmless[:, index] = used & (mask | glasses)

    def cover(self, box: Tensor, marks: Tensor, mask: Tensor, glasses: Tensor) -> Tensor:
        """Returns the region of a cover over a face: its mouth, its eyes, or a part of its edge."""
        batch = self.batch
        eyes = marks[:, 1] - marks[:, 0]
        side = (box[:, 2:] - box[:, :2]).amax(1).clamp(min=4)
        around = self.rand(batch) * 2 * math.pi
        edge = (box[:, :2] + box[:, 2:]) / 2 + torch.stack([around.cos(), around.sin()], -1) * side[:, None] * 0.45
        mouth = (marks[:, 3] + marks[:, 4]) / 2
        lower, upper = mouth + (mouth - marks[:, 2]) * 0.1, (marks[:, 0] + marks[:, 1]) / 2
        centre = torch.where(mask[:, None], lower, torch.where(glasses[:, None], upper, edge))
        wide = torch.where(mask, 0.40, torch.where(glasses, 0.36, 0.12 + 0.2 * self.rand(batch)))
        high = torch.where(mask, 0.26, torch.where(glasses, 0.10, 0.12 + 0.3 * self.rand(batch)))
        angle = torch.where(mask | glasses, torch.atan2(eyes[:, 1], eyes[:, 0]), around)
        return ellipse_region(centre, side * wide, side * high, angle)

    def cover_colour(self, mask: Tensor, glasses: Tensor, index: int) -> Tensor:
        batch = self.batch
        white, blue = (torch.tensor(c, device=self.device) for c in ([225.0, 230.0, 235.0], [150.0, 185.0, 215.0]))
        coloured = torch.where((self.rand(batch) < 0.4)[:, None], blue, self.rand(batch, 3) * 255)
        cloth = torch.where((self.rand(batch) < 0.4)[:, None], white, coloured)
        hand = torch.where((self.rand(batch) < 0.5)[:, None], self.skin()[:, index], self.rand(batch, 3) * 255)
        return torch.where(mask[:, None], cloth, torch.where(glasses[:, None], self.rand(batch, 3) * 60, hand))

    # -- all together --------------------------------------------------------------------------------------------

    def make(self) -> Canvases:
        """Composes the canvases in red, green, blue, not yet spoilt."""
        scene = self.scene()
        layers = self.pasted()
        plain = self.add_blobs(layers)
        self.add_covers(layers, plain)
        faint = (self.rand(self.batch, self.layers) < 0.3).float() * 0.12
        layers.gain = torch.where(plain, faint, layers.gain)
        layers.bias = torch.where(plain[..., None], self.colour, layers.bias)
        pixels, top = compose(self.sources.atlas, scene, layers, self.size)
        numbers = torch.arange(self.layers, device=self.device).expand(self.batch, -1)
        made = Canvases(
            pixels=pixels,
            boxes=torch.cat([self.boxes, self.pasted_boxes], 1),
            marks=torch.cat([self.marks, self.pasted_marks], 1),
            face=torch.cat([self.face, self.is_face], 1),
            unsure=torch.cat([self.unsure, torch.zeros_like(self.is_face)], 1),
        )
        self.judge(made, top, torch.cat([torch.full_like(self.face, -1, dtype=torch.long), numbers], 1))
        return made

    def judge(self, made: Canvases, top: Tensor, own: Tensor) -> None:
        """Keeps a face of which half is seen: nine points of each are looked up in the map of topmost layers."""
        half = (made.boxes[..., 2:] - made.boxes[..., :2]) / 2
        line = torch.tensor([-0.55, 0.0, 0.55], device=self.device)
        grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(9, 2)
        points = (made.boxes[..., :2] + half)[:, :, None] + half[:, :, None] * grid
        inside = ((points >= 0) & (points < self.size)).all(-1)
        cells = points.long().clamp(0, self.size - 1)
        rows = self.rows[:, None, None]
        layer = top[rows, cells[..., 1], cells[..., 0]]
        harmless = self.harmless[rows, layer.clamp(min=0)] & (layer >= 0)
        seen = (inside & ((layer == own[..., None]) | harmless)).float().mean(-1)
        side = half.amax(-1) * 2
        eyes = made.marks[..., 2:4] - made.marks[..., :2]
        tilted = (torch.atan2(eyes[..., 1], eyes[..., 0]).abs() > _TILTED) & (eyes.norm(dim=-1) > 0.15 * side)
        there = made.face | made.unsure
        made.face = made.face & (seen >= 0.5) & ~tilted & (side < 1.15 * self.size)
        made.unsure = there & ~made.face & (seen > 0.12)


def make(sources: Sources, batch: int, size: int, mix: Mix) -> Canvases:
    """Makes a batch of square canvases.

    Args:
        sources: The pool.
        batch: How many.
        size: Their side in pixels, a multiple of 32.
        mix: How they are mixed.
    """
    with torch.no_grad():
        crowds = max(1, round(batch * mix.crowd))
        kinds = ((batch - crowds, mix.layers, False), (crowds, mix.crowd_layers, True))
        parts = [_Maker(sources, n, size, layers, crowd=crowd, mix=mix).make() for n, layers, crowd in kinds]
        made = _joined(parts)
        made.pixels, least = spoil(made.pixels)
        tiny = made.face & ((made.boxes[..., 2:] - made.boxes[..., :2]).amax(-1) < least[:, None])
        made.face, made.unsure = made.face & ~tiny, made.unsure | tiny
        _turn_some(made)
        most = _MOST if size < 500 else _MOST * 3 // 2
        order = torch.argsort(made.face.int() * 2 + made.unsure.int(), dim=1, descending=True, stable=True)[:, :most]
        rows = torch.arange(batch, device=order.device)[:, None]
        return Canvases(
            made.pixels[:, [2, 1, 0]].contiguous(),
            made.boxes[rows, order],
            made.marks[rows, order],
            made.face[rows, order],
            made.unsure[rows, order],
        )


def _joined(parts: list[Canvases]) -> Canvases:
    """Puts batches with different numbers of boxes together, in random order."""
    most = max(part.boxes.shape[1] for part in parts)
    order = torch.randperm(sum(len(part.pixels) for part in parts), device=parts[0].pixels.device)

    def joined(name: str) -> Tensor:
        values = [getattr(part, name) for part in parts]
        padded = [torch.cat([v, v.new_zeros(len(v), most - v.shape[1], *v.shape[2:])], 1) for v in values]
        return torch.cat(padded)[order]

    pixels = torch.cat([part.pixels for part in parts])[order]
    return Canvases(pixels, joined("boxes"), joined("marks"), joined("face"), joined("unsure"))


def _turn_some(made: Canvases) -> None:
    """Puts a few canvases on their head or side, where no face counts as one; small ones are left out of the loss."""
    batch, size = len(made.pixels), made.pixels.shape[-1]
    share = max(1, batch // 60)
    for index, quarters in enumerate((2, 1, 3)):
        some = slice(batch // 2 + index * share, batch // 2 + (index + 1) * share)
        made.pixels[some] = torch.rot90(made.pixels[some], quarters, (2, 3))
        x0, y0, x1, y1 = made.boxes[some].unbind(-1)
        turned = {
            1: (y0, size - x1, y1, size - x0),
            2: (size - x1, size - y1, size - x0, size - y0),
            3: (size - y1, x0, size - y0, x1),
        }[quarters]
        made.boxes[some] = torch.stack(turned, -1)
        small = (made.boxes[some][..., 2:] - made.boxes[some][..., :2]).amax(-1) < 24
        made.unsure[some] |= made.face[some] & small
        made.face[some] = False

"""Labelled pictures that the tiny models can tell apart."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

RED, GREEN = (200, 40, 40), (40, 200, 40)


def red_women_green_men(folder: Path) -> Path:
    """Writes labels.csv: 20 women (18 red), 20 men (all green), a third word, a broken picture, a missing one."""
    rows = ["file,gender,age,race,person,face"]
    for index in range(40):
        woman = index < 20
        colour = RED if woman and index >= 2 else GREEN
        age = 20 + 30 * (index % 2)
        picture = Image.new("RGB", (60, 40), (40, 40, 200))
        picture.paste(colour, (10, 10, 30, 30))
        picture.save(folder / f"{index}.png")
        rows.append(f"{index}.png,{'F' if woman else 'M'},{age},{'ab'[index % 2]},p{index // 2},10 10 30 30")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    rows += ["broken.jpg,F,30,a,x,0 0 5 5", "missing.jpg,M,30,a,y,0 0 5 5", "0.png,M,30,b,z,", "1.png,unknown,30,b,z,"]
    path = folder / "labels.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path

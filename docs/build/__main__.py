"""Rewrites the generated blocks of every document, or says which are out of date (``--check``)."""

from __future__ import annotations

import argparse
import sys

from . import analyse, builtin, candidates, cli, modules, readme
from .blocks import ROOT, Makers, render

DOCUMENTS = ("*.md", "docs/*.md", "training/checkpoint/README.md")
MAKERS: Makers = analyse.MAKERS | builtin.MAKERS | candidates.MAKERS | cli.MAKERS | modules.MAKERS | readme.MAKERS


def main(words: list[str] | None = None) -> int:
    """Runs the command line; returns 1 when ``--check`` finds a block that is out of date."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args(words).check
    stale = False
    for path in sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern)):
        old = path.read_text(encoding="utf-8")
        new = render(old, MAKERS)
        if new != old:
            stale = True
            print(
                f"{path.relative_to(ROOT)} {'is out of date; run python -m docs.build' if check else 'was rewritten'}"
            )
            if not check:
                path.write_text(new, encoding="utf-8")
    return int(stale and check)


if __name__ == "__main__":
    sys.exit(main())

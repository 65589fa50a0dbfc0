# `just` lists these; without just, the lines can be typed as they are.

[private]
default:
    @just --list --unsorted

# what is needed to work on the project (pip 25.1 or newer)
install:
    pip install --upgrade pip
    pip install -e . --group test-all

# the tests of a minute or two; those that lack a package skip
test *arguments:
    pytest -q {{arguments}}

# every test
slow *arguments:
    pytest -q --slow {{arguments}}

# style, unused code, complexity
lint:
    ruff check .
    ruff format --check .

# mypy --strict
types:
    mypy

# the generated blocks of the documents
docs:
    python -m docs.build

# the wheel and the sdist, in dist/
wheel:
    python -m build

# the pinned packages of .ci/run (needs uv)
lock:
    uv pip compile --universal --python-version 3.10 --generate-hashes --no-header --no-annotate --no-emit-package gender-classifier --group test --group lint .ci/lock.in -o .ci/lock.txt

"""Leaves this room out where torch is missing: nothing here needs the pictures, but most of it needs torch."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]

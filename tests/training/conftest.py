"""Nothing here needs the pictures, but most of it needs torch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("transformers", reason="training needs transformers")

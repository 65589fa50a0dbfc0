"""What is said about installing works from where the user is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gender_classifier.runtime import installing
from gender_classifier.runtime.installing import install_command
from support import ROOT


def test_install_command_names_the_checkout_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("export") == 'pip install ".[export]"'
    assert install_command() == "pip install ."
    monkeypatch.chdir(tmp_path)
    assert install_command("heif") == f'pip install "{ROOT}[heif]"'


def test_install_command_of_an_installed_copy_names_what_the_extra_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "_IS_CHECKOUT", False)
    monkeypatch.setattr(
        "importlib.metadata.requires",
        lambda name: ["numpy>=1.24", 'pillow-heif>=0.16; extra == "heif"', "onnx<2,>=1.16 ; extra == 'export'"],
    )
    assert install_command() == 'pip install "numpy>=1.24"'
    assert install_command("heif") == 'pip install "pillow-heif>=0.16"'
    assert install_command("export") == 'pip install "onnx<2,>=1.16"'


@pytest.mark.skipif(os.name != "posix", reason="the working folder cannot be deleted here")
def test_install_command_from_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert install_command() == f"pip install {ROOT}"

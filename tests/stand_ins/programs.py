"""Programs that tests put in the place of the machine's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """A script with this text at ``path``; its directory is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def found_first(monkeypatch: pytest.MonkeyPatch, script: Path) -> Path:
    """Have a script's directory searched before all others; the script."""
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return script

"""An ordinary user's view of the filesystem, also when the tests run as root."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

NOBODY = 65534


@contextmanager
def _as_ordinary_user() -> Iterator[None]:
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """A context in which permissions count."""
    return _as_ordinary_user


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user can enter (pytest's own are private) and nobody but us write."""
    path = Path(tempfile.mkdtemp(prefix="btrfs-to-s3-test-"))
    path.chmod(0o755 if os.geteuid() == 0 else 0o555)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)

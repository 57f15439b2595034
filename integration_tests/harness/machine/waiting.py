"""Waiting for what other processes do, without guessing how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.02


def wait_until(
    condition: Callable[[], object], patience_s: float = PATIENCE_S, poll_s: float = _POLL_S
) -> None:
    """Return once it holds; TimeoutError after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened within {patience_s} s")
        time.sleep(poll_s)

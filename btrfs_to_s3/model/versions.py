"""Version numbers of kernels and programs."""

from __future__ import annotations

import re


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers: ``6.18.44-fc`` is (6, 18, 44), ``6.2-rc1`` is (6, 2)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()

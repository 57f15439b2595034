"""Imports that wait until they are needed, named in one way.

Most of the time a start of the program takes goes into libraries that ``--version``, ``--help`` and
a shell's completion do not need: boto3 above all, then rich and the operations. Whatever stands
between the entry point and a command names them by their place instead of importing them.
"""

from __future__ import annotations

import importlib
from typing import Any


def lazily(place: str) -> Any:  # noqa: ANN401 - whatever the place names; the caller says its type
    """What ``package.module:name`` names, imported now if it was not before."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)

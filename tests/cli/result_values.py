"""What the results of golden files are made of: one repository with two sources."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.identity import SourceId
from tests.plan.build import chain, head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    Rendering = tuple[dict[str, object], Sequence[RenderableType]]
    """A result as JSON and as text."""

URL = "s3://bucket/pre"
REQUESTS = {"put": 14, "get": 3, "list": 2, "head": 0, "delete": 0}
PEAK_BYTES = 170 * 1024**2
MIB = 1024**2
FULL, FIRST, SECOND = (
    replace(entry, raw_size_bytes=size * MIB, stored_size_bytes=size * MIB // 2)
    for entry, size in zip(chain(3), (900, 3, 5), strict=True)
)
HEAD = head(FULL, FIRST, SECOND)
HOME = SourceId("home", "0badcafe")
DAMAGED = IntegrityError(
    "the head of home-0badcafe was rolled back", hint="find out who did it", key="heads/home"
)

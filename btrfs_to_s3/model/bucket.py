"""The bucket around a repository: what its owner configured. Nothing here is stored by us."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A bucket's lifecycle configuration.

    ``rules`` have the shape of the S3 API (PutBucketLifecycleConfiguration, LifecycleRule), times
    as text, so that rules of others come back as they were. ``transition_minimum`` is what the
    service said of TransitionDefaultMinimumObjectSize, None where it said nothing.
    """

    rules: tuple[Mapping[str, object], ...] = ()
    transition_minimum: str | None = None


class Versioning(StrEnum):
    """Whether the bucket keeps versions (S3 API, GetBucketVersioning)."""

    NEVER = "never"
    ENABLED = "enabled"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """Object Lock is on; ``retention`` is what new objects get by default, None for nothing."""

    retention: str | None

"""Thawing a stage's chunks by plain S3, as a person with another tool would.

Source: S3 API, RestoreObject and HeadObject (`x-amz-restore`).
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, cast

from integration_tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import TierType
    from mypy_boto3_s3.type_defs import GlacierJobParametersTypeDef

    from integration_tests.harness.scripting.settings import Settings
    from integration_tests.harness.scripting.stage import Stage

_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class Thaw(Enum):
    """How far an object is."""

    READABLE = "readable"
    FROZEN = "frozen"
    UNDER_WAY = "under way"


@dataclass(frozen=True, slots=True)
class Thawing:
    """The objects with these keys."""

    client: S3Client
    bucket: str
    keys: tuple[str, ...]

    def state(self, key: str) -> Thaw:
        """How far one object is; one HEAD."""
        head = self.client.head_object(Bucket=self.bucket, Key=key)
        if head.get("StorageClass", "STANDARD") not in _ARCHIVED:
            return Thaw.READABLE
        restore = head.get("Restore", "")
        if not restore:
            return Thaw.FROZEN
        return Thaw.UNDER_WAY if 'ongoing-request="true"' in restore else Thaw.READABLE

    def states(self) -> set[Thaw]:
        """The states that occur."""
        return {self.state(key) for key in self.keys}

    def is_done(self) -> bool:
        """Whether everything can be read."""
        return self.states() == {Thaw.READABLE}

    def are_older_than(self, seconds: float) -> bool:
        """Whether every object was written longer ago; times of S3 are whole seconds."""
        written = (
            self.client.head_object(Bucket=self.bucket, Key=key)["LastModified"].timestamp()
            for key in self.keys
        )
        return time.time() - max(written) > seconds + 1

    def request(self, days: int, tier: str) -> int:
        """Ask for every object that is frozen; how many were asked for."""
        frozen = [key for key in self.keys if self.state(key) is Thaw.FROZEN]
        parameters: GlacierJobParametersTypeDef = {"Tier": cast("TierType", tier)}
        for key in frozen:
            self.client.restore_object(
                Bucket=self.bucket,
                Key=key,
                RestoreRequest={"Days": days, "GlacierJobParameters": parameters},
            )
        return len(frozen)


@contextlib.contextmanager
def thawing(stage: Stage, settings: Settings) -> Iterator[Thawing]:
    """All chunks that are stored now, once they can be thawed.

    moto takes the first steps of an object that is younger than a thaw takes for its end.
    """
    keys = (f"{stage.prefix}/{key}" for key in stage.keys(settings) if key.startswith("chunks/"))
    with contextlib.closing(stage.service(settings).client(attempts=5)) as client:
        thawing = Thawing(client, stage.bucket, tuple(keys))
        if settings.is_embedded:
            thaw_s = settings.archive.thaw.seconds
            wait_until(lambda: thawing.are_older_than(thaw_s), settings.archive.timeout.seconds)
        yield thawing

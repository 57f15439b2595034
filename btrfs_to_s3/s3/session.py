"""What all calls of one repository share: client, retry policy, gate, limits, counters."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from btrfs_to_s3.s3.bandwidth import MeteredBody, TokenBucket
from btrfs_to_s3.s3.client import RequestCounter, S3Settings, make_client
from btrfs_to_s3.s3.gate import GateSettings, OutageGate
from btrfs_to_s3.s3.retry import Retrier, RetryPolicy
from btrfs_to_s3.s3.translate import Translator
from btrfs_to_s3.s3.watch import HangWatch, watch_connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from btrfs_to_s3.model.objects import Capabilities
    from btrfs_to_s3.ports import Body, Cancellation, Way

T = TypeVar("T")


_THAWS_PER_S: Final = 500.0
_THAW_BURST: Final = 50.0
"""S3 takes 1,000 RestoreObject requests a second and account (User Guide, "Restoring an archived
object"): half of them leaves room for whoever else uses the account."""


class NeverCancelled:
    """The cancellation of a store that was bound to none."""

    __slots__ = ()

    def is_set(self) -> bool:
        """Never."""
        return False

    def wait(self, timeout_s: float) -> bool:
        """Sleep; never cancelled."""
        time.sleep(max(0.0, timeout_s))
        return False


@dataclass(frozen=True, slots=True)
class Limits:
    """Patience and speed. Bytes per second None is unlimited."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    gate: GateSettings = field(default_factory=GateSettings)
    upload_bytes_per_s: float | None = None
    download_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Clock and chance, replaced in tests."""

    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(slots=True)
class Learned:
    """What this process found out about the service. Each field changes one way, once.

    ``capabilities`` None: not detected yet. The flags turn False when the service refused the
    request or header concerned.
    """

    capabilities: Capabilities | None = None
    if_none_match: bool = True
    if_match: bool = True
    restore_status: bool = True
    multi_delete: bool = True
    head_checksums: bool = True


@dataclass(frozen=True, slots=True)
class Session:
    """One repository's shared parts; a copy with another ``cancel`` is a bound session."""

    settings: S3Settings
    client: S3Client
    counter: RequestCounter
    retrier: Retrier
    gate: OutageGate
    upload: TokenBucket | None
    download: TokenBucket | None
    thaws: TokenBucket
    learned: Learned
    watch: HangWatch
    cancel: Cancellation
    now: Callable[[], datetime]

    @classmethod
    def open(
        cls, settings: S3Settings, limits: Limits, world: World, way: Way | None = None
    ) -> Session:
        """Make a client and everything around it; no request is sent.

        Nothing goes out while there is an objection to ``way``; None: any will do.
        """
        counter = RequestCounter()
        gate = OutageGate(limits.gate, clock=world.clock, random=world.random, way=way)

        def bucket(rate: float | None) -> TokenBucket | None:
            return None if rate is None else TokenBucket(rate, clock=world.clock)

        client, watch = make_client(settings, counter), HangWatch(way)
        watch_connections(client, watch)
        return cls(
            settings=settings,
            client=client,
            counter=counter,
            retrier=Retrier(
                limits.retry,
                gate,
                Translator(settings, world.now),
                random=world.random,
                service=settings.service,
            ),
            gate=gate,
            upload=bucket(limits.upload_bytes_per_s),
            download=bucket(limits.download_bytes_per_s),
            thaws=TokenBucket(_THAWS_PER_S, clock=world.clock, burst=_THAW_BURST),
            learned=Learned(),
            watch=watch,
            cancel=NeverCancelled(),
            now=world.now,
        )

    def bound(self, cancel: Cancellation) -> Session:
        """The same session, its waits ended by ``cancel``."""
        return replace(self, cancel=cancel)

    def metered(self, body: Body) -> MeteredBody:
        """A request body under the limit, the cancellation and the eyes of this session."""
        return MeteredBody(body, self.upload, self.cancel, self.counter.piece)

    def call(self, operation: str, key: str, attempt: Callable[[int], T]) -> T:
        """Run an attempt under the retry policy and the gate; it ends when ``cancel`` is set."""

        def watched(number: int) -> T:
            with self.watch.over(self.cancel):
                return attempt(number)

        return self.retrier.run(operation, key, watched, self.cancel)

    def close(self) -> None:
        """Close the connections; idempotent."""
        self.watch.close()
        self.client.close()

    def full_key(self, key: str) -> str:
        """A relative key as the bucket knows it."""
        return f"{self.settings.prefix}/{key}" if self.settings.prefix else key

    def relative_key(self, full_key: str) -> str:
        """A bucket key without the repository's prefix."""
        return full_key.removeprefix(self.full_key(""))


def canonical_etag(etag: str | None) -> str:
    """The one form of ETags in this program: without quotes."""
    return (etag or "").strip('"')


def quoted_etag(etag: str) -> str:
    """The form HTTP conditions carry (RFC 9110, 8.8.3)."""
    return f'"{canonical_etag(etag)}"'


def canonical_version(version_id: str | None) -> str | None:
    """None for ``null``, which is how some services say that the bucket keeps no versions."""
    return None if version_id == "null" else version_id

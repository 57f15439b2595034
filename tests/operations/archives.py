"""An archive as S3 documents it, around a real store: what moto's cannot do, by a clock of ours."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import NotReadableYetError
from btrfs_to_s3.model.objects import ThawAnswer
from btrfs_to_s3.model.storage_class import Tier, storage_class
from tests.operations.stores import Delegate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.model.objects import ListedObject, ListedVersion, ObjectState
    from btrfs_to_s3.ports import ObjectStore
    from tests.operations.repositories import ManualClock


@dataclass(frozen=True, slots=True)
class Copy:
    """A thaw: when it is done, and how long its copy stays."""

    ready: datetime
    until: datetime | None


class Waiting:
    """A cancellation whose waits take no time: the clock goes on instead."""

    def __init__(self, clock: ManualClock, most: int = 1000) -> None:
        self.waits = 0
        self._clock = clock
        self._most = most

    def is_set(self) -> bool:
        """Never."""
        return False

    def wait(self, timeout_s: float) -> bool:
        """Let the time pass; a test that waits for ever fails."""
        self.waits += 1
        assert self.waits <= self._most
        self._clock.advance(seconds=timeout_s)
        return False


class Archive(Delegate):
    """Chunks lie in ``classes`` (by a part of their keys), else where they were stored.

    Thaws take as long as their class and tier may (S3 User Guide, "Understanding archive retrieval
    options"), by ``clock``; another request for what is under way gets 409, for what is thawed 200
    and a new end. ``lists`` False is a service whose listings say nothing of thaws. ``tiering`` is
    the archive tier of INTELLIGENT_TIERING objects, None without one.
    """

    def __init__(
        self,
        inner: ObjectStore,
        clock: ManualClock,
        classes: dict[str, str],
        *,
        lists: bool = True,
        tiering: str | None = None,
    ) -> None:
        super().__init__(inner)
        self.classes = classes
        self.copies: dict[str, Copy] = {}
        self.asked: list[tuple[str, int | None, Tier]] = []
        self.heads: list[str] = []
        self._clock = clock
        self._lists = lists
        self._tiering = tiering
        self._lock = threading.Lock()

    def expire(self, key: str) -> None:
        """Let a copy go away now."""
        self.copies.pop(key)

    def class_of(self, key: str, stored: str = "STANDARD") -> str:
        """The class an object lies in."""
        found = [name for part, name in self.classes.items() if part in key]
        return found[0] if found else stored

    def head(self, key: str, version_id: str | None = None) -> ObjectState | None:
        with self._lock:
            self.heads.append(key)
        state = self.inner.head(key, version_id)
        if state is None:
            return None
        thawing, until = self._thaw(key)
        name = self.class_of(key, state.storage_class)
        frozen = name == "INTELLIGENT_TIERING" and not self._can_be_read(key, name)
        return replace(
            state,
            storage_class=name,
            thawing=thawing,
            thawed_until=until,
            archive_status=self._tiering if frozen else None,
        )

    def list(self, prefix: str) -> Iterator[ListedObject]:
        for listed in self.inner.list(prefix):
            thawing, until = self._thaw(listed.key) if self._lists else (False, None)
            name = self.class_of(listed.key, listed.storage_class)
            yield replace(listed, storage_class=name, thawing=thawing, thawed_until=until)

    def list_versions(self, prefix: str) -> Iterator[ListedVersion]:
        for listed in self.inner.list_versions(prefix):
            thawing, until = self._thaw(listed.key) if self._lists else (False, None)
            name = self.class_of(listed.key, listed.storage_class)
            yield replace(listed, storage_class=name, thawing=thawing, thawed_until=until)

    def get(
        self, key: str, *, offset: int, size_bytes: int, version_id: str | None = None
    ) -> bytes:
        self._require_readable(key)
        return self.inner.get(key, offset=offset, size_bytes=size_bytes, version_id=version_id)

    def get_into(
        self, key: str, buffer: memoryview, *, offset: int, version_id: str | None = None
    ) -> None:
        self._require_readable(key)
        self.inner.get_into(key, buffer, offset=offset, version_id=version_id)

    def get_whole(
        self, key: str, *, limit_bytes: int, version_id: str | None = None
    ) -> tuple[bytes, str]:
        self._require_readable(key)
        return self.inner.get_whole(key, limit_bytes=limit_bytes, version_id=version_id)

    def request_thaw(
        self,
        key: str,
        version_id: str | None,
        days: int | None,
        tier: Tier,
    ) -> ThawAnswer:
        assert version_id is None or self.inner.head(key, version_id) is not None
        with self._lock:
            self.asked.append((key, days, tier))
            thawing, until = self._thaw(key)
            if thawing:
                return ThawAnswer.UNDER_WAY
            now = self._clock.now
            if until is not None and days is not None:
                self.copies[key] = Copy(now, now + timedelta(days=days))
                return ThawAnswer.READABLE
            known = storage_class(self.class_of(key))
            latest = known.thaw[tier].latest if known.archived else timedelta(hours=5)
            ready = now + latest
            ends = None if days is None else ready + timedelta(days=days)
            self.copies[key] = Copy(ready, ends)
            return ThawAnswer.ACCEPTED

    def _thaw(self, key: str) -> tuple[bool, datetime | None]:
        copy, now = self.copies.get(key), self._clock.now
        if copy is None or (copy.until is not None and copy.until <= now):
            return False, None
        return (False, copy.until) if copy.ready <= now else (True, None)

    def _require_readable(self, key: str) -> None:
        if not self._can_be_read(key, self.class_of(key)):
            raise NotReadableYetError(f"{key} is archived", key=key)

    def _can_be_read(self, key: str, name: str) -> bool:
        if not storage_class(name).archived and not (
            name == "INTELLIGENT_TIERING" and self._tiering
        ):
            return True
        copy, now = self.copies.get(key), self._clock.now
        return copy is not None and copy.ready <= now and (copy.until is None or copy.until > now)

"""Local snapshots on a real Btrfs: only the source's own go, and none that is needed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.model.backup import Head, HeadEntry, StreamIdentity
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy
from btrfs_to_s3.model.subvolume import SendOptions
from btrfs_to_s3.operations.backup.upload_journal import UploadBegin
from btrfs_to_s3.operations.prune.local import (
    LocalWishes,
    needed_parents,
    plan_local,
    prune_local,
)
from integration_tests.harness.machine.loopback import LoopbackBtrfs, why_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.operations.prune.local import LocalResult
    from btrfs_to_s3.ports import Volume
    from tests.operations.repositories import SyntheticRepository

pytestmark = pytest.mark.btrfs

LAST_1 = KeepPolicy(last=1)


@pytest.fixture
def filesystem(state_directory: Path) -> Iterator[LoopbackBtrfs]:
    reason = why_unavailable()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip these tests")
    if reason is not None:
        pytest.skip(reason)
    with LoopbackBtrfs(state_directory, size_bytes=256 * 1024**2) as made:
        yield made


@pytest.fixture
def volume(filesystem: LoopbackBtrfs) -> Iterator[Volume]:
    """The filesystem with a subvolume ``@data``, opened writable by the adapter."""
    path = filesystem.subvolume("@data")
    (path / "file").write_text("content\n")
    with LocalBtrfs().open(path, writable=True) as opened:
        yield opened


class Snapshots:
    """Snapshots of ``@data`` as backups leave them, and the head that lists some of them."""

    def __init__(self, repository: SyntheticRepository, volume: Volume, root: Path) -> None:
        self.source = volume.subvolume_at(root / "@data")
        self.source_id = repository.source_id
        self._repository = repository
        self._volume = volume
        self._count = 0
        # A snapshot from the future would be kept for that alone.
        repository.clock.advance(hours=1)

    def take(self, source_id: SourceId | None = None) -> Subvolume:
        """One more, an hour after the last by its name."""
        self._count += 1
        name = f"{source_id or self.source_id}.20260101T{self._count:02}0000Z"
        return self._volume.snapshot(self.source, name)

    def head(self, *backed_up: Subvolume) -> Head:
        """A head that lists a full backup of each."""
        return Head(
            source_id=self.source_id,
            repository_id="r",
            sequence=len(backed_up),
            host_id="h",
            host_name="nas",
            subvolume_uuid=self.source.uuid,
            writer="nas",
            written=datetime.now(UTC),
            backups=tuple(_entry(each, number) for number, each in enumerate(backed_up, start=1)),
        )

    def prune(self, *heads: Head, keep: KeepPolicy = LAST_1) -> LocalResult:
        """Prune as the source asks."""
        return prune_local(self._repository.services, self._volume, self.wishes(*heads, keep=keep))

    def wishes(self, *heads: Head, keep: KeepPolicy = LAST_1) -> LocalWishes:
        """Keep the last one, and what these heads need."""
        return LocalWishes(self.source, self.source_id, heads, keep)

    def here(self) -> set[str]:
        """The paths of all subvolumes but the source's and the top level's."""
        paths = {subvolume.path for subvolume in self._volume.subvolumes()}
        return paths - {"", self.source.path}


def _entry(snapshot: Subvolume, sequence: int) -> HeadEntry:
    return HeadEntry(
        backup_id=BackupId.of(snapshot.otime, Kind.FULL, snapshot.stream_uuid),
        parent=None,
        sequence=sequence,
        kind=Kind.FULL,
        manifest_sha256_hex=sha256(snapshot.uuid.bytes).hexdigest(),
        stream=StreamIdentity(snapshot.stream_uuid, snapshot.ctransid),
        snapshot_uuid=snapshot.uuid,
        snapshot_ctransid=snapshot.ctransid,
        snapshot_time=snapshot.otime,
        finished=snapshot.otime,
        raw_size_bytes=1,
        stored_size_bytes=1,
        chunk_count=1,
        data_class="STANDARD",
    )


@pytest.fixture
def snapshots(
    repository: SyntheticRepository, volume: Volume, filesystem: LoopbackBtrfs
) -> Snapshots:
    return Snapshots(repository, volume, filesystem.mount_point)


def paths(*subvolumes: Subvolume) -> set[str]:
    return {subvolume.path for subvolume in subvolumes}


def test_what_no_rule_keeps_goes_but_not_the_next_increments_parent(snapshots: Snapshots) -> None:
    first, parent, unsent, last = (snapshots.take() for _ in range(4))
    result = snapshots.prune(snapshots.head(first, parent))
    assert paths(*result.removed) == paths(first, unsent)
    assert result.errors == ()
    assert snapshots.here() == paths(parent, last)


def test_a_plan_deletes_nothing(
    repository: SyntheticRepository, volume: Volume, snapshots: Snapshots
) -> None:
    first, second = snapshots.take(), snapshots.take()
    wishes = snapshots.wishes(snapshots.head(first, second))
    plan = plan_local(repository.services, volume, wishes)
    assert [line.snapshot.path for line in plan.lines if not line.keep] == [first.path]
    assert snapshots.here() == paths(first, second)


def test_only_snapshots_named_for_the_source_id_are_touched(
    snapshots: Snapshots, filesystem: LoopbackBtrfs, volume: Volume
) -> None:
    """Another repository's snapshots of the same subvolume carry another source id."""
    own = snapshots.source_id
    foreign = [
        snapshots.take(SourceId(own.label, "ffffffff")),
        snapshots.take(SourceId(f"{own}.copy", "ffffffff")),
        volume.snapshot(snapshots.source, f"{own}.by-hand"),
        volume.snapshot(snapshots.source, "by-hand"),
    ]
    outside = f"{own}.20250101T000000Z"
    filesystem.snapshot(filesystem.mount_point / "@data", outside)
    first, last = snapshots.take(), snapshots.take()
    result = snapshots.prune(snapshots.head(last))
    assert paths(*result.removed) == paths(first)
    assert snapshots.here() == paths(*foreign, last) | {outside}


def test_a_second_snapshot_within_a_second_is_the_sources_too(
    snapshots: Snapshots, volume: Volume
) -> None:
    first = snapshots.take()
    second = volume.snapshot(snapshots.source, f"{first.path.rpartition('/')[2]}-2")
    last = snapshots.take()
    assert paths(*snapshots.prune(snapshots.head(last)).removed) == paths(first, second)


def test_what_an_upload_in_progress_reads_stays(
    repository: SyntheticRepository, snapshots: Snapshots
) -> None:
    parent, sending, newer, last = (snapshots.take() for _ in range(4))
    repository.journal.begin(
        UploadBegin(
            backup_id=BackupId.of(sending.otime, Kind.INCREMENTAL, sending.uuid),
            parent=BackupId.of(parent.otime, Kind.FULL, parent.uuid),
            snapshot_uuid=sending.uuid,
            snapshot_ctransid=sending.ctransid,
            parent_uuid=parent.uuid,
            chunk_size_bytes=1,
            options=SendOptions(protocol=1, compressed_data=False),
            started=datetime.now(UTC),
        )
    )
    result = snapshots.prune(snapshots.head(last))
    assert paths(*result.removed) == paths(newer)
    assert snapshots.here() == paths(parent, sending, last)


def test_the_parent_that_another_repository_needs_stays(snapshots: Snapshots) -> None:
    shared, other, last = (snapshots.take() for _ in range(3))
    elsewhere = replace(snapshots.head(shared), source_id=SourceId("data", "ffffffff"))
    result = snapshots.prune(snapshots.head(last), elsewhere)
    assert paths(*result.removed) == paths(other)


def test_a_protected_snapshot_stays(
    repository: SyntheticRepository, volume: Volume, snapshots: Snapshots
) -> None:
    first, second, last = (snapshots.take() for _ in range(3))
    wishes = replace(
        snapshots.wishes(snapshots.head(last)), protected={first.uuid: "it is sent elsewhere"}
    )
    result = prune_local(repository.services, volume, wishes)
    assert paths(*result.removed) == paths(second)


def test_without_a_rule_nothing_goes(snapshots: Snapshots) -> None:
    first, last = snapshots.take(), snapshots.take()
    assert snapshots.prune(snapshots.head(last), keep=KeepPolicy()).removed == ()
    assert snapshots.here() == paths(first, last)


def test_a_snapshot_that_cannot_be_deleted_is_told_and_stops_no_other(
    snapshots: Snapshots, filesystem: LoopbackBtrfs
) -> None:
    stuck, second, last = (snapshots.take() for _ in range(3))
    command = ["btrfs", "subvolume", "set-default", str(stuck.id), str(filesystem.mount_point)]
    subprocess.run(command, check=True)
    result = snapshots.prune(snapshots.head(last))
    assert paths(*result.removed) == paths(second)
    (error,) = result.errors
    assert stuck.path in str(error)


def test_the_backup_that_the_next_increment_builds_on_is_known(
    repository: SyntheticRepository, volume: Volume, snapshots: Snapshots
) -> None:
    older, newest = snapshots.take(), snapshots.take()
    head = snapshots.head(older, newest)
    first, second = (entry.backup_id for entry in head.backups)
    assert list(needed_parents(repository.services, volume, head, ChainPolicy())) == [second]
    volume.delete(newest)
    assert list(needed_parents(repository.services, volume, head, ChainPolicy())) == [first]
    volume.delete(older)
    assert needed_parents(repository.services, volume, head, ChainPolicy()) == {}

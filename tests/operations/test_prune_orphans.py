"""Objects of no live backup: what goes, and what only looks like one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import RepositoryError
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.objects import Role
from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.operations.prune import prune
from btrfs_to_s3.operations.prune.prune import PruneWishes
from tests.operations.prune_helpers import SMALL, WEEK, assert_sound, left_of, planned, pruned
from tests.operations.repositories import SyntheticRepository
from tests.operations.stores import ActsOnce, Delegate, RefusesToDelete, StopsAfter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from btrfs_to_s3.model.objects import UnfinishedUpload
    from btrfs_to_s3.operations.prune.prune import PruneResult
    from btrfs_to_s3.ports import ObjectStore
    from tests.operations.conftest import Bucket

ALL = KeepPolicy()
OLD = WEEK + timedelta(days=1)
YOUNG = WEEK - timedelta(days=1)


def killed_upload(repository: SyntheticRepository) -> str:
    """Chunks without a manifest and without a journal; the name that is in their keys."""
    begin, _ = repository.upload(size=SMALL)
    repository.journal.remove()
    return str(begin.backup_id)


def named(bucket: Bucket, name: str) -> list[str]:
    return [key for key in bucket.listing() if name in key]


def after(repository: SyntheticRepository, age: timedelta) -> PruneResult:
    """Prune, keeping all backups, when that much time has passed."""
    repository.clock.now += age
    return pruned(repository, ALL)


@pytest.fixture
def committed(repository: SyntheticRepository) -> SyntheticRepository:
    """The repository with one backup."""
    repository.backup(size=SMALL)
    return repository


def test_an_old_orphan_goes_and_a_younger_one_stays(
    committed: SyntheticRepository, bucket: Bucket
) -> None:
    name = killed_upload(committed)
    result = after(committed, YOUNG)
    assert (result.errors, result.orphans.objects) == ([], 0)
    assert len(named(bucket, name)) == 1
    result = after(committed, OLD - YOUNG)
    assert (result.errors, result.orphans.objects) == ([], 1)
    assert result.orphans.freed_bytes > SMALL
    assert named(bucket, name) == []
    assert_sound(committed)


def test_chunks_of_an_open_journal_stay_however_old(
    committed: SyntheticRepository,
) -> None:
    begin, facts = committed.upload(size=SMALL)
    assert after(committed, timedelta(days=365)).orphans.objects == 0
    committed.commit(begin, facts)
    assert_sound(committed)


def test_what_is_committed_while_orphans_are_listed_stays(
    committed: SyntheticRepository, state_directory: Path
) -> None:
    other = SyntheticRepository(
        committed.store, state_directory / "other", source_id=committed.source_id, host="other"
    )
    begin, facts = other.upload(size=SMALL)
    committed.clock.now += OLD
    # The first listing is behind the first look at the heads.
    store = ActsOnce(committed.store, keys.MANIFESTS, lambda: other.commit(begin, facts))
    shown = planned(committed.through(store), ALL)
    assert len(committed.head().backups) == 2
    assert shown.nothing_to_do


def test_what_is_committed_between_plan_and_removal_stays(
    committed: SyntheticRepository, state_directory: Path
) -> None:
    other = SyntheticRepository(
        committed.store, state_directory / "other", source_id=committed.source_id, host="other"
    )
    begin, facts = other.upload(size=SMALL)
    committed.clock.now += OLD
    shown = planned(committed, ALL)
    assert shown.orphans is not None
    assert len(shown.orphans.plan.remove) == 1
    other.commit(begin, facts)
    assert prune.execute(committed.services, shown).orphans.objects == 0
    assert_sound(committed)


def test_a_complete_backup_that_lost_its_race_goes_manifest_first(
    committed: SyntheticRepository, bucket: Bucket
) -> None:
    loser = committed.backup(size=SMALL)
    head = committed.head()
    shortened = replace(head, backups=head.backups[:-1])
    committed.access.commit(committed.source_id, lambda _: shortened)
    assert len(left_of(bucket, loser)) == 3
    manifest = keys.manifest(committed.source_id, loser.backup_id)
    committed.clock.now += OLD
    refused = pruned(committed.through(RefusesToDelete(committed.store, {manifest})), ALL)
    assert [type(error) for error in refused.errors] == [RepositoryError]
    assert len(left_of(bucket, loser)) == 3
    assert after(committed, timedelta()).orphans.objects == 3
    assert left_of(bucket, loser) == []
    assert_sound(committed)


def test_an_attempt_that_lost_goes_from_beside_a_live_backup(
    committed: SyntheticRepository, bucket: Bucket
) -> None:
    entry = committed.head().backups[0]
    stray = keys.chunk(committed.source_id, entry.backup_id, 0, "0badc0de")
    bucket.write(stray, b"lost")
    assert after(committed, OLD).orphans.objects == 1
    assert stray not in bucket.listing()
    assert_sound(committed)


def test_nothing_goes_by_an_index_that_is_damaged(
    committed: SyntheticRepository, bucket: Bucket
) -> None:
    entry = committed.head().backups[0]
    bucket.write(keys.chunk(committed.source_id, entry.backup_id, 0, "0badc0de"), b"lost")
    index = keys.index(committed.source_id, entry.backup_id)
    bucket.write(index, bucket.read(index)[::-1])
    before = bucket.listing()
    result = after(committed, OLD)
    assert (result.errors, bucket.listing()) == ([], before)
    assert any("are left" in warning for warning in committed.listener.warnings)


def test_old_multipart_uploads_are_aborted_and_those_of_an_open_journal_are_not(
    committed: SyntheticRepository,
) -> None:
    begin, facts = committed.upload(size=SMALL)
    lost = keys.chunk(committed.source_id, committed.head().backups[0].backup_id, 0, "0badc0de")
    ours = keys.chunk(committed.source_id, begin.backup_id, 1, "0badc0de")
    for key in (lost, ours):
        committed.store.create_upload(key, Role.DATA)
    view = committed.through(UploadsBegan(committed.store, committed.clock.now))
    assert after(view, YOUNG).orphans.uploads == 0
    assert after(view, OLD - YOUNG).orphans.uploads == 1
    assert [upload.key for upload in committed.store.list_uploads(keys.CHUNKS)] == [ours]
    committed.commit(begin, facts)
    assert after(view, timedelta()).orphans.uploads == 1
    assert list(committed.store.list_uploads(keys.CHUNKS)) == []
    assert_sound(committed)


def test_no_version_of_an_orphan_is_left_and_every_live_one_is(
    committed: SyntheticRepository, bucket: Bucket
) -> None:
    bucket.keep_versions()
    live = committed.backup(size=SMALL)
    name = killed_upload(committed)
    (orphan,) = named(bucket, name)
    bucket.write(orphan, b"someone wrote here")
    assert after(committed, OLD).errors == []
    assert [key for key in bucket.versions() if name in key] == []
    assert len([key for key in bucket.versions() if str(live.backup_id) in key]) == 3
    assert_sound(committed)


def test_nothing_of_a_source_whose_head_cannot_be_read_is_touched(
    committed: SyntheticRepository, bucket: Bucket
) -> None:
    killed_upload(committed)
    committed.clock.now += OLD
    shown_before = planned(committed, ALL)
    bucket.write(keys.head(committed.source_id), b"no head")
    before = bucket.listing()
    shown = planned(committed, ALL)
    assert shown.nothing_to_do
    assert shown.orphans is not None
    assert [source_id for source_id, _ in shown.orphans.unreadable] == [committed.source_id]
    for plan in (shown, shown_before):
        assert len(prune.execute(committed.services, plan).errors) == 1
        assert bucket.listing() == before


def test_a_source_whose_head_is_lost_gets_it_back_and_loses_nothing(
    committed: SyntheticRepository, bucket: Bucket
) -> None:
    killed_upload(committed)
    bucket.remove(keys.head(committed.source_id))
    before = bucket.listing()
    assert after(committed, OLD).orphans.objects == 0
    assert bucket.listing() == sorted([*before, keys.head(committed.source_id)])


def test_orphans_of_all_sources_go_only_when_the_whole_repository_is_pruned(
    committed: SyntheticRepository, bucket: Bucket, state_directory: Path
) -> None:
    other = SyntheticRepository(committed.store, state_directory / "other", host="other")
    name = killed_upload(other)
    assert after(committed, OLD).orphans.objects == 0
    wishes = PruneWishes((), WEEK, whole_repository=True)
    result = prune.execute(committed.services, prune.plan(committed.services, wishes))
    assert (result.errors, result.orphans.objects) == ([], 1)
    assert named(bucket, name) == []
    assert_sound(committed)


def test_a_failure_among_orphans_is_told(committed: SyntheticRepository) -> None:
    killed_upload(committed)
    committed.clock.now += OLD
    result = pruned(committed.through(StopsAfter(committed.store, 0)), ALL)
    assert result.orphans.objects == 0
    assert [str(error) for error in result.errors] == ["the connection is gone"]


def test_an_old_upload_that_only_tried_the_service_is_aborted(
    committed: SyntheticRepository,
) -> None:
    committed.store.create_upload(keys.REPOSITORY, Role.METADATA)
    view = committed.through(UploadsBegan(committed.store, committed.clock.now))
    wishes = PruneWishes((), WEEK, whole_repository=True)
    for age, aborted in ((YOUNG, 0), (OLD - YOUNG, 1)):
        view.clock.now += age
        done = prune.execute(view.services, prune.plan(view.services, wishes))
        assert done.orphans.uploads == aborted
    assert list(committed.store.list_uploads("")) == []
    assert_sound(committed)


class UploadsBegan(Delegate):
    """Says when multipart uploads began: moto gives each the same moment in 2010."""

    def __init__(self, inner: ObjectStore, moment: datetime) -> None:
        super().__init__(inner)
        self._moment = moment

    def list_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        for upload in super().list_uploads(prefix):
            yield replace(upload, started=self._moment)

"""Objects of no live backup."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.model.objects import ListedObject, UnfinishedUpload
from btrfs_to_s3.plan.retention.orphans import (
    OrphanRules,
    OwnedObject,
    OwnedUpload,
    Part,
    plan_orphans,
    surplus_chunks,
    survey,
)
from tests.plan.build import SOURCE_ID, T0, chain, days
from tests.plan.strategies import quickly

if TYPE_CHECKING:
    from collections.abc import Collection

    from btrfs_to_s3.plan.retention.orphans import BackupKey, OrphanPlan

NOW = T0 + days(100)
OLD = NOW - days(8)
YOUNG = NOW - days(6)
OWNERS: list[BackupKey] = [(SOURCE_ID, item.backup_id) for item in chain(4)]
LIVE, DEAD, OTHER, LATE = OWNERS


def stored(owner: BackupKey, part: Part, age: float = 8, name: str = "x") -> OwnedObject:
    key = f"{part.name}/{owner[1]}/{name}"
    return OwnedObject(owner, part, ListedObject(key, 1, "etag", NOW - days(age), "STANDARD"))


def upload(owner: BackupKey, age: float = 8) -> OwnedUpload:
    return OwnedUpload(owner, UnfinishedUpload(f"CHUNK/{owner[1]}/up", "id", NOW - days(age)))


def rules(
    live: Collection[BackupKey] = (LIVE,),
    open_backups: Collection[BackupKey] = (),
    *,
    headed: bool = True,
) -> OrphanRules:
    sources = {SOURCE_ID} if headed else set()
    return OrphanRules(live, sources, open_backups, NOW, timedelta(days=7))


def plan(
    objects: list[OwnedObject],
    *uploads: OwnedUpload,
    by: OrphanRules | None = None,
    before: Collection[BackupKey] = (LIVE,),
) -> OrphanPlan:
    return plan_orphans(survey(objects, uploads, dict.fromkeys(before, 2)), by or rules())


def keys(result: OrphanPlan) -> list[str]:
    return [orphan.listed.key for orphan in result.remove]


def test_old_objects_of_no_live_backup_go_manifests_first() -> None:
    result = plan([stored(DEAD, part) for part in reversed(Part)] + [stored(OTHER, Part.MANIFEST)])
    assert [key.split("/")[0] for key in keys(result)] == [
        "MANIFEST",
        "MANIFEST",
        "INDEX",
        "CATALOG",
        "NOTE",
        "CHUNK",
    ]
    assert "not live" in result.remove[0].reason


def test_objects_of_a_live_backup_stay() -> None:
    result = plan([stored(LIVE, part) for part in Part])
    assert keys(result) == []
    assert result.left == ()
    assert result.examine == ()


def test_one_young_object_protects_the_backups_old_ones() -> None:
    result = plan([stored(DEAD, Part.CHUNK, 90, "a"), stored(DEAD, Part.CHUNK, 6, "b")])
    assert keys(result) == []
    assert "younger than orphan_age" in result.left[0][1]


def test_a_young_unfinished_upload_protects_too() -> None:
    result = plan([stored(DEAD, Part.CHUNK, 90)], upload(DEAD, 6))
    assert keys(result) == []
    assert result.abort == ()


def test_what_this_host_is_uploading_stays_however_old() -> None:
    by = rules(open_backups=(DEAD,))
    result = plan([stored(DEAD, Part.CHUNK, 90)], upload(DEAD, 90), by=by)
    assert keys(result) == []
    assert result.abort == ()
    assert "journal" in result.left[0][1]


def test_what_was_committed_after_the_listing_began_stays() -> None:
    result = plan([stored(LATE, Part.CHUNK, 90)], by=rules(live=(LIVE, LATE)))
    assert keys(result) == []


def test_what_was_pruned_after_the_listing_began_waits_for_the_next_time() -> None:
    result = plan([stored(LIVE, Part.CHUNK, 90)] * 3, by=rules(live=()))
    assert keys(result) == []
    assert result.examine == ()


def test_a_source_that_lost_its_head_keeps_everything() -> None:
    objects = [stored(DEAD, Part.MANIFEST, 90), stored(OTHER, Part.CHUNK, 90)]
    result = plan(objects, before=(), by=rules(live=(), headed=False))
    assert keys(result) == []
    assert [reason for _, reason in result.left] == [
        "its source has manifests but no head: rebuild the head first"
    ] * 2


def test_a_first_backup_that_never_finished_goes() -> None:
    result = plan([stored(DEAD, Part.CHUNK)], before=(), by=rules(live=(), headed=False))
    assert len(keys(result)) == 1
    assert "never committed" in result.remove[0].reason


def test_old_uploads_are_aborted_also_beside_a_live_backup() -> None:
    result = plan([stored(LIVE, Part.CHUNK)], upload(LIVE), upload(DEAD), upload(LIVE, 6))
    assert [lost.upload.key for lost in result.abort] == [
        f"CHUNK/{LIVE[1]}/up",
        f"CHUNK/{DEAD[1]}/up",
    ]


def test_an_upload_of_a_live_backup_in_the_journal_is_not_aborted() -> None:
    assert plan([], upload(LIVE), by=rules(open_backups=(LIVE,))).abort == ()


def test_only_backups_with_more_chunk_objects_than_chunks_are_examined() -> None:
    chunks = [stored(LIVE, Part.CHUNK, 8, str(number)) for number in range(3)]
    assert plan(chunks[:2]).examine == ()
    assert plan(chunks).examine == (LIVE,)


def test_chunks_that_the_index_does_not_name_go_when_old() -> None:
    named, lost = (stored(LIVE, Part.CHUNK, 8, name) for name in ("named", "lost"))
    fresh = stored(LIVE, Part.CHUNK, 6, "fresh")
    note = stored(LIVE, Part.NOTE, 90)
    found = surplus_chunks([named, lost, fresh, note], {named.listed.key}, rules())
    assert [orphan.listed for orphan in found] == [lost.listed]
    assert surplus_chunks([lost], set(), rules(open_backups=(LIVE,))) == ()


OBJECTS = st.lists(
    st.builds(
        stored,
        st.sampled_from(OWNERS),
        st.sampled_from(list(Part)),
        st.floats(0, 30),
        st.text("abc", min_size=1, max_size=3),
    ),
    max_size=20,
)
UPLOADS = st.lists(st.builds(upload, st.sampled_from(OWNERS), st.floats(0, 30)), max_size=4)
OWNER_SETS = st.sets(st.sampled_from(OWNERS))


@quickly
@given(OBJECTS, UPLOADS, OWNER_SETS, OWNER_SETS, OWNER_SETS, st.booleans())
def test_nothing_live_open_or_young_is_ever_removed(
    objects: list[OwnedObject],
    uploads: list[OwnedUpload],
    before: set[BackupKey],
    live: set[BackupKey],
    open_backups: set[BackupKey],
    headed: bool,
) -> None:
    by = rules(live, open_backups, headed=headed)
    result = plan(objects, *uploads, by=by, before=before)
    gone = set(keys(result))
    for item in objects:
        if item.listed.key not in gone:
            continue
        assert item.owner not in live | open_backups | before
        assert NOW - item.listed.modified > days(7)
    for lost in result.abort:
        assert NOW - lost.upload.started > days(7)
        assert lost.upload.key not in {f"CHUNK/{owner[1]}/up" for owner in open_backups}
    young = {item.owner for item in objects if item.listed.modified > NOW - days(7)}
    assert not [item for item in objects if item.owner in young and item.listed.key in gone]
    order = [Part[key.split("/")[0]] for key in keys(result)]
    assert order == sorted(order)

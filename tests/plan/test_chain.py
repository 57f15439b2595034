"""Chains and links."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.plan.chain import chain_of, check_links, descendants, link_faults, live_chains
from tests.plan.build import SOURCE_ID, T0, chain, days, entry, head, manifests, uid
from tests.plan.strategies import heads, quickly

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head


def test_a_chain_starts_with_its_full_backup() -> None:
    entries = chain(4)
    assert chain_of(head(*reversed(entries)), entries[2].backup_id) == entries[:3]


def test_a_backup_that_is_not_live_has_no_chain() -> None:
    with pytest.raises(IntegrityError, match="is not live"):
        chain_of(head(*chain(2)), entry(7).backup_id)


def test_a_missing_ancestor_is_named() -> None:
    entries = chain(3)
    with pytest.raises(IntegrityError, match=str(entries[0].backup_id)):
        chain_of(head(*entries[1:]), entries[2].backup_id)


def test_parents_that_form_a_cycle_are_refused() -> None:
    full, first, second = chain(3)
    looped = replace(first, parent=second.backup_id)
    damaged = head(full, looped, second)
    with pytest.raises(IntegrityError, match="cycle"):
        chain_of(damaged, second.backup_id)
    with pytest.raises(IntegrityError, match="cycle"):
        live_chains(damaged)
    with pytest.raises(IntegrityError, match="cycle"):
        descendants(damaged, first.backup_id)


def test_an_incremental_backup_without_a_parent_is_refused() -> None:
    with pytest.raises(IntegrityError, match="names no parent"):
        chain_of(head(replace(entry(1), kind=Kind.INCREMENTAL)), entry(1).backup_id)


def test_a_backup_listed_twice_is_refused() -> None:
    with pytest.raises(IntegrityError, match="more than once"):
        chain_of(head(entry(1), entry(1)), entry(1).backup_id)


@quickly
@given(heads())
def test_descendants_come_before_what_they_need(forest: Head) -> None:
    for root in forest.backups:
        below = descendants(forest, root.backup_id)
        needing = {
            item.backup_id
            for item in forest.backups
            if root in chain_of(forest, item.backup_id)[:-1]
        }
        assert {item.backup_id for item in below} == needing
        removed = set()
        for item in below:
            assert item.parent not in removed
            removed.add(item.backup_id)


@quickly
@given(heads())
def test_live_chains_cover_every_backup(forest: Head) -> None:
    chains = live_chains(forest)
    assert {item for links in chains.values() for item in links} == set(forest.backups)
    for tip, links in chains.items():
        assert links == chain_of(forest, tip)


def test_manifests_that_link_by_hash_and_stream_pass() -> None:
    linked = manifests(*chain(4))
    check_links(linked)
    check_links(linked[:1])
    check_links([])


def test_a_chain_must_start_with_a_full_backup() -> None:
    with pytest.raises(IntegrityError, match="needs"):
        check_links(manifests(*chain(3))[1:])


def test_a_link_that_was_left_out_is_found() -> None:
    full, _, last = manifests(*chain(3))
    assert len(link_faults([full, last])) == 1


def test_a_parent_whose_manifest_changed_is_found() -> None:
    (full, _), child = manifests(*chain(2))
    with pytest.raises(IntegrityError, match="another manifest"):
        check_links([(full, "ff" * 32), child])


def test_a_stream_for_another_parent_is_found() -> None:
    full, (child, digest) = manifests(*chain(2))
    stream = replace(child.stream, parent_uuid=uid(77))
    with pytest.raises(IntegrityError, match="needs a parent that"):
        check_links([full, (replace(child, stream=stream), digest)])


def test_a_stream_for_another_state_of_the_parent_is_found() -> None:
    full, (child, digest) = manifests(*chain(2))
    stream = replace(child.stream, parent_transid=12345)
    with pytest.raises(IntegrityError, match="another state"):
        check_links([full, (replace(child, stream=stream), digest)])


def test_after_a_disaster_restore_the_parent_transid_is_the_other_filesystems() -> None:
    full, (child, digest) = manifests(*chain(2))
    restored = replace(
        child,
        stream=replace(child.stream, parent_transid=10),
        snapshot=replace(child.snapshot, parent_uuid=uid(50)),
    )
    check_links([full, (restored, digest)])


def test_an_increment_with_its_parents_stream_uuid_is_found() -> None:
    full, (child, digest) = manifests(*chain(2))
    same = replace(child, stream=replace(child.stream, uuid=full[0].stream.uuid))
    with pytest.raises(IntegrityError, match="same uuid"):
        check_links([full, (same, digest)])


def test_another_sources_manifest_is_no_link() -> None:
    full, (child, digest) = manifests(*chain(2))
    other = replace(child, source_id=replace(SOURCE_ID, suffix="00000000"))
    with pytest.raises(IntegrityError, match="another source"):
        check_links([full, (other, digest)])


def test_a_manifest_whose_kind_and_parent_disagree_is_found() -> None:
    full, (child, digest) = manifests(*chain(2))
    assert "names a parent" in link_faults([full, (replace(child, kind=Kind.FULL), digest)])[0]


def test_two_full_backups_are_no_chain() -> None:
    first = entry(1)
    second = entry(2, time=T0 + days(9))
    with pytest.raises(IntegrityError, match="has no parent"):
        check_links(manifests(first, second))

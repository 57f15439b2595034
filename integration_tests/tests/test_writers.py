"""Guarantees 1, 2 and 7: two writers, one head; nothing but the head is ever overwritten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import IntegrityError, RaceLostError
from btrfs_to_s3.format import keys as key_of
from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.operations.repository.prepare import prepare_to_read
from integration_tests.harness.trees.compare import compare_trees
from integration_tests.tests.stopping import StoppingStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.wiring.application import Application
    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


class BeforeTheHead:
    """Lets another writer act just before this one writes the head, once."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] | None = act

    def around(self, write: Callable[..., object]) -> Callable[..., object]:
        """The same write, preceded by the other writer's."""

        def late(*arguments: object, **named: object) -> object:
            if str(arguments[0]).startswith(key_of.HEADS) and self._act is not None:
                act, self._act = self._act, None
                act()
            return write(*arguments, **named)

        return late

    def install(self, application: Application) -> None:
        """Put it around an application's store."""
        application.store = StoppingStore(application.store, self)  # type: ignore[assignment, arg-type]
        application.access.store = application.store


def test_the_loser_of_a_race_commits_on_top_while_its_parent_is_live(
    machine: Machine, data: Path, target: LoopbackBtrfs, fast_directory: Path
) -> None:
    machine.backup(data)
    restored = machine.restore("data", target.mount_point, writable="data").writable
    assert restored is not None
    (restored / "theirs").write_text("theirs\n")
    (data / "ours").write_text("ours\n")
    other = machine.elsewhere(machine.state)
    other.wrap = None
    machine.state = fast_directory / "ours"
    made = []
    # Both continue one source: the copy is theirs by its received parent, the original is ours.
    machine.wrap = BeforeTheHead(lambda: made.append(other.backup(restored))).install

    result = machine.backup(data)

    entries = machine.head().backups
    assert len(made) == 1
    assert [entry.backup_id for entry in entries][1:] == [made[0].backup_id, result.backup_id]
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert any("first" in note for note in machine.told.notes)
    newest = other.restore(f"data@{result.backup_id}", target.mount_point)
    assert compare_trees(data, newest.snapshot) == []


def test_the_loser_of_a_race_for_its_parent_says_who_won(machine: Machine, data: Path) -> None:
    machine.backup(data)
    (data / "new").write_text("new\n")
    winner = machine.elsewhere(machine.state)

    def remove_everything() -> None:
        with winner.application() as application:
            prepare_to_read(application.services())
            [head] = application.access.heads()
            application.access.host = replace(application.access.host, host_name="winner")
            application.access.commit(head.source_id, emptied)

    def emptied(head: Head | None) -> Head | None:
        assert head is not None
        return replace(head, backups=())

    machine.wrap = BeforeTheHead(remove_everything).install

    with pytest.raises(RaceLostError, match="winner") as caught:
        machine.backup(data)

    assert caught.value.hint
    assert machine.head().backups == ()


def test_two_first_backups_at_once_are_both_kept(
    machine: Machine, data: Path, fast_directory: Path
) -> None:
    other = machine.elsewhere(fast_directory / "other-state")
    made = []
    machine.wrap = BeforeTheHead(lambda: made.append(other.backup(data, new=True))).install

    first = machine.backup(data)

    with machine.application() as application:
        prepare_to_read(application.services())
        heads = application.access.heads()
    assert {head.source_id for head in heads} == {first.source_id, made[0].source_id}


def test_nothing_but_the_head_is_ever_overwritten(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    client = machine.client()
    client.put_bucket_versioning(
        Bucket=machine.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    for round_ in range(3):
        (data / f"new-{round_}").write_bytes(bytes(2_000_000))
        machine.backup(data)
    machine.outcome(data)
    machine.restore("data", target.mount_point, writable="data")
    machine.backup(data, full=True)

    versions = client.list_object_versions(Bucket=machine.bucket)
    client.close()
    written: dict[str, int] = {}
    for version in versions["Versions"]:
        written[version["Key"]] = written.get(version["Key"], 0) + 1
    overwritten = {key: times for key, times in written.items() if times > 1}
    [head] = machine.keys("heads/")
    assert overwritten == {f"prefix/{head}": 4}
    assert "DeleteMarkers" not in versions
    kinds = [entry.kind for entry in machine.head().backups]
    assert kinds == [Kind.FULL, Kind.INCREMENTAL, Kind.INCREMENTAL, Kind.FULL]


def test_a_source_whose_head_and_manifests_were_all_deleted_is_no_new_source(
    machine: Machine, data: Path
) -> None:
    machine.backup(data)
    client = machine.client()
    for key in [*machine.keys("heads/"), *machine.keys("manifests/")]:
        client.delete_object(Bucket=machine.bucket, Key=f"prefix/{key}")
    client.close()

    with pytest.raises(IntegrityError, match="are gone"):
        machine.backup(data)

    assert machine.backup(data, new=True).kind is Kind.FULL


def test_a_source_that_another_subvolume_writes_too_is_warned_about(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    machine.backup(data)
    copy = machine.restore("data", target.mount_point, writable="data").writable
    assert copy is not None
    (copy / "new").write_text("new\n")
    said = len(machine.told.warnings)

    machine.backup(copy)

    assert any("--new" in warning for warning in machine.told.warnings[said:])

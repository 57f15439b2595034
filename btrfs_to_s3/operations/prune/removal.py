"""Deleting a backup's objects for good, and the local record that lets a later run finish it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from btrfs_to_s3.errors import RepositoryError
from btrfs_to_s3.format import keys
from btrfs_to_s3.format.jsonio import Fields, encode_time
from btrfs_to_s3.format.manifest import entry_members, head_entry
from btrfs_to_s3.format.records import backup_id_member
from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.model.objects import DeleteTarget
from btrfs_to_s3.operations.backup.observe import UPLOADS, open_upload_journal
from btrfs_to_s3.plan.retention.orphans import Part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.objects import DeleteFailure, ListedObject, ListedVersion
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.retention.orphans import BackupKey
    from btrfs_to_s3.ports import ObjectStore

_Entry = TypeVar("_Entry", "ListedObject", "ListedVersion")
REMOVALS = "prune"
_WHAT = "the journal of removals"
_NAMED_FAILURES = 5
_ROOTS = {
    Part.MANIFEST: keys.MANIFESTS,
    Part.INDEX: keys.INDEXES,
    Part.CATALOG: keys.CATALOGS,
    Part.NOTE: keys.NOTES,
    Part.CHUNK: keys.CHUNKS,
}


@dataclass(frozen=True, slots=True)
class Removal:
    """A backup on its way out. It may go once a head newer than ``after_sequence`` lacks it.

    ``entry`` is how a head listed it, to be put back where it turns out to be held.
    """

    entry: HeadEntry
    after_sequence: int

    @property
    def backup_id(self) -> BackupId:
        """Which backup it is."""
        return self.entry.backup_id


class RemovalJournal:
    """The removals of one source that were begun here.

    Lines: ``removing`` (before the shortened head is written) and ``removed`` (nothing of the
    backup is left). Losing it costs nothing but time: what it names is an orphan then.
    """

    def __init__(self, services: Services, source_id: SourceId) -> None:
        self._journal = services.state.journal(REMOVALS, str(source_id))
        self._clock = services.clock
        self._source_id = source_id

    def begin(self, entries: Iterable[HeadEntry], sequence: int) -> None:
        """Note, in the order of removal, what the head that follows ``sequence`` will lack."""
        for entry in entries:
            self._journal.append(
                {
                    "what": "removing",
                    "backup_id": str(entry.backup_id),
                    "after_sequence": sequence,
                    "entry": entry_members(entry),
                    "at": encode_time(self._clock()),
                }
            )

    def removed(self, backup_id: BackupId) -> None:
        """Note that nothing of a backup is left."""
        self._journal.append({"what": "removed", "backup_id": str(backup_id)})

    def close(self) -> None:
        """Everything is done, or was given up."""
        self._journal.remove()

    def begun(self) -> tuple[Removal, ...]:
        """What was begun and not finished, in the order of removal."""
        found: dict[BackupId, Removal] = {}
        for record in self._journal.records():
            fields = Fields(record, _WHAT)
            backup_id = backup_id_member(fields, "backup_id")
            # A backup that is begun again is ordered anew.
            found.pop(backup_id, None)
            # A line without the entry is an older program's: what it names is an orphan.
            if fields.text("what") == "removing" and not fields.absent("entry"):
                entry = head_entry(fields.nested("entry"))
                found[backup_id] = Removal(entry, fields.integer("after_sequence"))
        return tuple(found.values())

    def due(self, head: Head | None, uploading: Collection[BackupKey]) -> tuple[Removal, ...]:
        """What ``head``, just read, shows as committed: it may go at once, whatever its age."""
        if head is None:
            return ()
        return tuple(
            removal
            for removal in self.begun()
            if head.find(removal.backup_id) is None
            and head.sequence > removal.after_sequence
            and (self._source_id, removal.backup_id) not in uploading
        )


class ObjectRemover:
    """Deletes objects with every version they have."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._keeps_versions: bool | None = None

    def backup(self, source_id: SourceId, backup_id: BackupId) -> list[DeleteFailure]:
        """Everything of one backup, in the format's order of removal; what could not be deleted.

        While its manifest cannot be deleted nothing else is: a head rebuilt from the manifests
        must find the chunks of every backup it lists.
        """
        failures: list[DeleteFailure] = []
        for part, root in _ROOTS.items():
            end = "/" if part in {Part.NOTE, Part.CHUNK} else "."
            failures += self._under(f"{root}{source_id}/{backup_id}{end}", None)
            if failures and part is Part.MANIFEST:
                break
        return failures

    def orphans(self, owner: BackupKey, names: Collection[str]) -> list[DeleteFailure]:
        """These objects of one backup and no others, in the same order."""
        failures: list[DeleteFailure] = []
        for part, root in _ROOTS.items():
            only = {name for name in names if name.startswith(root)}
            if only:
                failures += self._under(f"{root}{owner[0]}/{owner[1]}", only)
            if failures and part is Part.MANIFEST:
                break
        return failures

    def _under(self, prefix: str, only: Collection[str] | None) -> list[DeleteFailure]:
        if not self._versioned():
            plain = (DeleteTarget(each.key) for each in _named(self._store.list(prefix), only))
            return list(self._store.delete(plain))
        # The latest go last: deleting one first would show an older version for a moment.
        for latest in (False, True):
            failures = self._store.delete(self._versions(prefix, only, latest=latest))
            if failures:
                return list(failures)
        return []

    def _versions(
        self, prefix: str, only: Collection[str] | None, *, latest: bool
    ) -> Iterator[DeleteTarget]:
        for version in _named(self._store.list_versions(prefix), only):
            if version.latest is latest:
                yield DeleteTarget(version.key, version.version_id)

    def _versioned(self) -> bool:
        """Whether the bucket keeps versions, or ever did; every repository has this object."""
        if self._keeps_versions is None:
            first = next(iter(self._store.list_versions(keys.REPOSITORY)), None)
            self._keeps_versions = first is not None
        return self._keeps_versions


def uploading_here(services: Services) -> dict[BackupKey, BackupId | None]:
    """The backups of this host's open upload journals, each with its parent."""
    found: dict[BackupKey, BackupId | None] = {}
    for name in services.state.journals(UPLOADS):
        source_id = SourceId.parse(name)
        upload = open_upload_journal(services, source_id).read()
        if upload is not None:
            found[source_id, upload.begin.backup_id] = upload.begin.parent
    return found


def refusal_error(failures: Sequence[DeleteFailure]) -> RepositoryError | None:
    """The error that names what the service refused to delete, None when it refused nothing."""
    if not failures:
        return None
    named = ", ".join(f"{each.key} ({each.code})" for each in failures[:_NAMED_FAILURES])
    more = len(failures) - _NAMED_FAILURES
    return RepositoryError(
        f"{len(failures)} objects could not be deleted: {named}"
        + (f" and {more} more" if more > 0 else ""),
        hint="no backup needs them, but they cost storage: check the permissions (s3:DeleteObject, "
        "s3:DeleteObjectVersion) and Object Lock; the next prune tries again",
        keys=[each.key for each in failures],
    )


def _named(listing: Iterable[_Entry], only: Collection[str] | None) -> Iterator[_Entry]:
    return (each for each in listing if only is None or each.key in only)

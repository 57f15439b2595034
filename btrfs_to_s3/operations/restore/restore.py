"""Restoring a backup: its chain is received, oldest link first (design §4 and the Btrfs rules)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, ReceiveError, UsageError
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.restore.compare import Thoroughness, TreeComparison, compare_with_source
from btrfs_to_s3.operations.restore.download import Download
from btrfs_to_s3.operations.restore.download_rate import remember_rate
from btrfs_to_s3.operations.restore.received import ReceivedJournal
from btrfs_to_s3.operations.thaw.states import Needed
from btrfs_to_s3.operations.thaw.thaw import Thaw, ThawJob
from btrfs_to_s3.plan.chain import chain_of, check_links
from btrfs_to_s3.plan.restore.restore import Action, RestoreTarget, plan_restore

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from btrfs_to_s3.model.backup import Head, HeadEntry, Manifest
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.restore.restore import Link, RestorePlan
    from btrfs_to_s3.ports import Volume


@dataclass(frozen=True, slots=True)
class RestoreJob:
    """What to restore and where. ``writable_name`` None leaves only the read-only snapshot.

    ``wait`` asks for what is archived and waits for it; without it that ends the restore before
    anything is received.
    """

    directory: Path
    writable_name: str | None
    keep_links: bool
    concurrency: int
    verify: Thoroughness = Thoroughness.NONE
    thaw: ThawJob = field(default_factory=ThawJob)
    wait: bool = False


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What a restore left. ``received`` are the links that this run received.

    ``compared`` is None where nothing was compared: not asked for, or the source is not here.
    """

    source_id: SourceId
    backup_id: BackupId
    snapshot: Path
    writable: Path | None
    received: tuple[BackupId, ...]
    raw_size_bytes: int
    stored_size_bytes: int
    compared: TreeComparison | None
    duration: timedelta


class Restore:
    """One backup into one directory of one mounted filesystem, once."""

    def __init__(
        self, services: Services, volume: Volume, job: RestoreJob, head: Head, entry: HeadEntry
    ) -> None:
        self._services = services
        self._volume = volume
        self._job = job
        self._head = head
        self._entry = entry
        self._store = services.access.store.bound(services.cancel)
        self._journal = ReceivedJournal(services.state, volume.fsid)
        self._relative = volume.relative_path(job.directory)
        self._manifests: dict[BackupId, Manifest] = {}

    def plan(self) -> RestorePlan:
        """What would be received and why; reads the chain's manifests, writes nothing."""
        chain = chain_of(self._head, self._entry.backup_id)
        hashed = []
        for entry in chain:
            manifest = self._services.access.manifest(self._head.source_id, entry)
            self._manifests[entry.backup_id] = manifest
            hashed.append((manifest, entry.manifest_sha256_hex))
        check_links(hashed)
        names = {backup_id: _name(manifest) for backup_id, manifest in self._manifests.items()}
        directory = self._job.directory
        if self._job.writable_name is not None:
            self._require_free(self._job.writable_name)
        return plan_restore(
            chain,
            tuple(self._volume.subvolumes()),
            self._journal.ctransids(),
            RestoreTarget(
                directory=self._relative,
                names=names,
                taken=frozenset(
                    name for name in names.values() if self._volume.entry_exists(directory, name)
                ),
            ),
            {
                entry.stream.uuid: self._volume.receive_candidates(entry.stream.uuid)
                for entry in chain
            },
        )

    def run(self) -> RestoreResult:
        """Receive what is missing; the snapshot is whole and on disk when this returns.

        A failure leaves the links that were received before it, and nothing of the one under way.
        """
        try:
            return self._run()
        except IntegrityError as error:
            error.hint = error.hint or (
                "this backup cannot be restored as it is stored; "
                f"'btrfs-to-s3 verify {self._head.source_id}' says which can"
            )
            raise

    def _run(self) -> RestoreResult:
        started = self._services.clock()
        self._clean_up()
        plan = self.plan()
        if plan.refusal is not None:
            raise plan.refusal.as_error()
        self._warn_of_space(plan)
        thaw = self.thaw(plan)
        if self._job.wait:
            thaw.request(to_download=True)
        else:
            thaw.require_ready()
        local: Subvolume | None = None
        for link in plan.links:
            if link.action is Action.REUSE:
                local = link.local
            elif link.action is Action.RECEIVE:
                if self._job.wait:
                    thaw.wait_for(link.entry.backup_id)
                local = self._receive(link, local, thaw)
        if local is None:
            raise AssertionError("a plan without refusal ends with a subvolume")
        thaw.finish()
        self._remember_wanted(local)
        compared = self._compare(local)
        writable = self._make_writable(local)
        if not self._job.keep_links:
            self._drop_stepping_stones(plan, local)
        return RestoreResult(
            source_id=self._head.source_id,
            backup_id=self._entry.backup_id,
            snapshot=self._job.directory / _name(self._manifests[self._entry.backup_id]),
            writable=writable,
            received=tuple(entry.backup_id for entry in plan.to_receive),
            raw_size_bytes=plan.raw_size_bytes,
            stored_size_bytes=plan.stored_size_bytes,
            compared=compared,
            duration=self._services.clock() - started,
        )

    def thaw(self, plan: RestorePlan) -> Thaw:
        """The thaw of what the plan receives."""
        needed = [Needed(entry, self._manifests[entry.backup_id]) for entry in plan.to_receive]
        services, job = self._services, self._job
        return Thaw(services, job.thaw, job.concurrency, self._head.source_id, self._entry, needed)

    def _receive(self, link: Link, parent: Subvolume | None, thaw: Thaw) -> Subvolume:
        manifest = self._manifests[link.entry.backup_id]
        directory, name = self._job.directory, _name(manifest)
        self._require_parent(manifest, parent)
        highest = max(subvolume.id for subvolume in self._volume.subvolumes())
        self._journal.receiving(self._relative, name, highest)
        reporter = self._services.reporter
        reporter.begin(str(link.entry.backup_id), "restore", manifest.raw_size_bytes)
        started = self._services.clock()
        try:
            with StoredIndex(self._store, self._services.state, manifest) as index:
                download = Download(
                    manifest,
                    index.chunks(),
                    self._services.access.store,
                    self._services.access.repository_id,
                    self._job.concurrency,
                    reporter,
                    self._services.cancel,
                    thaw.thaw_again if self._job.wait else None,
                )
                with self._volume.receive(directory) as receive:
                    download.run(receive.write, receive.kill)
                    receive.finish()
            local = self._require_received(manifest, name, parent)
        except BaseException:
            self._remove_partial(name, highest)
            raise
        finally:
            reporter.end()
        took = self._services.clock() - started
        if not thaw.was_refused:
            remember_rate(self._services.state, manifest.stored_size_bytes, took)
        self._journal.received(self._relative, name, local, manifest.backup_id, wanted=False)
        return local

    def _require_parent(self, manifest: Manifest, parent: Subvolume | None) -> None:
        """Receive must choose the very subvolume that was found valid."""
        wanted = manifest.stream.parent_uuid
        if wanted is None:
            return
        candidates = self._volume.receive_candidates(wanted)
        if parent is None or not candidates or candidates[0].uuid != parent.uuid:
            chosen = candidates[0].path if candidates else "nothing"
            raise ReceiveError(
                f"btrfs receive would build {manifest.backup_id} on {chosen}, not on the link that "
                "was checked",
                hint="delete the other copies of its parent, or restore to another filesystem",
            )

    def _require_received(
        self, manifest: Manifest, name: str, parent: Subvolume | None
    ) -> Subvolume:
        """Exit 0 is not enough: on disk, read-only, and what the stream promised."""
        self._volume.sync()
        local = self._volume.received_in(self._job.directory, name)
        expected_parent = None if parent is None else parent.uuid
        if (
            local is None
            or not local.readonly
            or local.received_uuid != manifest.stream.uuid
            or local.stransid != manifest.stream.transid
            or local.parent_uuid != expected_parent
        ):
            raise ReceiveError(
                f"btrfs receive left something else than {manifest.backup_id} in {name}",
                hint="run the restore again; if it fails again, restore to another filesystem",
            )
        return local

    def _remove_partial(self, name: str, highest_id: int) -> None:
        local = self._volume.received_in(self._job.directory, name)
        # Only a subvolume that came into being after this receive was journalled is ours.
        if local is not None and local.id > highest_id:
            self._volume.delete(local)
        self._journal.cleaned(self._relative, name)

    def _clean_up(self) -> None:
        """Remove what an earlier, killed run left half received on this filesystem."""
        for left in self._journal.unfinished():
            path = f"{left.directory}/{left.name}".lstrip("/")
            for local in self._volume.subvolumes():
                if local.path == path and local.id > left.highest_id:
                    self._services.reporter.note(f"removing the unfinished {local.path}")
                    self._volume.delete(local)
            self._journal.cleaned(left.directory, left.name)

    def _require_free(self, name: str) -> None:
        if self._volume.entry_exists(self._job.directory, name):
            raise UsageError(
                f"{self._job.directory / name} exists already",
                hint="move it away, or give --writable another name",
            )

    def _warn_of_space(self, plan: RestorePlan) -> None:
        free = self._volume.free_bytes()
        if plan.raw_size_bytes > free:
            self._services.reporter.warn(
                f"the streams have {plan.raw_size_bytes} bytes, but {self._job.directory} has only "
                f"{free} free"
            )

    def _remember_wanted(self, local: Subvolume) -> None:
        name = local.path.rpartition("/")[2]
        if local.uuid in self._journal.ctransids():
            self._journal.received(self._relative, name, local, self._entry.backup_id, wanted=True)

    def _compare(self, local: Subvolume) -> TreeComparison | None:
        if self._job.verify is Thoroughness.NONE:
            return None
        compared = compare_with_source(
            self._services,
            self._volume,
            local,
            self._manifests[self._entry.backup_id],
            self._job.verify,
        )
        if compared is None:
            self._services.reporter.note(
                "the source's snapshot is not on this machine: nothing to compare with"
            )
        return compared

    def _make_writable(self, local: Subvolume) -> Path | None:
        name = self._job.writable_name
        if name is None:
            return None
        self._volume.writable_snapshot(local, self._job.directory, name)
        self._volume.sync()
        return self._job.directory / name

    def _drop_stepping_stones(self, plan: RestorePlan, wanted: Subvolume) -> None:
        """Links that only served to receive the wanted one share its data and are not needed."""
        stones = self._journal.stepping_stones()
        in_chain = {link.entry.stream.uuid for link in plan.links}
        for local in self._volume.subvolumes():
            if (
                local.uuid in stones
                and local.received_uuid in in_chain
                and local.uuid != wanted.uuid
            ):
                self._volume.delete(local)
                self._journal.dropped(local)


def _name(manifest: Manifest) -> str:
    if manifest.snapshot.name is None:
        raise UsageError(f"{manifest.backup_id} hides its name, which this version cannot read")
    return manifest.snapshot.name

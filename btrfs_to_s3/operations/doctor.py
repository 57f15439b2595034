"""Looking at everything that a backup or a restore relies on.

Every check stands alone: what cannot be asked becomes a line of its own, and the next one is made.
Nothing is written unless ``apply`` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error, InterruptedRunError, UsageError
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.bucket import Versioning
from btrfs_to_s3.model.check import Check, Verdict, failed, passed, unknown
from btrfs_to_s3.operations.lifecycle import apply_rules
from btrfs_to_s3.operations.repository.listing import read_heads
from btrfs_to_s3.plan import doctor as judgement
from btrfs_to_s3.plan.lifecycle import LifecycleRules, Proposal, judge, judge_archived, propose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import timedelta
    from pathlib import Path
    from uuid import UUID

    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.ports import BtrfsInspection, Bucket


@dataclass(frozen=True, slots=True)
class Subject:
    """One configured source, and how to look at it."""

    path: Path
    label: str
    inspection: BtrfsInspection


@dataclass(slots=True)
class ServiceReport:
    """What was found out about the service and the repository.

    ``proposal`` is None where lifecycle rules cannot be known; ``applied`` says that it was set.
    ``stored`` are the subvolumes that have backups.
    """

    checks: list[Check] = field(default_factory=list)
    proposal: Proposal | None = None
    applied: bool = False
    stored: frozenset[UUID] = frozenset()


def examine_machine(inspection: BtrfsInspection, protocols: Iterable[str]) -> list[Check]:
    """Kernel, btrfs-progs, privilege, and what the wanted send protocols come to."""
    checks = _asked("kernel", lambda: [judgement.judge_kernel(inspection.kernel())])
    checks += _asked("btrfs_progs", lambda: [judgement.judge_progs(inspection.progs())])
    checks.append(judgement.judge_privilege(privileged=inspection.privileged()))
    if checks[1].known and checks[1].verdict is not Verdict.FAIL:
        for wanted in sorted(set(protocols)):
            checks += _asked("send_protocol", partial(_protocol, inspection, wanted))
    return checks


def _protocol(inspection: BtrfsInspection, wanted: str) -> list[Check]:
    return [judgement.judge_protocol(wanted, inspection.best_send_options(wanted))]


def examine_source(subject: Subject, stored: Collection[UUID]) -> list[Check]:
    """A configured source; ``stored`` are subvolumes that have backups of their own."""
    label = subject.label
    try:
        place = subject.inspection.look(subject.path)
    except InterruptedRunError:
        raise
    except BtrfsToS3Error as error:
        return [judgement.of_error("source", error, subject=label)]
    checks = judgement.judge_place(place, label)
    if not place.subvolume_root:
        return checks
    if not subject.inspection.privileged():
        why = "what lies inside the filesystem is seen by root only"
        remedy = "sudo -E btrfs-to-s3 doctor"
        names = ("identity", "nested", "snapshot_directory")
        return [*checks, *(unknown(name, why, remedy, subject=label) for name in names)]
    return checks + _asked("identity", lambda: _inside(subject, stored), subject=label)


def _inside(subject: Subject, stored: Collection[UUID]) -> list[Check]:
    with subject.inspection.open(subject.path, writable=False) as volume:
        source = volume.subvolume_at(subject.path)
        return judgement.judge_subvolume(
            source, volume.nested(source), stored, volume.snapshot_directory(), subject.label
        )


def subvolume_uuids(subjects: Iterable[Subject]) -> frozenset[UUID]:
    """The subvolumes of the configured sources, where they can be seen."""
    found: set[UUID] = set()
    for subject in subjects:
        if not subject.inspection.privileged():
            continue
        try:
            with subject.inspection.open(subject.path, writable=False) as volume:
                found.add(volume.subvolume_at(subject.path).uuid)
        except InterruptedRunError:
            raise
        except BtrfsToS3Error:
            continue
    return frozenset(found)


def examine_service(
    services: Services, bucket: Bucket, prefix: str, orphan_age: timedelta, *, apply: bool
) -> ServiceReport:
    """Credentials, the service, its clock, the bucket and the repository.

    With ``apply`` the proposed lifecycle rules are set, and what the service does is tried out
    where a repository exists and it is not known yet.
    """
    report = ServiceReport()
    store = services.access.store

    def origin() -> list[Check]:
        return [passed("credentials", f"found in {bucket.credentials_origin()}")]

    def reach() -> list[Check]:
        store.check_access(keys.REPOSITORY)
        return [passed("service", f"{store.url} can be reached and read")]

    report.checks += _asked("credentials", origin)
    reached = _asked("service", reach)
    report.checks += reached
    report.checks.append(judgement.judge_clock(bucket.clock_skew()))
    if reached[0].verdict is Verdict.FAIL:
        why = "the service cannot be used (see above)"
        names = ("region", "versioning", "object_lock", "lifecycle", "repository")
        report.checks += [unknown(name, why, None) for name in names]
        return report
    report.checks += _asked(
        "region",
        lambda: [judgement.judge_region(bucket.configured_region, bucket.region())],
        denied=judgement.of_unknown,
    )
    versioned = _examine_bucket(bucket, report)
    _examine_lifecycle(bucket, LifecycleReading(prefix, orphan_age, versioned), report, apply=apply)
    _examine_repository(services, report, apply=apply)
    return report


@dataclass(frozen=True, slots=True)
class LifecycleReading:
    """What counts for reading lifecycle rules; see ``LifecycleRules``."""

    prefix: str
    orphan_age: timedelta
    versioned: bool

    def of(self, bucket: Bucket) -> LifecycleRules:
        """The rules as they are now."""
        return LifecycleRules(
            lifecycle=bucket.lifecycle(),
            prefix=self.prefix,
            metadata=keys.METADATA,
            chunks=keys.CHUNKS,
            orphan_age=self.orphan_age,
            versioned=self.versioned,
        )


def _examine_bucket(bucket: Bucket, report: ServiceReport) -> bool:
    """Versions and locks; whether the bucket has, or may have, versions."""
    found: list[Versioning] = []

    def versions() -> list[Check]:
        found.append(bucket.versioning())
        return [judgement.judge_versioning(found[0])]

    report.checks += _asked("versioning", versions, denied=judgement.of_unknown)
    report.checks += _asked(
        "object_lock",
        lambda: [judgement.judge_lock(bucket.object_lock())],
        denied=judgement.of_unknown,
    )
    return bool(found) and found[0] is not Versioning.NEVER


def _examine_lifecycle(
    bucket: Bucket, reading: LifecycleReading, report: ServiceReport, *, apply: bool
) -> None:
    def look() -> list[Check]:
        rules = reading.of(bucket)
        report.proposal = propose(rules)
        if not apply or not report.proposal.changed:
            return judge(rules)
        try:
            after, report.proposal = apply_rules(bucket, rules)
        except InterruptedRunError:
            raise
        except BtrfsToS3Error as error:
            return [*judge(rules), judgement.of_error("lifecycle", error)]
        report.applied = bool(report.proposal.changed)
        return judge(after)

    report.checks += _asked("lifecycle", look, denied=judgement.of_unknown)


def _examine_repository(services: Services, report: ServiceReport, *, apply: bool) -> None:
    """The repository's own objects, if there are any yet."""
    access, store = services.access, services.access.store

    def metadata() -> list[Check]:
        listed = [each for prefix in keys.METADATA for each in store.list(prefix)]
        return [judge_archived(listed)]

    def repository() -> list[Check]:
        try:
            data = access.open()
        except UsageError as error:
            if error.context.get("absent"):
                text = "there is none yet: the first backup makes it"
                return [passed("repository", text), *_capabilities()]
            raise
        if apply and store.capabilities is None:
            store.detect(keys.REPOSITORY, data, sha256(data).digest())
        return [_heads(services, report), *_capabilities(), *_asked("metadata_class", metadata)]

    def _capabilities() -> list[Check]:
        return judgement.judge_capabilities(store.capabilities)

    found = _asked("repository", repository)
    if found[0].verdict is Verdict.FAIL and len(found) == 1:
        # What keeps the repository from being read may be that it was archived.
        found += [*_capabilities(), *_asked("metadata_class", metadata)]
    report.checks += found


def _heads(services: Services, report: ServiceReport) -> Check:
    listing = read_heads(services)
    report.stored = frozenset(head.subvolume_uuid for head in listing.heads if head.backups)
    if listing.unreadable:
        first = listing.unreadable[0]
        names = ", ".join(str(each.source_id) for each in listing.unreadable)
        text = f"the backups of {names} cannot be relied on: {first.error.message}"
        return failed("repository", text, first.error.hint)
    backups = sum(len(head.backups) for head in listing.heads)
    sources = len(listing.heads)
    return passed("repository", f"backups: {backups}, of sources: {sources}; all heads are intact")


def _asked(
    name: str,
    ask: Callable[[], list[Check]],
    *,
    subject: str | None = None,
    denied: Callable[..., Check] = judgement.of_error,
) -> list[Check]:
    """The lines that ``ask`` gives, or the one that says why it cannot be asked."""
    try:
        return ask()
    except InterruptedRunError:
        raise
    except BtrfsToS3Error as error:
        return [denied(name, error, subject=subject)]

"""What ``doctor`` thinks of observed facts. Each function judges one or a few of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.model.bucket import Versioning
from btrfs_to_s3.model.check import Check, failed, passed, unknown, warned
from btrfs_to_s3.model.versions import numbers
from btrfs_to_s3.plan.backup.backup import refuse_source
from btrfs_to_s3.plan.network import through

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from btrfs_to_s3.errors import BtrfsToS3Error
    from btrfs_to_s3.model.bucket import ObjectLock
    from btrfs_to_s3.model.network import Route
    from btrfs_to_s3.model.objects import Capabilities
    from btrfs_to_s3.model.place import SnapshotDirectory, SourcePlace, StatePlace
    from btrfs_to_s3.model.subvolume import SendOptions, Subvolume

_SEND_BESIDE_BALANCE: Final = (5, 17)
_PROTOCOL_2: Final = (6, 0)
_PROTOCOL_2_SOUND: Final = (6, 0, 2)
_SKEW_TOLD: Final = timedelta(minutes=5)
_SKEW_REFUSED: Final = timedelta(minutes=15)
"""S3 API Reference, "Error responses": RequestTimeTooSkewed."""
_FREE_SHARE: Final = 20
"""A filesystem with less than one part in this many free is nearly full."""
_STATE_BYTES: Final = 64 * 1024 * 1024
_MIB: Final = 1024 * 1024


def of_error(name: str, error: BtrfsToS3Error, *, subject: str | None = None) -> Check:
    """What was looked at cannot be used, and the error says why."""
    return failed(name, error.message, error.hint, subject=subject)


def of_unknown(name: str, error: BtrfsToS3Error, *, subject: str | None = None) -> Check:
    """It could not be asked."""
    return unknown(name, error.message, error.hint, subject=subject)


# This machine


def judge_kernel(release: str) -> Check:
    """The running kernel."""
    found = numbers(release)
    if not found:
        return unknown("kernel", f"the release {release!r} has no number", None)
    if found < _SEND_BESIDE_BALANCE:
        return warned(
            "kernel",
            f"Linux {release}: a send fails while a balance runs, and protocol 2 is not known",
            "Linux 5.17 sends beside a balance, 6.0 sends compressed data as it is",
        )
    if found < _PROTOCOL_2:
        return passed("kernel", f"Linux {release}, which sends protocol 1 only")
    return passed("kernel", f"Linux {release}")


def judge_progs(version: str) -> Check:
    """The installed btrfs-progs."""
    found = numbers(version)
    if not found:
        return unknown("btrfs_progs", f"the version {version!r} has no number", None)
    if _PROTOCOL_2 <= found < _PROTOCOL_2_SOUND:
        return warned(
            "btrfs_progs",
            f"btrfs-progs {version} receive protocol 2 wrongly, so protocol 1 is sent",
            "update btrfs-progs to 6.0.2 or later",
        )
    if found < _PROTOCOL_2:
        text = f"btrfs-progs {version}, which know protocol 1 only"
        return passed("btrfs_progs", text)
    return passed("btrfs_progs", f"btrfs-progs {version}")


def judge_privilege(*, privileged: bool) -> Check:
    """Whether backups and restores could be made by this process."""
    if privileged:
        return passed("privilege", "snapshots, send and receive are allowed (CAP_SYS_ADMIN)")
    return warned(
        "privilege",
        "without root (CAP_SYS_ADMIN) nothing can be backed up or restored, only read",
        "sudo -E btrfs-to-s3 doctor looks at more",
    )


def judge_protocol(wanted: str, options: SendOptions) -> Check:
    """What a stream will be like."""
    data = ", compressed data as it is" if options.compressed_data else ""
    return passed("send_protocol", f"{wanted} is protocol {options.protocol} here{data}")


def judge_state(place: StatePlace) -> Check:
    """The state directory: journals must be writable for a backup to go on after a stop."""
    name = "state_directory"
    if not place.writable:
        return failed(
            name,
            f"{place.path} cannot be written",
            "give the directory to the user who runs backups, or name another: state_dir",
        )
    if place.free_bytes < _STATE_BYTES:
        return warned(
            name,
            f"{place.path} has {place.free_bytes // _MIB} MiB free: journals may not fit",
            "free some space there, or name another place: state_dir",
        )
    made = "" if place.exists else ", which the first run makes"
    return passed(name, f"{place.path}{made}")


def judge_memory(wanted: int, affordable: int, reason: str | None) -> Check:
    """Whether as many parts fit the memory as were asked for."""
    if reason is None:
        return passed("memory", f"{wanted} parts at a time fit the memory")
    return warned(
        "memory",
        reason,
        f"backups are slower so; lower part_size, or set concurrency = {affordable}",
    )


def judge_network(host: str, routes: Sequence[Route], why_not: str | None) -> Check:
    """The way to the service, under a policy that asks for certain ones."""
    if why_not is None:
        return passed("network", f"{host} is reached by a way that may be used: {through(routes)}")
    return warned(
        "network",
        f"{host}: {why_not}",
        "runs wait until there is another route, and end with 4 after network_wait; "
        "docs/network.md says what counts as one",
    )


# A source


def judge_place(place: SourcePlace, subject: str) -> list[Check]:
    """What anybody can see of a source."""
    return [
        _subvolume(place, subject),
        _writable(place, subject),
        _free(place, subject),
        _swapfile(place, subject),
    ]


def judge_subvolume(
    source: Subvolume,
    nested: Sequence[Subvolume],
    stored: Collection[UUID],
    directory: SnapshotDirectory,
    subject: str,
) -> list[Check]:
    """What root can see of a source; ``stored`` are subvolumes that are sources themselves."""
    return [
        _identity(source, subject),
        _nested(source, [each for each in nested if each.uuid not in stored], subject),
        _snapshot_directory(directory, subject),
    ]


def _subvolume(place: SourcePlace, subject: str) -> Check:
    if place.subvolume_root:
        return passed("source", f"{place.path} is a subvolume's root", subject=subject)
    return failed(
        "source",
        f"{place.path} is a directory on Btrfs, but not a subvolume's root",
        "name the subvolume it lies in, or make it one of its own (btrfs subvolume create)",
        subject=subject,
    )


def _writable(place: SourcePlace, subject: str) -> Check:
    if not place.readonly:
        text = f"the filesystem at {place.mount_point} can be written"
        return passed("mount", text, subject=subject)
    return failed(
        "mount",
        f"the filesystem at {place.mount_point} is read-only: no snapshot can be made",
        f"mount -o remount,rw {place.mount_point} (after a look at dmesg: errors make Btrfs "
        "read-only)",
        subject=subject,
    )


def _free(place: SourcePlace, subject: str) -> Check:
    share = 100 * place.free_bytes // place.size_bytes if place.size_bytes else 0
    text = f"{place.free_bytes // _MIB} MiB ({share} %) of the filesystem are free"
    if place.free_bytes * _FREE_SHARE >= place.size_bytes:
        return passed("free_space", text, subject=subject)
    return warned(
        "free_space",
        f"{text}, and a snapshot keeps what is changed or deleted after it",
        "free some space; keep_local says which snapshots stay, btrfs filesystem usage shows more",
        subject=subject,
    )


def _swapfile(place: SourcePlace, subject: str) -> Check:
    if not place.swapfiles:
        return passed("swapfile", "no active swapfile in the subvolume", subject=subject)
    return failed(
        "swapfile",
        f"an active swapfile lets no snapshot be made: {', '.join(place.swapfiles)}",
        "swapoff the file, or move it to a subvolume of its own",
        subject=subject,
    )


def _identity(source: Subvolume, subject: str) -> Check:
    refusal = refuse_source(source)
    if refusal is None:
        text = "its snapshots have an identity of their own"
        return passed("identity", text, subject=subject)
    return failed("identity", refusal.reason, refusal.remedy, subject=subject)


def _nested(source: Subvolume, nested: Sequence[Subvolume], subject: str) -> Check:
    if not nested:
        return passed("nested", "no subvolume inside is left out", subject=subject)
    above = f"{source.path}/" if source.path else ""
    names = ", ".join(each.path.removeprefix(above) for each in nested[:5])
    more = f" and {len(nested) - 5} more" if len(nested) > 5 else ""  # noqa: PLR2004 - those shown
    return warned(
        "nested",
        f"subvolumes inside are in no backup: {names}{more}",
        "back them up as sources of their own, if they matter",
        subject=subject,
    )


def _snapshot_directory(found: SnapshotDirectory, subject: str) -> Check:
    name = "snapshot_directory"
    if not found.exists:
        text = f"{found.name} at the top level will be made by the first backup"
        return passed(name, text, subject=subject)
    if found.private:
        text = f"{found.name} at the filesystem's top level is root's alone"
        return passed(name, text, subject=subject)
    return failed(
        name,
        f"{found.name} at the filesystem's top level is no directory that only root can write to",
        f"chown root and chmod 0700 {found.name}, or name another: snapshot_directory",
        subject=subject,
    )


# The service


def judge_clock(skew: timedelta | None) -> Check:
    """This machine's clock against the service's; ``skew`` is how far this one is ahead."""
    if skew is None:
        return unknown("clock", "the service gave no answer with a time", None)
    side = "ahead of" if skew > timedelta(0) else "behind"
    text = f"this machine's clock is {abs(skew).total_seconds():.0f} s {side} the service's"
    remedy = "set this machine's clock: timedatectl set-ntp true"
    if abs(skew) > _SKEW_REFUSED:
        return failed("clock", f"{text}: S3 refuses more than 15 min", remedy)
    if abs(skew) > _SKEW_TOLD:
        return warned("clock", text, remedy)
    return passed("clock", text)


def judge_region(configured: str | None, found: str | None) -> Check:
    """The bucket's region against the one requests are signed for."""
    if found is None:
        return passed("region", f"{configured or 'none'}; the service does not say the bucket's")
    if configured in (found, None):
        return passed("region", f"the bucket is in {found}")
    return warned(
        "region",
        f"the bucket is in {found}, and requests are signed for {configured}",
        f"set region to {found} (or AWS_REGION)",
    )


def judge_capabilities(found: Capabilities | None) -> list[Check]:
    """What an earlier run saw the service do."""
    if found is None:
        why = "finding out needs a write to an existing repository"
        remedy = "the next backup finds out, and so does doctor --apply"
        return [unknown(name, why, remedy) for name in ("conditional_writes", "checksums")]
    return [_conditions(found), _checksums(found)]


def _conditions(found: Capabilities) -> Check:
    if not found.single_writer_assumed:
        return passed("conditional_writes", "the service has them: two writers cannot collide")
    return warned(
        "conditional_writes",
        "the service lacks them: two hosts that write to one source would not be noticed",
        "let one host write to each source",
    )


def _checksums(found: Capabilities) -> Check:
    if found.verifies_checksums:
        return passed("checksums", "the service checks uploads against their SHA-256")
    return warned(
        "checksums",
        "the service does not check uploads against their SHA-256",
        "run btrfs-to-s3 verify --level data from time to time",
    )


def judge_versioning(found: Versioning) -> Check:
    """Told: prune removes the versions too."""
    words = {
        Versioning.NEVER: "the bucket keeps no versions",
        Versioning.ENABLED: "the bucket keeps versions: what is overwritten or deleted by mistake "
        "can be had back",
        Versioning.SUSPENDED: "the bucket keeps old versions and makes no new ones",
    }
    return passed("versioning", words[found])


def judge_lock(found: ObjectLock | None) -> Check:
    """Told: a default retention keeps prune from freeing space before it ends."""
    if found is None:
        return passed("object_lock", "Object Lock is off")
    if found.retention is None:
        return passed("object_lock", "Object Lock is on, without a default retention")
    text = f"Object Lock is on: {found.retention}; prune frees no space before that"
    return passed("object_lock", text)

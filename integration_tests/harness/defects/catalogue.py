"""What is broken, where, and which script is to notice. Texts are replaced exactly once each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` becomes `new` in a file of the package; `old` must stand there once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Defect:
    """One mistake. `script` must fail with it, after the scripts `before` passed without it."""

    name: str
    edits: tuple[Edit, ...]
    script: tuple[str, ...]
    before: tuple[str, ...] = ()


DEFECTS: Final = (
    Defect(
        "manifest before chunks: one is vouched for that was never sent",
        (
            Edit(
                "operations/backup/transfer.py",
                "        body = part.buffer.view\n",
                "        body = part.buffer.view\n"
                "        if self._number == 0 and part.alone:\n"
                "            from btrfs_to_s3.model.objects import StoredObject as Stored\n"
                "            return self._record(Stored(self.key, len(body), '0' * 32, None),"
                " part_size_bytes)\n",
            ),
            Edit(
                "operations/backup/commit.py",
                "        for record in self._journal.records_in_order():\n            found =",
                "        for record in ():\n            found =",
            ),
        ),
        ("run_full",),
    ),
    Defect(
        "the index records a wrong digest of the stored bytes",
        (
            Edit(
                "stream/chunks.py",
                "stored_sha256_hex=self._stored.hexdigest(),",
                "stored_sha256_hex=hashlib.sha256(b'').hexdigest(),",
            ),
        ),
        ("verify_s3",),
    ),
    Defect(
        "the parent's manifest is not linked by its digest",
        (
            Edit(
                "operations/backup/commit.py",
                "    if parent.manifest_sha256_hex != manifest.parent_manifest_sha256_hex:",
                "    if False:",
            ),
            Edit(
                "format/manifest.py",
                '"parent_manifest_sha256": manifest.parent_manifest_sha256_hex,',
                '"parent_manifest_sha256": manifest.parent_manifest_sha256_hex and "0" * 64,',
            ),
        ),
        ("run_incremental",),
        ("run_full",),
    ),
    Defect(
        "digests are not checked at a restore, and damage is not read again",
        (
            Edit(
                "operations/restore/download.py",
                "if hashlib.sha256(buffer.view).hexdigest() != chunk.part_sha256_hex[part.number]:",
                "if False:",
            ),
        ),
        ("run_faults", "--only", "damaged-data"),
    ),
    Defect(
        "queues and buffers without a bound",
        (
            Edit(
                "stream/buffers.py",
                "while not self._free and not self._unallocated:",
                "while False:",
            ),
            Edit("stream/pump.py", "while len(self._items) >= self._bound:", "while False:"),
        ),
        ("run_large",),
    ),
    Defect(
        "a thaw is not waited for: archived objects are taken for refused ones",
        (Edit("s3/answers.py", '"InvalidObjectState": Kind.ARCHIVED,', ""),),
        ("run_restore_archive",),
    ),
    Defect(
        "copies that go away in mid-download end the restore",
        (Edit("operations/restore/download.py", "if self._thaw_again is None:", "if True:"),),
        ("run_restore_archive",),
    ),
    Defect(
        "the storage class is not sent",
        (
            Edit(
                "s3/client.py",
                "return self.data_class if role is Role.DATA else self.metadata_class",
                'return "STANDARD"',
            ),
        ),
        ("run_restore_archive",),
    ),
    Defect(
        "what cannot heal is tried again",
        (
            Edit(
                "s3/retry.py",
                "            if outcome.verdict is Verdict.FINAL:\n",
                "            if outcome.verdict is Verdict.FINAL and number < 3:\n"
                "                continue\n"
                "            if outcome.verdict is Verdict.FINAL:\n",
            ),
        ),
        ("run_faults", "--only", "non-retriable"),
    ),
    Defect(
        "no backoff between attempts",
        (
            Edit(
                "s3/retry.py",
                "return draw * min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 30))",
                "return 0.0",
            ),
        ),
        ("run_faults", "--only", "transient"),
    ),
    Defect(
        "the outage gate never opens",
        (
            Edit(
                "s3/gate.py",
                "if self._failures >= self._settings.threshold:",
                "if False:",
            ),
        ),
        ("run_faults", "--only", "gate-opens"),
    ),
    Defect(
        "the bandwidth limit is forgotten",
        (Edit("s3/bandwidth.py", "            self._balance -= count\n", ""),),
        ("run_faults", "--only", "rate-limit"),
    ),
    Defect(
        "the lock is not taken",
        (
            Edit(
                "host/lock.py",
                "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
                "",
            ),
        ),
        ("run_lock_contention",),
    ),
    Defect(
        "what an interrupted backup stored is sent again",
        (
            Edit(
                "operations/backup/leftovers.py",
                "if present.get(chunk.key) == (chunk.stored_size_bytes, chunk.etag)",
                "if present is None",
            ),
        ),
        ("run_resume",),
    ),
    Defect(
        "SIGTERM is not listened to",
        (
            Edit(
                "host/signals.py",
                "(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)",
                "(signal.SIGINT, signal.SIGHUP)",
            ),
        ),
        ("run_interrupt",),
    ),
    Defect(
        "prune removes the ancestors of what it keeps",
        (
            Edit(
                "plan/retention/retention.py",
                "        if entry.backup_id not in wanted:\n            continue\n"
                "        ancestor = entry.parent",
                "        ancestor = None",
            ),
        ),
        ("run_retention",),
        ("run_full",),
    ),
    Defect(
        "a dry run prunes",
        (
            Edit(
                "cli/commands/prune.py",
                "done = None if dry_run else operation.execute(services, planned)",
                "done = operation.execute(services, planned)",
            ),
        ),
        ("run_retention",),
        ("run_full",),
    ),
    Defect(
        "every backup is a full one",
        (
            Edit(
                "plan/backup/parents.py",
                "return tuple(Parent(entry, local) for entry, local in found if local is not None)",
                "return tuple(Parent(entry, local) for entry, local in found if local is head)",
            ),
        ),
        ("run_incremental",),
        ("run_full",),
    ),
    Defect(
        "status never calls a source stale",
        (Edit("cli/commands/status.py", "        if stale is not None:\n", "        if False:\n"),),
        ("run_cli_flags",),
        ("run_full",),
    ),
)

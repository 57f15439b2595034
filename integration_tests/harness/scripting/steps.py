"""Steps that several scripts take, with their checks: back up, interrupt, restore, look."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from btrfs_to_s3.config.units import parse_size
from integration_tests.harness.machine.waiting import PATIENCE_S, wait_until
from integration_tests.harness.repository import StoredRepository
from integration_tests.harness.trees.compare import compare_fully

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from signal import Signals

    from mypy_boto3_s3 import S3Client

    from integration_tests.harness.scripting.program import Program, Run
    from integration_tests.harness.scripting.script import Script
    from integration_tests.harness.scripting.settings import Settings
    from integration_tests.harness.scripting.stage import Stage

SNAPSHOTS: Final = ".btrfs-to-s3"
SLOW: Final = "4MB/s"
WRITABLE: Final = "again"
"""The name of the writable snapshot that run_restore.py leaves."""
_SHOWN: Final = 5
_TAIL: Final = 1500


def back_up(script: Script, stage: Stage, program: Program, *options: str) -> Mapping[str, Any]:
    """Back up the stage's source; the backup's part of the document."""
    run = program.run("backup", str(stage.data), *options)
    script.require(run.exit_code == 0, "the backup ends with 0", run.err[-_TAIL:])
    backup: Mapping[str, Any] | None = run.first.get("backup")
    script.require(backup is not None, "a backup was made", run.out[-_TAIL:])
    made = backup or {}
    listed = program.run("list")
    ids = [each["backup_id"] for source in listed.document["sources"] for each in source["backups"]]
    script.check(made["backup_id"] in ids, "the backup is listed", ids)
    if "BTRFS_TO_S3_CHUNK_SIZE" in program.environment:
        chunk_bytes = parse_size(program.environment["BTRFS_TO_S3_CHUNK_SIZE"])
        chunks = -(-made["raw_size_bytes"] // chunk_bytes)
        script.check(made["chunk_count"] == chunks, f"in {chunks} chunks", made["chunk_count"])
    script.figures["peak_memory_bytes"] = run.document["peak_memory_bytes"]
    script.figures |= {
        name: made[name]
        for name in ("kind", "raw_size_bytes", "stored_size_bytes", "chunk_count", "duration_s")
    }
    return made


def restore(
    script: Script, stage: Stage, program: Program, address: str, *options: str
) -> Mapping[str, Any]:
    """Restore into a new directory of the target filesystem; the document."""
    directory = stage.target / f"restored-{time.strftime('%H%M%S')}-{secrets.token_hex(3)}"
    directory.mkdir()
    run = program.run("restore", address, "--target", str(directory), *options)
    script.require(run.exit_code == 0, f"the restore of {address} ends with 0", run.err[-_TAIL:])
    return run.document


def require_same(script: Script, expected: Path, actual: Path, text: str) -> None:
    """Compare two trees in everything that send carries."""
    found = compare_fully(expected, actual)
    for difference in found.differences[:_SHOWN]:
        script.say(f"DIFFERENCE {difference}")
    script.check(not found.differences, text, f"{len(found.differences)} differences")
    lost = sorted({difference.aspect.value for difference in found.not_carried})
    if lost:
        script.say(f"not carried by btrfs send, so not compared: {', '.join(lost)}")


def snapshot_of(stage: Stage, restored: Path) -> Path:
    """The snapshot on the source's filesystem that a restored one is the image of."""
    return stage.source / SNAPSHOTS / restored.name


@contextlib.contextmanager
def stored(script: Script, stage: Stage) -> Iterator[StoredRepository]:
    """The repository, read without the program."""
    with contextlib.closing(stage.service(script.settings).client(attempts=5)) as client:
        yield StoredRepository(client, stage.bucket, stage.prefix)


def check_stored(script: Script, stage: Stage) -> None:
    """Links and objects of everything that is stored."""
    with stored(script, stage) as repository:
        for text, problems in (
            ("manifests and indexes link by digest, and add up", repository.linked()),
            ("every object is there, and nothing unknown", repository.present()),
            ("no multipart upload is left", repository.uploads()),
        ):
            script.check(not problems, text, problems[:_SHOWN])


@contextlib.contextmanager
def emptied(settings: Settings, stage: Stage) -> Iterator[None]:
    """Remove what the block stored, however it ends: it may cost money."""
    try:
        yield
    finally:
        with contextlib.closing(stage.service(settings).client(attempts=5)) as client:
            empty_prefix(client, stage.bucket, stage.prefix)


def empty_prefix(client: S3Client, bucket: str, prefix: str, *, dry_run: bool = False) -> int:
    """Remove objects, versions, delete markers and uploads below a prefix; how many there were."""
    below = f"{prefix.strip('/')}/"
    if below == "/":
        raise ValueError("an empty prefix is the whole bucket: not touched")
    count = 0
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=below):
        for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            count += 1
            if not dry_run:
                client.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
    uploads = client.list_multipart_uploads(Bucket=bucket, Prefix=below).get("Uploads", ())
    for upload in uploads:
        count += 1
        if not dry_run:
            client.abort_multipart_upload(
                Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
    return count


def add_random(stage: Stage, size_bytes: int) -> Path:
    """A new file that does not compress."""
    path = stage.data / f"random-{secrets.token_hex(4)}"
    with path.open("wb") as file:
        for at in range(0, size_bytes, 1024**2):
            file.write(os.urandom(min(1024**2, size_bytes - at)))
    return path


def interrupted(
    script: Script, stage: Stage, program: Program, number: Signals, *options: str
) -> Run:
    """Start a backup, and send it a signal once it has stored a chunk; how it ended."""
    before = _chunks(script, stage)
    arguments = ("backup", str(stage.data), *options)
    started = time.monotonic()
    process = program.start(*arguments)
    try:
        wait_until(lambda: _chunks(script, stage) > before or process.poll() is not None)
        script.require(process.poll() is None, "the backup is under way", process.returncode)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    return program.finished(process, arguments, out, err, time.monotonic() - started)


def _chunks(script: Script, stage: Stage) -> int:
    return sum(key.startswith("chunks/") for key in stage.keys(script.settings))

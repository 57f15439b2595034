"""Send a synthetic stream up, or bring it down again, as `backup` and `restore` would.

`python -m integration_tests.bench.synthetic upload|download RECORDS [BYTES]`, run by `memory`.
Everything is the program's own, at its default settings: configuration, store, pipeline, child
processes. Only Btrfs is not there, so the stream comes from `synthetic_stream` and goes to `cat`,
and what a commit would write stays in the file RECORDS: the chunks' lines of the index.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import btrfs_to_s3.cli.main  # noqa: F401 - the command line's memory is part of the peak
from btrfs_to_s3.btrfs.receive import BtrfsReceive
from btrfs_to_s3.btrfs.send import BtrfsSend
from btrfs_to_s3.config.load import load
from btrfs_to_s3.format.index import decode_chunk_record, encode_chunk_record
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.model.backup import Manifest, ObjectRef, SnapshotFacts, StreamIdentity
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
from btrfs_to_s3.operations.backup.upload import Upload, UploadSettings, UploadTarget
from btrfs_to_s3.operations.backup.upload_journal import UploadJournal
from btrfs_to_s3.operations.restore.download import Download
from btrfs_to_s3.stream.cancel import LinkedCancellation
from btrfs_to_s3.wiring.application import Application
from integration_tests.bench import synthetic_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.model.backup import ChunkRecord

_STREAM: Final = synthetic_stream.__file__
_SOURCE: Final = SourceId("synthetic", "00000000")
_TAKEN: Final = datetime(2026, 11, 21, tzinfo=UTC)
_BACKUP: Final = BackupId.of(_TAKEN, Kind.FULL, synthetic_stream.IDENTITY)
_REPOSITORY_ID: Final = "0" * 16


class _Silent:
    """Implements `ports.Reporter` without a word."""

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""

    def activity(self, text: str) -> None:
        """What is happening now."""

    def note(self, text: str) -> None:
        """Something a person may want to know."""

    def warn(self, text: str) -> None:
        """Something a person should act on."""

    def end(self) -> None:
        """The piece of work is over."""


def upload(app: Application, records: Path, size_bytes: int) -> None:
    """Store the stream's chunks, and their records in a file."""
    policy, config = app.config.policy, app.config
    settings = UploadSettings(
        chunk_size_bytes=policy.chunk_size_bytes,
        part_size_bytes=config.part_size_bytes,
        compression_level=policy.compression_level,
        compression_threads=config.compression_threads,
        concurrency=app.concurrency,
    )
    journal = UploadJournal(app.state.journal("uploads", str(_SOURCE)), utc_now)
    target = UploadTarget(_REPOSITORY_ID, _SOURCE, _BACKUP, secrets.token_hex(4))
    work = Upload(target, settings, app.store, journal, {}, _Silent(), LinkedCancellation())
    command = [sys.executable, "-P", _STREAM, str(size_bytes)]
    with BtrfsSend(command, "a synthetic stream") as send:
        work.run(send)
    with records.open("wb") as out:
        for record in journal.records_in_order():
            out.write(encode_chunk_record(record))


def download(app: Application, records: Path) -> None:
    """Bring the stream down again, checked, into `cat`."""
    work = Download(
        _manifest(),
        _read(records),
        app.store,
        _REPOSITORY_ID,
        app.concurrency,
        _Silent(),
        LinkedCancellation(),
    )
    with BtrfsReceive(["cat"], "nothing") as receive:
        work.run(receive.write, receive.kill)
        receive.finish()


def _read(records: Path) -> Iterator[ChunkRecord]:
    with records.open("rb") as lines:
        for line in lines:
            yield decode_chunk_record(line, str(records))


def _manifest() -> Manifest:
    """As much of a manifest as a download looks at; the rest says nothing."""
    return Manifest(
        program="bench",
        source_id=_SOURCE,
        backup_id=_BACKUP,
        kind=Kind.FULL,
        parent=None,
        parent_manifest_sha256_hex=None,
        snapshot=SnapshotFacts(
            name=synthetic_stream.NAME,
            uuid=synthetic_stream.IDENTITY,
            parent_uuid=None,
            received_uuid=None,
            ctransid=synthetic_stream.TRANSID,
            otime=_TAKEN,
        ),
        stream=StreamIdentity(synthetic_stream.IDENTITY, synthetic_stream.TRANSID),
        protocol=1,
        compressed_data=False,
        kernel="",
        progs="",
        raw_size_bytes=0,
        stored_size_bytes=0,
        chunk_count=0,
        chunk_size_bytes=0,
        index=ObjectRef("", 0, ""),
        catalog=None,
        requests={},
        started=_TAKEN,
        finished=_TAKEN,
        data_class="",
        metadata_class="",
    )


def main() -> None:
    """Run one transfer against the service that the environment names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("direction", choices=["upload", "download"])
    parser.add_argument("records", type=Path)
    parser.add_argument("bytes", type=int, nargs="?", default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-state-") as state:
        environ = {**os.environ, "BTRFS_TO_S3_STATE_DIR": state}
        nowhere = Path(state, "no-such-file")
        config = load(None, environ=environ, command_line={}, default_file=nowhere)
        with Application(config, environ, LinkedCancellation(), _Silent()) as app:
            if arguments.direction == "upload":
                upload(app, arguments.records, arguments.bytes)
            else:
                download(app, arguments.records)


if __name__ == "__main__":
    main()

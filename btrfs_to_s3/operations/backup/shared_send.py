"""One ``btrfs send`` for several repositories: each has its own upload, journal and commit.

Memory: the uploads' own (see ``operations.upload``) for each repository, and the 8 MiB of
``stream.fanout``.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error, InterruptedRunError
from btrfs_to_s3.operations.backup.backup import SENDS, in_vain
from btrfs_to_s3.operations.backup.transfer import SendAgainError
from btrfs_to_s3.stream.fanout import FanOut
from btrfs_to_s3.stream.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.operations.backup.backup import SourceBackup
    from btrfs_to_s3.operations.backup.upload import Upload
    from btrfs_to_s3.ports import Cancellation, Reporter
    from btrfs_to_s3.stream.fanout import Branch

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sent:
    """What became of one branch: whether its backup is live, or why it is not."""

    live: bool = False
    error: BaseException | None = None


def send_shared(
    backups: Mapping[str, SourceBackup], reporter: Reporter, cancel: Cancellation
) -> dict[str, BtrfsToS3Error | None]:
    """Send one stream to all of these prepared backups and commit each; by name, what went wrong.

    All of them must send the same (``prepare`` gave equal ``Sending``). A repository that fails,
    or does not answer for longer than its patience, costs the others nothing but that wait.
    """
    progress = _SharedProgress(reporter)
    outcomes: dict[str, BtrfsToS3Error | None] = {}
    pending = dict(backups)
    reasons: dict[str, SendAgainError] = {}
    for _ in range(SENDS):
        if not pending:
            break
        again: dict[str, SourceBackup] = {}
        for name, sent in _send_once(pending, progress, cancel).items():
            if isinstance(sent.error, SendAgainError):
                pending[name].send_again(sent.error)
                reasons[name], again[name] = sent.error, pending[name]
            else:
                outcomes[name] = None if sent.live else error_of(sent.error)
        pending = again
    return outcomes | {name: in_vain(reasons[name]) for name in pending}


def error_of(error: BaseException | None) -> BtrfsToS3Error:
    """An error of ours; anything else is a bug, and said to be one."""
    if isinstance(error, BtrfsToS3Error):
        return error
    _log.debug("unexpected", exc_info=error)
    bug = BtrfsToS3Error(f"this is a bug: {error!r}", hint="please report it, with -v")
    bug.__cause__ = error
    return bug


def _send_once(
    backups: Mapping[str, SourceBackup], progress: _SharedProgress, cancel: Cancellation
) -> dict[str, _Sent]:
    pump = Pump(cancel)
    uploads: dict[str, Upload] = {}
    results = {name: _Sent() for name in backups}
    for name, backup in backups.items():
        try:
            uploads[name] = backup.new_upload(progress.branch(), pump.cancel)
        except BtrfsToS3Error as error:
            results[name].error = error
    if not uploads:
        return results
    try:
        _pump_all(pump, backups, uploads, results)
    except BtrfsToS3Error as error:
        for sent in results.values():
            if not sent.live and sent.error is None:
                sent.error = error
    return results


def _pump_all(
    pump: Pump,
    backups: Mapping[str, SourceBackup],
    uploads: Mapping[str, Upload],
    results: Mapping[str, _Sent],
) -> None:
    with backups[next(iter(uploads))].open_stream() as send:
        fan = FanOut(send, len(uploads), pump.cancel)
        pump.start("fan-out", fan.read)
        for (name, upload), branch in zip(uploads.items(), fan.branches, strict=True):
            pump.start(f"to-{name}", _Feeding(backups[name], upload, branch, results[name]).run)
        pump.on_cancel(send.kill)
        pump.run()


@dataclass(frozen=True, slots=True)
class _Feeding:
    """One repository's upload at its end of the stream, and its commit."""

    backup: SourceBackup
    upload: Upload
    branch: Branch
    sent: _Sent

    def run(self) -> None:
        """Upload and commit; a failure is remembered and ends this branch alone."""
        try:
            self.backup.sent(self.upload.run(self.branch))
            self.sent.live = True
        except BaseException as error:
            self.sent.error = error
            self.branch.kill()
            if isinstance(error, InterruptedRunError) or not isinstance(error, Exception):
                raise


class _SharedProgress:
    """What several uploads of one stream report, as the progress of one."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._lock = threading.Lock()
        self._raw_bytes = 0

    def branch(self) -> Reporter:
        """The reporter of one upload."""
        return _BranchProgress(self)

    def advance(self, total_bytes: int, stored_bytes: int, chunks: int) -> None:
        """One branch is so far: raw bytes count once, for the branch that is ahead."""
        with self._lock:
            ahead = max(0, total_bytes - self._raw_bytes)
            self._raw_bytes += ahead
        self.reporter.advance(ahead, stored_bytes, chunks)


class _BranchProgress:
    """Implements ``ports.Reporter`` for one of the uploads."""

    def __init__(self, shared: _SharedProgress) -> None:
        self._shared = shared
        self._lock = threading.Lock()
        self._raw_bytes = 0

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        with self._lock:
            self._raw_bytes += raw_bytes
            total = self._raw_bytes
        self._shared.advance(total, stored_bytes, chunks)

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        self._shared.reporter.begin(subject, activity, expected_bytes)

    def activity(self, text: str) -> None:
        self._shared.reporter.activity(text)

    def note(self, text: str) -> None:
        self._shared.reporter.note(text)

    def warn(self, text: str) -> None:
        self._shared.reporter.warn(text)

    def end(self) -> None:
        self._shared.reporter.end()

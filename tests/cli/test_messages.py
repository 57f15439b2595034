"""Lines on standard error."""

from __future__ import annotations

import io
import logging
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.messages import Messages, Style, Verbosity
from btrfs_to_s3.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
FAILURE = Failure(ExitCode.USAGE, "usage", "it is wrong", "do it right")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def _messages(
    stream: io.StringIO, style: Style = Style.BARE, verbosity: Verbosity = Verbosity.NORMAL
) -> Messages:
    return Messages(stream, style, verbosity, lambda: NOW)


def _all_said(messages: Messages) -> None:
    messages.debug("a detail")
    messages.note("a note")
    messages.warn("a warning")
    messages.fail(FAILURE)


@pytest.mark.parametrize(
    ("verbosity", "lines"),
    [
        (Verbosity.QUIET, ["warning: a warning", "error: it is wrong", "hint: do it right"]),
        (
            Verbosity.NORMAL,
            ["a note", "warning: a warning", "error: it is wrong", "hint: do it right"],
        ),
        (
            Verbosity.VERBOSE,
            ["a detail", "a note", "warning: a warning", "error: it is wrong", "hint: do it right"],
        ),
    ],
)
def test_verbosity_decides_what_is_told(verbosity: Verbosity, lines: list[str]) -> None:
    stream = io.StringIO()
    _all_said(_messages(stream, verbosity=verbosity))
    assert stream.getvalue().splitlines() == lines


def test_a_log_file_gets_times_but_before_errors() -> None:
    stream = io.StringIO()
    _all_said(_messages(stream, Style.TIMED))
    assert stream.getvalue().splitlines() == [
        "2026-11-20T02:00:00Z a note",
        "2026-11-20T02:00:00Z warning: a warning",
        "error: it is wrong",
        "hint: do it right",
    ]


def test_the_journal_gets_priorities_and_no_times() -> None:
    stream = io.StringIO()
    _all_said(_messages(stream, Style.JOURNAL))
    assert stream.getvalue().splitlines() == [
        "<6>a note",
        "<4>warning: a warning",
        "<3>error: it is wrong",
        "<3>hint: do it right",
    ]


def test_the_style_follows_where_standard_error_leads(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        seen = os.fstat(log.fileno())
        here = f"{seen.st_dev}:{seen.st_ino}"
        assert Style.of(log, {"JOURNAL_STREAM": here}) is Style.JOURNAL
        assert Style.of(log, {"JOURNAL_STREAM": "1:1"}) is Style.BARE
        assert Style.of(log, {"INVOCATION_ID": "c0ffee"}) is Style.BARE
        assert Style.of(log, {}) is Style.TIMED
    assert Style.of(Terminal(), {}) is Style.BARE
    assert Style.of(io.StringIO(), {"JOURNAL_STREAM": here}) is Style.BARE


def test_lines_of_one_message_stay_together_and_are_safe_for_a_terminal() -> None:
    stream = io.StringIO()
    _messages(stream).fail(Failure(ExitCode.USAGE, "usage", "bad \x1b[2J", "write:\n[[sources]]"))
    assert stream.getvalue() == "error: bad \\x1b[2J\nhint: write:\n  [[sources]]\n"


def test_a_failure_names_its_subject() -> None:
    stream = io.StringIO()
    _messages(stream).fail(FAILURE, "home")
    assert stream.getvalue().startswith("error: home: it is wrong\n")


def test_a_stream_that_is_gone_ends_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as gone:
        messages = Messages(gone, Style.BARE, Verbosity.NORMAL, lambda: NOW)
        messages.warn("nobody reads this")
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)
    closed = io.StringIO()
    closed.close()
    _messages(closed).warn("nor this")


def test_threads_do_not_mix_their_lines() -> None:
    stream = io.StringIO()
    messages = _messages(stream)

    def work() -> None:
        for _ in range(200):
            messages.note("x" * 50)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.getvalue().splitlines() == ["x" * 50] * 800


def _log_everything() -> None:
    logging.getLogger("btrfs_to_s3.s3.gate").warning("no usable answer %d times", 4)
    logging.getLogger("btrfs_to_s3.s3.retry").warning("attempt 1 failed")
    logging.getLogger("btrfs_to_s3.s3.client").debug("a detail")
    logging.getLogger("botocore.auth").debug("Signature: secret")
    logging.getLogger("urllib3.connectionpool").warning("pool is full")


def test_single_attempts_and_libraries_are_silent_but_outages_are_told() -> None:
    stream = io.StringIO()
    with _messages(stream).logging():
        _log_everything()
    assert stream.getvalue() == "warning: no usable answer 4 times\n"


def test_verbose_tells_attempts_and_warnings_of_libraries_but_never_their_details() -> None:
    stream = io.StringIO()
    with _messages(stream, verbosity=Verbosity.VERBOSE).logging():
        _log_everything()
    assert stream.getvalue().splitlines() == [
        "warning: no usable answer 4 times",
        "attempt 1 failed",
        "a detail",
        "urllib3.connectionpool: pool is full",
    ]


def test_loggers_are_left_as_they_were() -> None:
    root, own = logging.getLogger(), logging.getLogger("btrfs_to_s3")
    before = (list(root.handlers), own.level)
    with _messages(io.StringIO(), verbosity=Verbosity.VERBOSE).logging():
        assert len(root.handlers) == len(before[0]) + 1
    assert (list(root.handlers), own.level) == before


@pytest.mark.parametrize("verbosity", [Verbosity.QUIET, Verbosity.NORMAL])
def test_the_last_lines_are_kept_with_their_time_also_those_that_are_not_shown(
    verbosity: Verbosity,
) -> None:
    messages = _messages(io.StringIO(), Style.JOURNAL, verbosity)
    for number in range(200):
        messages.note(f"number {number}")
    _all_said(messages)
    assert len(messages.tail) == 100
    assert messages.tail[-5:] == (
        "2026-11-20T02:00:00Z number 199",
        "2026-11-20T02:00:00Z a note",
        "2026-11-20T02:00:00Z warning: a warning",
        "2026-11-20T02:00:00Z error: it is wrong",
        "2026-11-20T02:00:00Z hint: do it right",
    )

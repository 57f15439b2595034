"""What is shown while the work goes on."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from btrfs_to_s3.cli.messages import Messages, Style, Verbosity
from btrfs_to_s3.cli.output import drop
from btrfs_to_s3.cli.progress import LineReporter, TerminalReporter, make_reporter
from btrfs_to_s3.cli.work import Work
from tests.cli.test_messages import Terminal

MIB = 1024**2


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def _messages(stream: io.StringIO, verbosity: Verbosity = Verbosity.NORMAL) -> Messages:
    return Messages(stream, Style.BARE, verbosity, lambda: datetime(2026, 11, 20, tzinfo=UTC))


def _lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_without_an_estimate_a_line_comes_every_30_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    reporter = LineReporter(_messages(stream), clock, lines=True)
    reporter.begin("data", "full backup", None)
    for _ in range(60):
        clock.now_s += 1
        reporter.advance(MIB, MIB // 2, 0)
    assert _lines(stream) == [
        "data: full backup starts",
        "data: full backup: 30.0 MiB, 15.0 MiB stored, 0 chunks, 1.0 MiB/s",
        "data: full backup: 60.0 MiB, 30.0 MiB stored, 0 chunks, 1.0 MiB/s",
    ]


def test_with_an_estimate_a_line_comes_every_10_percent_with_the_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    reporter = LineReporter(_messages(stream), clock, lines=True)
    reporter.begin("data", "full backup", 100 * MIB)
    for _ in range(25):
        clock.now_s += 1
        reporter.advance(MIB, 0, 1)
    done, left = "data: full backup", "1.0 MiB/s, about 1 min"
    assert _lines(stream) == [
        "data: full backup starts, about 100.0 MiB",
        f"{done}: 10.0 MiB of about 100.0 MiB (10%), 0 B stored, 10 chunks, {left} 30 s left",
        f"{done}: 20.0 MiB of about 100.0 MiB (20%), 0 B stored, 20 chunks, {left} 20 s left",
    ]


def test_a_fast_run_does_not_fill_the_log() -> None:
    stream, clock = io.StringIO(), Clock()
    reporter = LineReporter(_messages(stream), clock, lines=True)
    reporter.begin("data", "full backup", 100 * MIB)
    for _ in range(100):
        clock.now_s += 0.04
        reporter.advance(MIB, 0, 0)
    assert len(_lines(stream)) == 1


def test_nothing_is_promised_past_the_estimate() -> None:
    work = Work("data", "full backup", 10 * MIB, 0.0, raw_bytes=20 * MIB)
    assert work.line(10.0) == "data: full backup: 20.0 MiB, 0 B stored, 0 chunks, 2.0 MiB/s"
    assert work.left(10.0) is None


def test_what_it_is_busy_with_is_told_until_bytes_move() -> None:
    work = Work("data", "full backup", None, 0.0, now="taking a snapshot")
    assert work.line(1.0).endswith("taking a snapshot")
    work.advance(1, 0, 0)
    assert not work.line(1.0).endswith("taking a snapshot")


def _from_many_threads(reporter: LineReporter | TerminalReporter) -> None:
    def work() -> None:
        for _ in range(500):
            reporter.advance(1, 2, 1)
            reporter.activity("sending")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_lines_count_what_many_threads_tell() -> None:
    stream, clock = io.StringIO(), Clock()
    reporter = LineReporter(_messages(stream), clock, lines=True)
    reporter.begin("data", "full backup", None)
    _from_many_threads(reporter)
    clock.now_s += 30
    reporter.advance(0, 0, 0)
    assert _lines(stream)[-1] == ("data: full backup: 2.0 KiB, 3.9 KiB stored, 2000 chunks, 67 B/s")


def test_a_bar_counts_what_many_threads_tell() -> None:
    stream = Terminal()
    reporter = TerminalReporter(_messages(stream), stream, Clock())
    reporter.begin("data", "full backup", None)
    _from_many_threads(reporter)
    reporter.end()
    assert "2.0 KiB" in stream.getvalue()
    assert "2000 chunks" in stream.getvalue()


def test_a_terminal_gets_a_bar_with_notes_above_it_and_nothing_is_left() -> None:
    stream = Terminal()
    reporter = make_reporter(_messages(stream), stream, Clock(), progress=True)
    assert isinstance(reporter, TerminalReporter)
    reporter.begin("data", "full backup", 10 * MIB)
    reporter.advance(5 * MIB, MIB, 3)
    reporter.note("[bold]kept as it is[/bold]")
    reporter.warn("mind this")
    reporter.end()
    said = stream.getvalue()
    assert "data: full backup" in said
    assert "5.0 MiB of ~10.0 MiB" in said
    assert "3 chunks" in said
    assert "[bold]kept as it is[/bold]\n" in said
    assert "warning: mind this\n" in said
    assert said.rstrip().endswith("\x1b[2K") or said.endswith("\x1b[?25h")


def test_work_that_was_never_begun_or_is_over_counts_for_nothing() -> None:
    for reporter in (
        LineReporter(_messages(io.StringIO()), Clock(), lines=True),
        TerminalReporter(_messages(Terminal()), Terminal(), Clock()),
    ):
        reporter.advance(1, 1, 1)
        reporter.activity("nothing")
        reporter.begin("data", "full backup", None)
        reporter.end()
        reporter.end()
        reporter.advance(1, 1, 1)


def test_quiet_and_no_progress_leave_only_what_is_told() -> None:
    for verbosity, progress in ((Verbosity.QUIET, True), (Verbosity.NORMAL, False)):
        stream = Terminal()
        reporter = make_reporter(_messages(stream, verbosity), stream, Clock(), progress=progress)
        assert isinstance(reporter, LineReporter)
        reporter.begin("data", "full backup", 10)
        reporter.advance(10, 10, 1)
        reporter.warn("mind this")
        reporter.end()
        assert stream.getvalue() == "warning: mind this\n"


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as stream:
        reporter = make_reporter(
            Messages(stream, Style.BARE, Verbosity.NORMAL, lambda: datetime.now(UTC)),
            stream,
            Clock(),
            progress=True,
        )
        reporter.begin("data", "full backup", 10)
        os.close(leader)
        reporter.advance(5, 5, 1)
        reporter.warn("nobody sees this")
        reporter.end()
        reporter.begin("data", "full backup", 10)
        reporter.end()
        drop(stream)

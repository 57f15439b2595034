"""The analysis of a soak can fail for each of its reasons."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from integration_tests.harness.services.paths import INTEGRATION_TESTS
from integration_tests.harness.soak.activities import Load
from integration_tests.harness.soak.analysis import (
    BOUNDS,
    REQUIRED,
    Analysis,
    AnalysisError,
    analyze,
    first_and_last,
)
from integration_tests.harness.soak.events import (
    BEGIN,
    END,
    EVENTS_FILE,
    Event,
    EventKind,
    write_lines,
)
from integration_tests.harness.soak.judgement import Fault, FaultHistory, Victim, explanation
from integration_tests.harness.soak.monitor import MONITOR_FILE, Sample
from integration_tests.harness.soak.report import PAGE_FILE, REPORT_FILE, report, write_reports
from integration_tests.harness.soak.traffic import Traffic
from integration_tests.harness.soak.world import LiveBackup, chain_length

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPTS = INTEGRATION_TESTS / "scripts"
MIB = 1024**2
BEGAN_S = 1_800_000_000.0
LASTED_S = 600.0
SAMPLES = 120


def sample(number: int) -> Sample:
    """One of many that are all the same, but for what counts up."""
    return Sample(
        time_s=BEGAN_S + number * LASTED_S / SAMPLES,
        soak_rss_bytes=90 * MIB,
        soak_descriptors=20,
        soak_threads=8,
        program_count=number % 2,
        program_rss_bytes=100 * MIB if number % 2 else None,
        program_descriptors=15 if number % 2 else None,
        program_threads=9 if number % 2 else None,
        service_rss_bytes=200 * MIB,
        proxy_rss_bytes=80 * MIB,
        object_count=60,
        object_bytes=50 * MIB,
        backup_count=6,
        chain_length=1 + number % 6,
        requests={"PutObject": 10 * number},
        request_bytes=number * MIB,
    )


def event(name: str, at_s: float = 10.0, **facts: Any) -> Event:  # noqa: ANN401
    """An activity of three seconds, a fault or a mark."""
    kind = facts.pop("kind", EventKind.ACTIVITY)
    started_s = BEGAN_S + at_s
    return Event(kind=kind, name=name, started_s=started_s, ended_s=started_s + 3, **facts)


def good_events() -> list[Event]:
    """A soak in which everything went well, and one failure had its reason."""
    found = [event(BEGIN, 0, kind=EventKind.HARNESS)]
    for name in REQUIRED:
        code = None if name == "change" else 0
        identical = True if name == "restore" else None
        found += [event(name, at, exit_code=code, identical=identical) for at in (20, 200, 400)]
    found.append(event("outage", 300, kind=EventKind.FAULT))
    found.append(event("backup", 301, exit_code=4, message="outage"))
    found.append(event(END, LASTED_S - 3, kind=EventKind.HARNESS, message="time is up"))
    return found


def analysis(
    change: Callable[[int, Sample], Sample] | None = None, *more: Event, without: str = ""
) -> Analysis:
    """A good soak, but for what is changed in its samples and events."""
    samples = [sample(number) for number in range(SAMPLES)]
    if change is not None:
        samples = [change(number, one) for number, one in enumerate(samples)]
    events = [one for one in good_events() if one.name != without]
    return Analysis(samples, [*events, *more])


def failed(judged: Analysis) -> set[str]:
    """The names of the criteria that do not hold."""
    return {criterion.name for criterion in judged.criteria if not criterion.passed}


def test_a_good_soak_passes() -> None:
    judged = analysis()

    assert failed(judged) == set()
    assert judged.passed
    assert "verdict: PASS" in report(judged)


GROWTH = {
    "memory of the program": ("program_rss_bytes", MIB),
    "memory of the soak": ("soak_rss_bytes", MIB),
    "memory of the service": ("service_rss_bytes", 8 * MIB),
    "descriptors of the program": ("program_descriptors", 1),
    "descriptors of the soak": ("soak_descriptors", 1),
    "threads of the program": ("program_threads", 1),
    "threads of the soak": ("soak_threads", 1),
    "objects in the bucket": ("object_count", 5),
    "bytes in the bucket": ("object_bytes", 3 * MIB),
}
"""What grows, and by how much per sample."""


@pytest.mark.parametrize("name", [bound.name for bound in BOUNDS])
def test_what_grows_fails(name: str) -> None:
    fact, per_sample = GROWTH[name]

    def grow(number: int, one: Sample) -> Sample:
        before = getattr(one, fact)
        grown: dict[str, Any] = {fact: None if before is None else before + number * per_sample}
        return dataclasses.replace(one, **grown)

    assert failed(analysis(grow)) == {f"{name} flat"}


def test_a_single_peak_is_forgiven() -> None:
    def peak(number: int, one: Sample) -> Sample:
        return dataclasses.replace(one, soak_rss_bytes=900 * MIB) if number == 100 else one

    assert analysis(peak).passed


@pytest.mark.parametrize("exit_code", [1, -11])
def test_a_crash_of_the_program_fails(exit_code: int) -> None:
    crash = event("backup", 100, exit_code=exit_code, expected=False, message="Traceback")

    judged = analysis(None, crash)

    assert failed(judged) == {"no crash", "nothing unexpected"}
    assert "Traceback" in report(judged)


def test_an_unexpected_exit_fails() -> None:
    assert failed(analysis(None, event("verify data", 100, exit_code=5, expected=False))) == {
        "nothing unexpected"
    }


def test_a_failure_of_the_soak_itself_fails() -> None:
    failure = event("failure", 100, kind=EventKind.HARNESS, expected=False, message="moto ended")

    assert failed(analysis(None, failure)) == {"no crash", "nothing unexpected"}


def test_a_soak_without_an_end_fails() -> None:
    assert failed(analysis(without=END)) == {"no crash"}


def test_a_differing_restore_fails() -> None:
    wrong = event("restore", 100, exit_code=0, identical=False, message="b'file': content")

    judged = analysis(None, wrong)

    assert failed(judged) == {"restores identical"}
    assert "b'file': content" in report(judged)


@pytest.mark.parametrize("name", REQUIRED)
def test_an_activity_that_never_succeeded_fails(name: str) -> None:
    only_failed = event(name, 100, exit_code=4, message="outage")

    assert "everything happened" in failed(analysis(None, only_failed, without=name))


def test_a_soak_without_faults_fails() -> None:
    assert failed(analysis(without="outage")) == {"everything happened"}


def test_a_gap_in_the_watch_fails() -> None:
    judged = analysis()
    samples = [one for one in judged.samples if not 200 < one.time_s - BEGAN_S < 300]

    assert failed(Analysis(samples, judged.events)) == {"watched throughout"}


def test_an_empty_run_passes_nothing_but_that_nothing_was_unexpected() -> None:
    judged = Analysis([], [])

    assert {one.name for one in judged.criteria} - failed(judged) == {"nothing unexpected"}
    assert "verdict: FAIL" in report(judged)


def test_thirds_leave_the_warm_up_out() -> None:
    assert first_and_last([1000, *[10] * 4, None, *[20] * 4]) == (10, 20)
    assert first_and_last([1, 2]) is None


@pytest.mark.parametrize("text", ["{not json\n", '{"name": "backup"}\n', "[]\n"])
def test_damaged_records_are_no_verdict(tmp_path: Path, text: str) -> None:
    (tmp_path / MONITOR_FILE).write_text("")
    (tmp_path / EVENTS_FILE).write_text(text)

    with pytest.raises(AnalysisError, match=re.escape(str(tmp_path))):
        analyze(tmp_path)


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    plant(tmp_path, analysis())
    with (tmp_path / EVENTS_FILE).open("a") as file:
        file.write('{"kind": "acti')

    assert analyze(tmp_path).events == good_events()


def test_the_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    write_reports(analysis(), tmp_path)

    page = (tmp_path / PAGE_FILE).read_text()
    assert page.count("<svg") == 7  # without errors there is nothing to draw of them
    assert not re.search(r"https?:|url\(|<script|<link|<img|@import", page)


@pytest.mark.parametrize(
    ("change", "status"), [(None, 0), (event("prune", 9, exit_code=1, expected=False), 1)]
)
def test_analyze_run_ends_as_its_verdict(
    tmp_path: Path, soak_config: Path, change: Event | None, status: int
) -> None:
    plant(tmp_path, analysis(None, *([change] if change else [])))

    ended = run_script("analyze_run.py", str(tmp_path), "--config", str(soak_config))

    assert ended.returncode == status, ended.stdout + ended.stderr
    verdict = "PASS" if status == 0 else "FAIL"
    assert f"verdict: {verdict}" in (tmp_path / REPORT_FILE).read_text()
    assert f"Soak: {verdict}" in (tmp_path / PAGE_FILE).read_text()


def test_analyze_run_fails_where_no_soak_was(tmp_path: Path, soak_config: Path) -> None:
    ended = run_script("analyze_run.py", str(tmp_path), "--config", str(soak_config))

    assert ended.returncode == 1
    assert "no readable records" in ended.stdout


OUTAGE = Fault("outage", Victim.SERVICE, 0, 1)
DAMAGED = Fault("damaged answers", Victim.ANSWERS, 0, 1)
TERMINATED = Fault("SIGTERM", Victim.TERMINATED, 0, 0, pid=7)
KILLED = Fault("SIGKILL", Victim.KILLED, 0, 0, pid=7)


@pytest.mark.parametrize(
    ("exit_code", "pid", "faults", "explained"),
    [
        (0, 7, [], True),
        (4, 7, [OUTAGE], True),
        (4, 7, [], False),
        (4, 7, [TERMINATED, KILLED], False),
        (130, 7, [TERMINATED], True),
        (130, 8, [TERMINATED], False),
        (130, 7, [KILLED, OUTAGE], False),
        (-signal.SIGTERM, 7, [TERMINATED], True),
        (-signal.SIGKILL, 7, [KILLED], True),
        (-signal.SIGKILL, 8, [KILLED], False),
        (-signal.SIGKILL, 7, [TERMINATED], False),
        (7, 8, [KILLED], True),
        (7, 8, [OUTAGE], False),
        (1, 7, [OUTAGE, TERMINATED, KILLED], False),
        (3, 7, [OUTAGE, TERMINATED, KILLED], False),
        (5, 7, [OUTAGE, TERMINATED, KILLED], False),
        (5, 7, [DAMAGED], True),
        (4, 7, [DAMAGED], False),
        (-signal.SIGSEGV, 7, [OUTAGE, TERMINATED, KILLED], False),
    ],
)
def test_only_the_fitting_fault_explains_an_end(
    exit_code: int, pid: int, faults: list[Fault], explained: bool
) -> None:
    assert (explanation(exit_code, pid, faults) is not None) is explained


def test_a_fault_explains_only_what_ran_while_it_was_active() -> None:
    history = FaultHistory()
    fault = history.begin("outage", Victim.SERVICE)

    assert history.active() == ["outage"]
    assert history.during(fault.started_s - 9, fault.started_s - 1) == []
    assert history.during(fault.started_s + 5, fault.started_s + 9) == [fault]

    history.end(fault)

    assert history.active() == []
    assert fault.ended_s is not None
    assert history.during(fault.ended_s + 1, fault.ended_s + 9) == []


def test_traffic_is_counted_once_while_its_log_grows_and_is_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration_tests.harness.soak.traffic._TURNED_AT_BYTES", 300)
    log = tmp_path / "requests.jsonl"
    traffic = Traffic(log)
    traffic.update()
    for number in range(1, 11):
        lines = [
            {"number": number, "operation": "GetObject", "rule": "stall" if number == 3 else None},
            {"number": number, "status": 404 if number == 4 else 503 if number == 5 else 200},
            {"number": number, "request_bytes": 2, "answer_bytes": 5, "seconds": 1, "error": None},
        ]
        for line in lines:
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            traffic.update()

    assert traffic.requests == {"GetObject": 10}
    assert traffic.errors == {"stall": 1, "status 503": 1}
    assert (traffic.request_bytes, traffic.answer_bytes) == (20, 50)
    assert not log.exists() or log.stat().st_size <= 300


def test_the_chain_is_counted_back_from_the_newest_backup() -> None:
    backups = [LiveBackup("a", None, ""), LiveBackup("b", "a", ""), LiveBackup("c", None, "")]

    assert chain_length([]) == 0
    assert chain_length(backups[:2]) == 2
    assert chain_length(backups) == 1


@pytest.mark.parametrize("load", Load)
def test_a_load_changes_the_pace_but_not_much_the_whole(load: Load) -> None:
    paces = [load.pace(second) for second in range(3600)]

    assert min(paces) > 0
    assert 0.8 < sum(paces) / len(paces) < 1.2
    assert (len(set(paces)) == 1) is (load is Load.STEADY)


def plant(directory: Path, judged: Analysis) -> None:
    """Write a soak's records."""
    write_lines(directory / MONITOR_FILE, judged.samples)
    write_lines(directory / EVENTS_FILE, judged.events)


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        [sys.executable, SCRIPTS / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

"""What is proven of the units, each as a sentence. All of it with the units as they are shipped."""

from __future__ import annotations

import re
import time
import traceback
from typing import TYPE_CHECKING, Final

from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.nspawn.ground import (
    BACKUP,
    CONFIG,
    KEYS,
    LATER,
    MIB,
    PRUNE_TIMER,
    SOON,
    TIMER,
)
from integration_tests.harness.nspawn.interruptions import (
    a_halt_is_clean_and_the_next_run_goes_on,
    a_killed_run_fails_and_the_next_one_goes_on,
    a_power_cut_loses_nothing,
    a_stop_is_clean_and_the_next_run_goes_on,
)
from integration_tests.harness.nspawn.root import PROGRAM
from integration_tests.harness.nspawn.steps import is_told, restores, succeeds
from integration_tests.harness.nspawn.walkthrough import commands
from integration_tests.harness.scripting.tally import Row, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from integration_tests.harness.nspawn.ground import Ground

PRUNE: Final = "btrfs-to-s3-prune@config.service"
VERIFY: Final = "btrfs-to-s3-verify@config.service"
_CHECKOUT: Final = "/root/checkout"
_INACTIVE: Final = 3
"""How systemctl status ends for a unit that is not running."""
_CLOCK: Final = re.compile(r"^\[?(\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ORDINARY: Final = 6
_PRIORITIES: Final = {"error": 3, "hint": 3, "warning": 4}
_DONE: Final = re.compile(r"[1-9][\d.]* (?:%|[KM]iB)(?=,)")
"""In a status text; a full backup does not know how much there will be."""
_SHOWN: Final = 3
_MADE_UP_WITHIN_S: Final = 60.0


def the_page_works_as_it_stands(ground: Ground) -> None:
    """Every command of docs/systemd.md, in order, as root; after it the units are installed."""
    machine = ground.machine
    machine.run(str(PROGRAM), "systemd", "uninstall")
    ground.copy_units(_CHECKOUT)
    machine.write("/etc/btrfs-to-s3/nas.toml", (machine.tree / CONFIG.lstrip("/")).read_text())
    for command in commands():
        if command.line.startswith("systemctl edit "):
            continue  # an editor; drop-ins are written by other walks
        if command.line.startswith("cp "):  # the other way to the same end
            machine.run(str(PROGRAM), "systemd", "uninstall")
        done = machine.tried("sh", "-c", f"cd {_CHECKOUT} && {command.line}", variables=KEYS)
        inactive = command.line.startswith("systemctl status ") and done.returncode == _INACTIVE
        ground.check(
            done.returncode == 0 or inactive,
            f"{command.section}: {command.line}",
            f"exit {done.returncode}: {done.stdout}{done.stderr}",
        )
        if command.line.startswith("systemctl enable ") and PRUNE_TIMER in command.line:
            ground.remove_units()
            ground.install()
        if command.line.startswith("systemctl status "):
            succeeds(ground, ground.wait_for_end(BACKUP), "the backup that was started")
    machine.run(str(PROGRAM), "-c", "/etc/btrfs-to-s3/nas.toml", "systemd", "uninstall")
    ground.install()
    restores(ground)


def a_firing_stores_what_restores(ground: Ground) -> None:
    """The timer fires; what the sandboxed service stores restores to the same content."""
    before = ground.started_at(BACKUP)
    ground.fire_in(TIMER)
    ground.wait_for_start(BACKUP, before)
    succeeds(ground, ground.wait_for_end(BACKUP), "the first firing backs up")
    ground.check(ground.kinds() == ["full"], "one full backup is stored", ground.kinds())
    changed = ground.machine.show(BACKUP, "DropInPaths")["DropInPaths"]
    ground.check(not changed, "by the unit as it is shipped", changed)
    restores(ground)


def the_next_firings_are_increments_or_nothing(ground: Ground) -> None:
    """A firing after no change stores nothing, one after a change stores an increment."""
    succeeds(ground, ground.start(), "the first run backs up")
    before = ground.started_at(BACKUP)
    ground.fire_in(TIMER)
    ground.wait_for_start(BACKUP, before)
    succeeds(ground, ground.wait_for_end(BACKUP), "a firing after no change succeeds")
    ground.check(ground.kinds() == ["full"], "and stores nothing", ground.kinds())
    ground.grow(MIB)
    before = ground.started_at(BACKUP)
    ground.fire_in(TIMER)
    ground.wait_for_start(BACKUP, before)
    succeeds(ground, ground.wait_for_end(BACKUP), "a firing after a change succeeds")
    ground.check(ground.kinds() == ["full", "incr"], "and stores an increment", ground.kinds())
    restores(ground)


def it_says_how_far_it_is_and_is_watched(ground: Ground) -> None:
    """While it runs systemd knows that it is ready, how far it is, and that it is alive."""
    # Much shorter than the run: without signs of life it would not reach its end.
    ground.drop_in(BACKUP, "watchdog", "[Service]\nWatchdogSec=6s\n")
    ground.start_slowly()
    shown = ground.machine.show(
        BACKUP, "ActiveState", "SubState", "Type", "StatusText", "WatchdogUSec", "MainPID"
    )
    ground.check(shown["ActiveState"] == "active", "it has said that it is ready", shown)
    ground.check(shown["Type"] == "notify", "which is what systemd waited for", shown)
    confined = [ground.machine.is_confined(pid) for pid in ground.machine.processes("btrfs-to-s3")]
    ground.check(confined, "its process is found")
    ground.check(all(confined), "the kernel confines it: seccomp, no new privileges, few of root's")
    seen: set[str] = set()

    def grows() -> bool:
        seen.update(_DONE.findall(ground.machine.show(BACKUP, "StatusText")["StatusText"]))
        return len(seen) > 1

    wait_until(grows, poll_s=0.3)
    ground.check(passed=True, text=f"it says how far it is: {' '.join(sorted(seen))}")
    succeeds(ground, ground.wait_for_end(BACKUP), "it lives longer than its watchdog's patience")
    ground.grow(12 * MIB)
    ground.start_slowly()
    ground.machine.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", BACKUP)
    ended = ground.wait_for_end(BACKUP)
    ground.check(ended["Result"] == "watchdog", "one that hangs is ended by the watchdog", ended)
    ground.check(not ground.left_behind(), "with all that it started", ground.left_behind())
    ground.drop_in(BACKUP, "watchdog", None)


def the_journal_is_clean(ground: Ground) -> None:
    """All that was said until now: no clock, control characters or tracebacks, right priorities."""
    ground.write_keys(right=False)
    ground.start()
    ground.write_keys()
    succeeds(ground, ground.start(), "a run after one that failed")
    entries = [
        entry
        for entry in ground.machine.journal("btrfs-to-s3*")
        if entry.get("_COMM") == "btrfs-to-s3"
    ]
    ground.check(entries, "the program speaks to the journal")
    for text, is_wrong in (
        ("a line is text", lambda text, _: not isinstance(text, str)),
        ("without control characters", lambda text, _: _CONTROL.search(text)),
        ("without a clock of its own", lambda text, _: _CLOCK.match(text)),
        ("without a traceback", lambda text, _: "Traceback" in text),
        ("its priority is not in the text", lambda text, _: text.startswith("<")),
        (
            "errors and warnings, and nothing else, have their priority",
            lambda text, priority: _PRIORITIES.get(text.partition(":")[0], _ORDINARY) != priority,
        ),
    ):
        wrong = [
            entry["MESSAGE"]
            for entry in entries
            if is_wrong(entry["MESSAGE"], int(entry["PRIORITY"]))
        ]
        ground.check(not wrong, text, wrong[:_SHOWN])
    spoken = {int(entry["PRIORITY"]) for entry in entries}
    ground.check(set(_PRIORITIES.values()) <= spoken, "there were warnings and errors", spoken)


def a_failure_is_told(ground: Ground) -> None:
    """Wrong keys, then no service: the unit fails, OnFailure= says so, and the ping too."""
    ground.write_keys(right=False)
    heard = len(ground.watch.pings)
    ended = ground.start()
    ground.check(ended["Result"] == "exit-code", "with wrong keys the unit fails", ended)
    ground.check(ended["ExecMainStatus"] == "4", "by exit code 4", ended)
    is_told(ground, BACKUP)
    pings = ground.watch.pings[heard:]
    signals = [ping.signal for ping in pings]
    ground.check(signals == ["start", "fail"], "who watches hears start and failure", signals)
    ground.check("SignatureDoesNotMatch" in pings[-1].body, "and why", pings[-1].body)
    ground.write_keys()
    ground.configure(outage_patience='"3s"')
    ground.service.stop()
    try:
        ended = ground.start()
    finally:
        ground.service.start()
    ground.check(ended["Result"] == "exit-code", "without a service the unit fails", ended)
    ground.check(ended["ExecMainStatus"] == "4", "by exit code 4", ended)
    is_told(ground, BACKUP)
    ground.configure()
    heard = len(ground.watch.pings)
    succeeds(ground, ground.start(), "and succeeds when both are back")
    signals = [ping.signal for ping in ground.watch.pings[heard:]]
    ground.check(signals == ["start", ""], "who watches hears start and success", signals)
    restores(ground)


def prune_and_verify_do_their_work(ground: Ground) -> None:
    """The prune and verify units work in their own sandboxes, and verify finds damage."""
    succeeds(ground, ground.start(), "a backup")
    ground.program("backup", "--full")  # by hand: it shares the units' state
    ground.grow(MIB)
    succeeds(ground, ground.start(), "a backup upon the one made by hand")
    ground.check(ground.kinds() == ["full", "full", "incr"], "three are stored", ground.kinds())
    succeeds(ground, ground.start(VERIFY), "verify passes")
    ground.configure(keep='"last=1"')
    before = ground.stored("chunks")
    succeeds(ground, ground.start(PRUNE), "prune passes")
    ground.check(ground.kinds() == ["full", "incr"], "what nothing needs is gone", ground.kinds())
    after = ground.stored("chunks")
    ground.check(after < before, "with its chunks", len(before - after))
    restores(ground)
    ground.stored_files("chunks")[0].unlink()
    ended = ground.start(VERIFY)
    ground.check(ended["ExecMainStatus"] == "5", "verify fails where a chunk is missing", ended)
    is_told(ground, VERIFY)


def a_missed_firing_is_made_up(ground: Ground) -> None:
    """A time that passed while the machine was off is made up for after the next boot."""
    _daily(ground)
    ground.machine.halt()
    remembers = ground.age_timer(TIMER)
    ground.check(remembers, "the timer remembers across a halt when it fired last")
    ground.machine.boot()
    wait_until(lambda: ground.started_at(BACKUP), _MADE_UP_WITHIN_S, 0.5)
    ground.check(passed=True, text="the service is started after the boot")
    succeeds(ground, ground.wait_for_end(BACKUP), "and backs up")
    ground.check(ground.kinds() == ["full"], "what was missed", ground.kinds())


WALKS: Final[Mapping[str, Callable[[Ground], None]]] = {
    "page": the_page_works_as_it_stands,
    "firing": a_firing_stores_what_restores,
    "increment": the_next_firings_are_increments_or_nothing,
    "status": it_says_how_far_it_is_and_is_watched,
    "stop": a_stop_is_clean_and_the_next_run_goes_on,
    "kill": a_killed_run_fails_and_the_next_one_goes_on,
    "failure": a_failure_is_told,
    "prune-verify": prune_and_verify_do_their_work,
    "missed": a_missed_firing_is_made_up,
    "halt": a_halt_is_clean_and_the_next_run_goes_on,
    "power-cut": a_power_cut_loses_nothing,
    "journal": the_journal_is_clean,
}
"""By name, in order; each has a source and a repository of its own."""


def _daily(ground: Ground) -> None:
    """The shipped timer as it is, enabled, without what another walk set."""
    ground.drop_in(TIMER, SOON, None)
    ground.drop_in(TIMER, LATER, None)
    # What was missed is made up for within RandomizedDelaySec= of the boot: an hour as shipped.
    ground.drop_in(TIMER, "at-once", "[Timer]\nRandomizedDelaySec=0\n")
    ground.machine.run("systemctl", "enable", TIMER)


def run_walk(ground: Ground, name: str) -> Row:
    """Run one on a source of its own; an exception in it is a failed check, and ends only this."""
    outer, started = ground.check, time.monotonic()
    tally = Tally(outer)
    ground.check = tally
    try:
        if not ground.machine.is_running:
            ground.machine.boot()
        ground.begin(name)
        WALKS[name](ground)
    except Exception as error:  # noqa: BLE001 - the other walks have their turn
        tally(passed=False, text=f"{name} runs to its end", detail=repr(error))
        (ground.logs / f"{name}-traceback.log").write_text(traceback.format_exc())
    finally:
        ground.check = outer
        ground.keep_journal(name)
    return Row(name, tally.passed, tally.failed, time.monotonic() - started)

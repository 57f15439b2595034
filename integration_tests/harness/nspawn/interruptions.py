"""Backups that are cut short in the middle, and what the next firing makes of it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

from integration_tests.harness.nspawn.ground import BACKUP
from integration_tests.harness.nspawn.steps import AT_A_TIME, goes_on, is_told

if TYPE_CHECKING:
    from integration_tests.harness.nspawn.ground import Ground

_STOPS_WITHIN_S: Final = 12.0
_INTERRUPTED: Final = "130"


def a_stop_is_clean_and_the_next_run_goes_on(ground: Ground) -> None:
    """Stopping the unit ends the backup in time and without a trace; the next one resumes."""
    ground.start_slowly()
    began = time.monotonic()
    ground.machine.run("systemctl", "stop", BACKUP)
    seconds = time.monotonic() - began
    ground.check(seconds < _STOPS_WITHIN_S, "it stops in a tenth of TimeoutStopSec", seconds)
    ended = ground.wait_for_end(BACKUP)
    ground.check(ended["Result"] == "success", "a stop that was asked for is no failure", ended)
    ground.check(ended["ExecMainStatus"] == _INTERRUPTED, "it ended by itself, with 130", ended)
    ground.check(ended["ExecMainCode"] == str(1), "not by a signal", ended)
    goes_on(ground)


def a_killed_run_fails_and_the_next_one_goes_on(ground: Ground) -> None:
    """SIGKILL to the program: the unit has failed, nothing is left, the next run resumes."""
    ground.start_slowly()
    ground.machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", BACKUP)
    ended = ground.wait_for_end(BACKUP)
    ground.check(ended["Result"] == "signal", "the unit has failed", ended)
    ground.check(ended["ExecMainStatus"] == str(int(signal.SIGKILL)), "by the signal", ended)
    is_told(ground, BACKUP)
    goes_on(ground, in_flight=AT_A_TIME)


def a_halt_is_clean_and_the_next_run_goes_on(ground: Ground) -> None:
    """Shutting down in the middle ends the backup cleanly; after the boot it is gone on with."""
    ground.start_slowly()
    ground.machine.halt()
    ground.machine.boot()
    said = ground.machine.journal(BACKUP, "--boot=-1")
    texts = [str(entry["MESSAGE"]) for entry in said]
    ground.check(
        any("Deactivated successfully" in text for text in texts), "it was stopped cleanly", texts
    )
    ground.check(not any("SIGKILL" in text for text in texts), "nothing had to be killed", texts)
    goes_on(ground)


def a_power_cut_loses_nothing(ground: Ground) -> None:
    """The machine is gone in the middle of a backup; after the boot it is gone on with."""
    ground.start_slowly()
    ground.machine.cut_off()
    ground.machine.boot()
    goes_on(ground, in_flight=AT_A_TIME)

"""What several walks look at: success, content, what is left, whether the failure was told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.nspawn.ground import BACKUP, TIMER

if TYPE_CHECKING:
    from integration_tests.harness.nspawn.ground import Ground

FAILED: Final = "btrfs-to-s3-failed@{}.service"
_TOLD_WITHIN_S: Final = 20.0
AT_A_TIME: Final = 2
"""The concurrency of every run: so many chunks may be stored and not yet noted."""


def succeeds(ground: Ground, ended: dict[str, str], text: str) -> None:
    """A run, of which `Ground.wait_for_end` told, ended with success and exit code 0."""
    good = (ended["Result"], ended["ExecMainStatus"]) == ("success", "0")
    if not ground.check(good, text, ended):
        ground.say(ground.machine.tried("systemctl", "status", "--lines=30", BACKUP).stdout)


def restores(ground: Ground) -> None:
    """The newest backup is the source."""
    different = ground.restore_and_compare()
    ground.check(not different, "the newest backup restores to the source's content", different)


def goes_on(ground: Ground, *, in_flight: int = 0) -> None:
    """After a run that was cut short; `in_flight` chunks may have been stored and not noted."""
    left = ground.left_behind()
    ground.check(not left, "no process and no mount of it is left", left)
    ground.check(ground.kinds() == [], "nothing half done is committed", ground.kinds())
    stored = ground.stored("chunks")
    ground.check(len(stored) > AT_A_TIME, "some chunks are stored", len(stored))
    ground.configure()
    ground.machine.run("systemctl", "reset-failed", BACKUP)
    before = ground.started_at(BACKUP)
    ground.fire_in(TIMER)
    ground.wait_for_start(BACKUP, before)
    succeeds(ground, ground.wait_for_end(BACKUP), "the next firing backs up")
    chunks = ground.stored("chunks")
    again = [chunk for chunk in chunks - stored if _number(chunk) in set(map(_number, stored))]
    ground.check(
        len(again) <= in_flight,
        f"and sends again at most {in_flight} of {len(stored)} chunks",
        again,
    )
    restores(ground)


def _number(key: str) -> str:
    """A chunk's place in its backup: `SOURCE/BACKUP/00000007`."""
    return key.rpartition("-")[0]


def is_told(ground: Ground, unit: str) -> None:
    """OnFailure= was triggered, and left its line for whoever looks for critical ones."""
    since = ground.failed_at(unit)

    def said() -> list[str]:
        lines = ground.machine.journal(FAILED.format(unit), f"--since={since}", "--priority=crit")
        return [str(line["MESSAGE"]) for line in lines if f"{unit} failed" in line["MESSAGE"]]

    with contextlib.suppress(TimeoutError):
        wait_until(said, _TOLD_WITHIN_S, poll_s=0.3)
    ground.check(said(), "OnFailure= says so in the journal, as critical")

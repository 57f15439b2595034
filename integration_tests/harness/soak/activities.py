"""What a soak does and how often; a new activity is one more row of `ACTIVITIES`.

Activities of one lane follow each other, lanes run side by side. `backup` and `prune` share one:
the program lets only one of them run per repository and host.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

from integration_tests.harness.soak.events import Event, EventKind
from integration_tests.harness.soak.world import SOURCE, LiveBackup, World
from integration_tests.harness.trees.compare import Difference, Fidelity, compare_trees

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from integration_tests.harness.soak.events import EventLog
    from integration_tests.harness.soak.faults import Faults
    from integration_tests.harness.soak.runner import Runner
    from integration_tests.harness.soak.writing import Writer

_SAMPLED_NEWEST: Final = 2
"""Older ones may be pruned while they are restored."""
_BACKUP_RATE: Final = "3MiB/s"
"""Slow enough that a signal often comes in the middle of an upload."""
_SHOWN_DIFFERENCES: Final = 3
_WAVE_S: Final = 600.0
_BURST_EVERY_S: Final = 300.0
_BURST_S: Final = 75.0


class Load(StrEnum):
    """How the pace changes over time."""

    STEADY = "steady"
    WAVE = "wave"
    BURST = "burst"

    def pace(self, elapsed_s: float) -> float:
        """How many times as often as in the table things happen; on average about once."""
        if self is Load.WAVE:
            return 1.1 + 0.9 * math.sin(2 * math.pi * elapsed_s / _WAVE_S)
        if self is Load.BURST:
            return 3.0 if elapsed_s % _BURST_EVERY_S < _BURST_S else 0.4
        return 1.0


class Lane(Enum):
    """Who acts, one thing after the other."""

    WRITER = "writer"
    BACKUP = "backup"
    CHECK = "check"
    RESTORE = "restore"
    FAULT = "fault"


@dataclass(slots=True)
class Player:
    """Carries the activities out."""

    world: World
    runner: Runner
    writer: Writer
    faults: Faults
    log: EventLog
    client: S3Client
    rng: random.Random

    def change(self) -> None:
        """Change the source."""
        started_s = time.time()
        message = self.writer.change()
        self.log.add(
            Event(
                kind=EventKind.ACTIVITY,
                name="change",
                started_s=started_s,
                ended_s=time.time(),
                message=message,
            )
        )

    def backup(self) -> None:
        """Back the source up."""
        slow = ("--bandwidth-limit", _BACKUP_RATE)
        self.log.add(self.runner.run("backup", "backup", str(self.world.data), *slow).event)

    def prune(self) -> None:
        """Remove what the rules do not keep."""
        self._once_there_is_a_backup("prune", "prune")

    def verify_quick(self) -> None:
        """Compare the listings."""
        self._once_there_is_a_backup("verify quick", "verify", "--level", "quick")

    def verify_data(self) -> None:
        """Read everything."""
        self._once_there_is_a_backup("verify data", "verify", "--level", "data")

    def restore(self) -> None:
        """Restore one of the newest backups and compare it with what it was made from."""
        live = self.world.live_backups(self.client)
        if not live:
            return
        chosen = self.rng.choice(live[-_SAMPLED_NEWEST:])
        target = str(self.world.target.mount_point)
        outcome = self.runner.run(
            "restore", "restore", f"{SOURCE}@{chosen.backup_id}", "--target", target, "--wait"
        )
        event = outcome.event
        if outcome.run.exit_code == 0:
            event = self._compared(event, chosen, outcome.run.document["snapshot"])
            self.world.clear_target()
        self.log.add(event)

    def thaw(self) -> None:
        """Look whether everything can be read, and what it would take."""
        self._once_there_is_a_backup("thaw", "thaw", SOURCE, "status")

    def fault(self) -> None:
        """Let something go wrong for a while."""
        self.faults.strike()

    def _once_there_is_a_backup(self, activity: str, *arguments: str) -> None:
        if self.world.live_backups(self.client):
            self.log.add(self.runner.run(activity, *arguments).event)

    def _compared(self, event: Event, backup: LiveBackup, restored: str) -> Event:
        original = self.world.snapshot(backup.snapshot_uuid)
        if original is None:
            message = f"the snapshot that {backup.backup_id} was made from is gone"
            return dataclasses.replace(event, expected=False, message=message)
        fidelity = Fidelity.EXACT if backup.parent is None else Fidelity.INCREMENTAL
        path = self.world.target.mount_point / restored
        differences = compare_trees(original, path, fidelity=fidelity)
        if differences:
            self._keep(self.world.directory / f"differences-{backup.backup_id}.txt", differences)
        shown = "; ".join(map(str, differences[:_SHOWN_DIFFERENCES]))
        return dataclasses.replace(
            event,
            identical=not differences,
            message=f"{backup.backup_id}: {shown or 'identical'}",
        )

    def _keep(self, path: Path, differences: list[Difference]) -> None:
        path.write_text("".join(f"{each}\n" for each in differences), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Activity:
    """One row of the schedule; seconds at a pace of 1 in a soak of five minutes or more."""

    name: str
    lane: Lane
    first_s: float
    every_s: float
    act: Callable[[Player], None]
    final: bool = True


ACTIVITIES: Final = (
    Activity("change", Lane.WRITER, 0, 5, Player.change),
    Activity("backup", Lane.BACKUP, 0, 10, Player.backup),
    Activity("prune", Lane.BACKUP, 30, 40, Player.prune),
    Activity("verify quick", Lane.CHECK, 12, 25, Player.verify_quick),
    Activity("verify data", Lane.CHECK, 40, 90, Player.verify_data),
    Activity("thaw", Lane.CHECK, 20, 45, Player.thaw),
    Activity("restore", Lane.RESTORE, 15, 30, Player.restore),
    Activity("fault", Lane.FAULT, 20, 14, Player.fault, final=False),
)
"""`final` ones are done once more, without faults, when the time is up."""

"""When and how a command may use this machine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.config.choices import OnBattery, Priority
from btrfs_to_s3.errors import InterruptedRunError, SourceError
from btrfs_to_s3.host.awake import awake
from btrfs_to_s3.host.power import power_now
from btrfs_to_s3.host.priority import idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from btrfs_to_s3.config.effective import MachinePolicy
    from btrfs_to_s3.host.power import Power
    from btrfs_to_s3.ports import Cancellation, Reporter

_POLL_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run asks of its machine, and how the machine answers."""

    reporter: Reporter
    cancel: Cancellation
    power: Callable[[], Power] = power_now
    poll_s: float = _POLL_S


@contextlib.contextmanager
def under(
    policy: MachinePolicy, surroundings: Surroundings, activity: str, *, moves_data: bool
) -> Iterator[None]:
    """The block runs as the policy has it: with which priority, and on power or not.

    ``activity`` says what it is, for people. While it ``moves_data`` the machine does not go to
    sleep. Power is asked for at the beginning only: a run that has begun goes on when the machine
    is disconnected, since stopping would not give back what it used. ``SourceError`` where the
    policy is to skip; ``InterruptedRunError`` when stopped while it waits.
    """
    with contextlib.ExitStack() as stack:
        if policy.priority is Priority.IDLE:
            stack.enter_context(idle(surroundings.reporter.warn))
        await_power(policy.on_battery, surroundings)
        if moves_data:
            stack.enter_context(awake(activity))
        yield


def await_power(on_battery: OnBattery, surroundings: Surroundings) -> None:
    """Come back once the run may begin; says once why it does not yet."""
    if on_battery is OnBattery.RUN:
        return
    power = surroundings.power()
    if not power.on_battery:
        return
    state = "on battery" if power.percent is None else f"on battery ({power.percent:.0f} %)"
    if on_battery is OnBattery.SKIP:
        raise SourceError(
            f"nothing was done: the machine is {state}, and on_battery is skip",
            hint="connect it to power, or let this run go on with --on-battery run",
        )
    reporter = surroundings.reporter
    reporter.note(f"waiting for power: the machine is {state}, and on_battery is wait")
    while power.on_battery:
        reporter.activity("waiting for power")
        if surroundings.cancel.wait(surroundings.poll_s):
            raise InterruptedRunError(
                "stopped while waiting for power", hint="nothing was begun; run it again"
            )
        power = surroundings.power()
    reporter.note("the machine is connected to power again: the run begins")

"""The service is away: the outage gate opens, one probe at a time asks, and work goes on."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faultproxy.rules import internal_error, slow_down
from integration_tests.harness.faults.ground import MIB
from integration_tests.harness.faults.retries import CHUNKS
from integration_tests.harness.machine.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration_tests.harness.faultproxy.proxy import Request
    from integration_tests.harness.faults.ground import Ground

WORKERS: Final = 4
THRESHOLD: Final = 5
_SETTLED_S: Final = 0.4
"""After the gate opened: the requests that were under way are answered."""
_SHORTEST_GAP_S: Final = 0.45
"""A probe waits at least half of 1 s."""
_OPENED: Final = "warning: no usable answer"
_CLOSED: Final = re.compile(r"warning: the service answers .*after")


def gate_opens(ground: Ground) -> None:
    """Four workers fail; then nobody asks but single probes, until the patience is over."""
    case = ground.case("gate", size_bytes=8 * MIB)
    with ground.scripted(slow_down(operation="PutObject", path=CHUNKS, first=3)) as traffic:
        run = case.backup(concurrency=str(WORKERS), retry_attempts="6", outage_patience="6s")
        failed = traffic.hit()
    case.check_exit(run, 4, "503 for longer than the patience")
    ground.check(_OPENED in run.err, "the outage is told", run.err)
    ground.check("at the outage gate" in run.err, "the workers wait", run.err)
    probes = _after_opening(failed)
    # At 0.5 to 1 s, then 1 to 2 s, 2 to 4 s and 4 to 8 s after each other.
    ground.check(2 <= len(probes) <= 4, "few probes", len(probes))  # noqa: PLR2004
    gaps = [later.time - earlier.time for earlier, later in pairwise(probes)]
    # The first of these gaps is at least 1 s, and each at least twice the one before.
    rare = all(gap > 2 * _SHORTEST_GAP_S * 2**number for number, gap in enumerate(gaps))
    ground.check(rare, "one probe at a time, and ever more rarely", gaps)
    late = [each for each in failed if each not in probes]
    most = THRESHOLD + WORKERS - 1
    ground.check(THRESHOLD <= len(late) <= most, "no request but those under way", len(late))
    case.check_visible(0, "503 for longer than the patience")
    case.check_done(case.backup(), "with the service back")
    case.check_restores("with the service back")


def gate_recovers(ground: Ground) -> None:
    """A probe that is answered closes the gate; the backup goes on as if nothing had been."""
    case = ground.case("recovery", size_bytes=8 * MIB)
    with (
        ground.scripted(internal_error(operation="PutObject", path=CHUNKS, first=3)) as traffic,
        case.started(*case.arguments, concurrency=str(WORKERS)) as started,
    ):
        wait_until(lambda: _after_opening(traffic.hit()) or not started.running)
        ground.check(started.running, "the run waits for the service")
        failed = traffic.hit()
        ground.proxy.set_rules()
        run = started.finish()
        good = [each for each in traffic.requests("PutObject") if not each.rule]
    case.check_done(run, "the service answers again")
    ground.check(_CLOSED.search(run.err), "the recovery is told", run.err)
    _check_half_open(ground, failed, [each for each in good if CHUNKS in each.path])
    case.check_visible(1, "after the outage")
    case.check_restores("after the outage")


def _check_half_open(ground: Ground, failed: Sequence[Request], good: Sequence[Request]) -> None:
    after = [each for each in good if each.time > failed[-1].time]
    if not ground.check(len(after) > 1, "the rest is sent afterwards", len(after)):
        return
    first, second = after[0], after[1]
    waited = first.time - failed[-1].time
    ground.check(waited > _SHORTEST_GAP_S, "the next request is a probe", waited)
    ended = first.time + (first.seconds or 0.0)
    ground.check(second.time >= ended - 0.05, "the others wait for its answer", second.time - ended)


def _after_opening(failed: Sequence[Request]) -> list[Request]:
    """The failed requests that began when those under way at the opening had ended."""
    if len(failed) < THRESHOLD:
        return []
    opened = failed[THRESHOLD - 1].time
    return [request for request in failed if request.time > opened + _SETTLED_S]

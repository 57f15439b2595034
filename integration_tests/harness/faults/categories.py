"""The categories of faults."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faults.cleanup import cleanup
from integration_tests.harness.faults.damage import damage
from integration_tests.harness.faults.links import rate_limit, timeouts
from integration_tests.harness.faults.logs import logs
from integration_tests.harness.faults.outages import gate_opens, gate_recovers
from integration_tests.harness.faults.retries import exhausted, final, happy_path, transient
from integration_tests.harness.scripting.tally import Row, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from integration_tests.harness.faults.ground import Ground

CATEGORIES: Final[Mapping[str, Callable[[Ground], None]]] = {
    "happy-path": happy_path,
    "transient": transient,
    "exhaustion": exhausted,
    "non-retriable": final,
    "gate-opens": gate_opens,
    "gate-recovers": gate_recovers,
    "rate-limit": rate_limit,
    "timeouts": timeouts,
    "cleanup": cleanup,
    "damaged-data": damage,
    "logs": logs,
}
"""By name, in order; `logs` looks at the output of all before it."""


def run_category(ground: Ground, name: str, body: Callable[[Ground], None]) -> Row:
    """Run one; an exception in it is a failed check, and ends only this one."""
    outer, started = ground.check, time.monotonic()
    tally = Tally(outer)
    ground.check = tally
    try:
        body(ground)
    except Exception as error:  # noqa: BLE001 - the other categories have their turn
        tally(passed=False, text=f"{name} runs to its end", detail=repr(error))
        (ground.logs / f"{name}-traceback.log").write_text(traceback.format_exc())
    finally:
        ground.check = outer
        ground.proxy.set_rules()
    return Row(name, tally.passed, tally.failed, time.monotonic() - started)

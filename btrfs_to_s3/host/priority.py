"""How much of a busy machine this process takes."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LAST: Final = 19
"""The niceness that takes least (nice(2))."""


@contextlib.contextmanager
def idle(warn: Callable[[str], None]) -> Iterator[None]:
    """Within the block the processor and the disk are for others first.

    Niceness 19 and the I/O class ``idle`` (ioprio_set(2)) belong to the thread that enters and are
    inherited by the threads and processes it starts from then on, so enter it before those.
    What the machine refuses is told ``warn`` and nothing else comes of it. Leaving gives back
    what it may: only root can lower a niceness.
    """
    process = psutil.Process(os.getpid())
    with contextlib.ExitStack() as undo:
        try:
            before = process.nice()
            process.nice(_LAST)
            undo.callback(_quietly, lambda: process.nice(before))
        except (psutil.Error, OSError) as error:
            warn(f"the niceness could not be set, so the run takes its full share: {error}")
        try:
            io_before = process.ionice()
            process.ionice(psutil.IOPRIO_CLASS_IDLE)
            undo.callback(_quietly, lambda: _give_back(process, io_before.ioclass, io_before.value))
        except (psutil.Error, OSError) as error:
            warn(f"the I/O class could not be set, so the run takes its full share: {error}")
        yield


def _give_back(process: psutil.Process, kind: int, level: int) -> None:
    """The I/O class and, where that has one, its level."""
    has_level = kind in {psutil.IOPRIO_CLASS_RT, psutil.IOPRIO_CLASS_BE}
    process.ionice(kind, level if has_level else None)


def _quietly(undo: Callable[[], object]) -> None:
    with contextlib.suppress(psutil.Error, OSError):
        undo()

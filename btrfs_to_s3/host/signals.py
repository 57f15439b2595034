"""Signals that ask a run to stop cleanly."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, Final, Self

from btrfs_to_s3.stream.cancel import LinkedCancellation

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SLICE_S: Final = 1.0


class StopSignal:
    """Implements ``ports.Cancellation``; set by SIGINT, SIGTERM or SIGHUP while entered.

    The first signal asks for a clean stop. SIGINT once a stop was asked for raises
    ``KeyboardInterrupt`` at once: somebody pressed Ctrl-C again. A signal that was ignored when
    the run started stays ignored (nohup). Enter it in the main thread (signal(7) handlers are
    Python's main thread's); leaving it restores the previous handlers.
    """

    def __init__(self) -> None:
        self._cancellation = LinkedCancellation()
        self._received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._waits = 0

    @property
    def received(self) -> signal.Signals | None:
        """The first signal that asked to stop."""
        return self._received

    def is_set(self) -> bool:
        """Whether a signal has asked to stop."""
        return self._cancellation.is_set()

    @property
    def waits(self) -> int:
        """Grows while somebody waits on purpose, here or on what is linked to this."""
        return self._waits

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``; True as soon as a signal asks to stop."""
        deadline = time.monotonic() + timeout_s
        while True:
            # Threads may lose each other's count, which changes nothing: it grows all the same.
            self._waits += 1
            left_s = deadline - time.monotonic()
            if self._cancellation.wait(min(left_s, _SLICE_S)):
                return True
            if left_s <= _SLICE_S:
                return False

    def __enter__(self) -> Self:
        """Install the handlers."""
        for number in _STOPPING:
            previous = signal.getsignal(number)
            if previous is not signal.SIG_IGN:
                self._previous[number] = previous
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the handlers that were there before."""
        while self._previous:
            number, previous = self._previous.popitem()
            # None: installed by C code, which Python cannot put back.
            signal.signal(number, signal.SIG_DFL if previous is None else previous)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._received is None:
            self._received = signal.Signals(number)
        self._cancellation.set()


def outlive_stops() -> None:
    """From now on a stop that is asked for changes nothing: how the program ends is settled.

    Python takes a moment to end, and a service that SIGTERM ends then counts as stopped cleanly
    (systemd.service(5), SuccessExitStatus=), also when its run had failed. Ctrl-C still ends it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

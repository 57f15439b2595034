"""A store that stops the program at a chosen write: before it, or after it with its answer lost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.wiring.application import Application

WRITES = frozenset(
    {"put", "create_upload", "upload_part", "complete_upload", "abort_upload", "delete"}
)


class Moment(Enum):
    """On which side of the write the program stops."""

    BEFORE = "before"
    AFTER = "after"


class StoppedError(BaseException):
    """Stands for the power cut: nothing in the program catches it."""


@dataclass(slots=True)
class StopAt:
    """Stop at write number ``at`` (from 0); counts every write."""

    at: int
    moment: Moment = Moment.BEFORE
    writes: int = 0
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """The same write, perhaps cut short. Once stopped, nothing is written any more."""

        def cut(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any write's
            with self.lock:
                number, self.writes = self.writes, self.writes + 1
                here = number == self.at
                if self.stopped or (here and self.moment is Moment.BEFORE):
                    self.stopped = True
                    raise StoppedError
                self.stopped = self.stopped or here
            result = write(*arguments, **named)
            if here:
                raise StoppedError
            return result

        return cut

    def install(self, application: Application) -> None:
        """Put it around an application's store."""
        application.store = StoppingStore(application.store, self)  # type: ignore[assignment]
        application.access.store = application.store


class StoppingStore:
    """Everything the store can do; its writes go through a ``StopAt``."""

    def __init__(self, store: Any, stop: StopAt) -> None:  # noqa: ANN401 - any store
        self._store = store
        self._stop = stop

    def bound(self, cancel: Any) -> StoppingStore:  # noqa: ANN401 - any cancellation
        """The same, bound."""
        return StoppingStore(self._store.bound(cancel), self._stop)

    def for_data_class(self, data_class: str) -> StoppingStore:
        """The same, for another class."""
        return StoppingStore(self._store.for_data_class(data_class), self._stop)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        found = getattr(self._store, name)
        return self._stop.around(found) if name in WRITES else found

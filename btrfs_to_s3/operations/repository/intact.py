"""Reading again what arrived damaged: only what is so every time is damaged where it is stored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from btrfs_to_s3.errors import IntegrityError, MissingObjectError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

READS: Final = 3
_log = logging.getLogger(__name__)


def read_intact(read: Callable[[], T]) -> T:
    """What ``read`` returns, which fetches and checks; ``IntegrityError`` when no read is intact.

    TCP's checksum lets some damage through, memory on the way makes more. An object that is
    missing is not asked for again.
    """
    for left in reversed(range(READS)):
        try:
            found = read()
        except MissingObjectError:
            raise
        except IntegrityError as error:
            if not left:
                raise
            _log.info("%s; it is read again", error)
            continue
        if left < READS - 1:
            _log.warning(
                "what arrived damaged is intact when read again: the network or this machine's "
                "memory damages data"
            )
        return found
    raise AssertionError("the last read returns or raises")

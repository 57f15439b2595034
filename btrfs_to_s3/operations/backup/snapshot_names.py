"""What this program calls its snapshots: ``<source-id>.<time>``, ``-2`` and so on in one second.

The source id is random per repository, so two repositories never take each other's snapshots for
their own. The name says only whose a snapshot is; what it is, its uuid says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.model.subvolume import Subvolume


def new_name(source_id: SourceId, now: datetime, taken: Collection[str]) -> str:
    """A name for a snapshot taken now that none of ``taken`` has.

    The number is higher than all of this second's, not just a free one: the name of a snapshot
    that was deleted since would be received beside that one's backup.
    """
    base = f"{source_id}.{now:%Y%m%dT%H%M%SZ}"
    same = (re.fullmatch(rf"{re.escape(base)}(?:-(\d+))?", name) for name in taken)
    numbers = [int(match[1] or 1) for match in same if match is not None]
    return f"{base}-{max(numbers) + 1}" if numbers else base


def is_named_for(source_id: SourceId, snapshot: Subvolume) -> bool:
    """Whether a subvolume bears a name that this program gives to snapshots of the source.

    A prefix would not do: a label may hold a full stop, and so begin like another source's id.
    """
    pattern = rf"{re.escape(str(source_id))}\.\d{{8}}T\d{{6}}Z(-\d+)?"
    return re.fullmatch(pattern, snapshot.path.rpartition("/")[2]) is not None

"""What is told of a chain that cannot be read now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.errors import NotReadableYetError
from btrfs_to_s3.format.jsonio import encode_time
from btrfs_to_s3.plan.restore.thaw_state import ThawState

if TYPE_CHECKING:
    from btrfs_to_s3.plan.restore.thaw import ThawPlan


def not_ready_error(plan: ThawPlan, address: str) -> NotReadableYetError:
    """Why ``address`` cannot be restored now, until when that will be so, and both remedies."""
    frozen, thawing = plan.count(ThawState.FROZEN), plan.count(ThawState.THAWING)
    parts = [f"{frozen} must be thawed first"] if frozen else []
    parts += [f"{thawing} {'is' if thawing == 1 else 'are'} being thawed"] if thawing else []
    message = f"of {plan.object_count} objects of {address}, {' and '.join(parts)}"
    expected = None if plan.expected is None else encode_time(plan.expected)
    if expected is not None:
        message += f", until {expected} at the latest"
    ask = "" if not frozen else f"'btrfs-to-s3 thaw {address} request', then "
    return NotReadableYetError(
        message,
        hint="'btrfs-to-s3 restore --wait' asks for what is missing, waits and restores; or "
        f"{ask}'btrfs-to-s3 thaw {address} wait', then restore",
        object_count=plan.object_count,
        frozen_count=frozen,
        thawing_count=thawing,
        expected_time=expected,
    )

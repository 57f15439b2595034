"""Results about thaws, made of values: what golden files are rendered from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.rendering import thaw as thaw_rendering
from btrfs_to_s3.cli.rendering.thaw import ShownThaw
from btrfs_to_s3.errors import NotReadableYetError
from btrfs_to_s3.model.storage_class import Tier, storage_class
from btrfs_to_s3.plan.restore.thaw import Asked, ThawTerms, download_rate, expected_end, plan_thaw
from btrfs_to_s3.plan.restore.thaw_state import Group, LinkThaw, ThawState
from tests.plan.build import SOURCE_ID, chain
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from tests.cli.result_values import Rendering

MIB = 1024**2
FULL, INCREMENT = chain(2)


def shown(state: ThawState, asked: datetime | None = None) -> ShownThaw:
    """A full backup in the archive, in that state, and an increment that is not archived.

    The full one is not needed where it is readable.
    """
    deep, standard = storage_class("DEEP_ARCHIVE"), storage_class("STANDARD")
    archived = Group("DEEP_ARCHIVE", deep, state, 20, 2048 * MIB, None)
    plain = Group("STANDARD", standard, ThawState.READABLE, 3, 384 * MIB, None)
    links = (
        LinkThaw(FULL.backup_id, 5120 * MIB, (archived,)),
        LinkThaw(INCREMENT.backup_id, 700 * MIB, (plain,)),
    )[state is ThawState.READABLE :]
    records = {}
    expected = None
    if asked is not None:
        records[FULL.backup_id] = Asked(asked, Tier.STANDARD, 2)
        expected = expected_end(links, records, asked)
    terms = ThawTerms(Tier.STANDARD, None, download_rate(None, None), PRICES)
    doubts = PRICES.doubts("there", None)
    return ShownThaw(plan_thaw(links, terms, expected), records, PRICES, doubts)


def plan() -> Rendering:
    return _action("plan", shown(ThawState.FROZEN), None)


def status() -> Rendering:
    asked = datetime(2026, 11, 21, 10, tzinfo=UTC)
    error = NotReadableYetError(
        "of 23 objects of data-1f2e3d4c, 20 are being thawed",
        hint="wait",
        object_count=23,
        frozen_count=0,
        thawing_count=20,
        expected_time="2026-11-21T22:00:01Z",
    )
    return _action("status", shown(ThawState.THAWING, asked), Failure.of(error))


def _action(action: str, thaw: ShownThaw, failure: Failure | None) -> Rendering:
    document: dict[str, object] = {
        "repository": "s3://bucket/pre",
        "source_id": str(SOURCE_ID),
        "backup_id": str(INCREMENT.backup_id),
        "action": action,
        "target": None,
        **thaw_rendering.document(thaw),
        "requests": {"put": 0, "get": 5, "list": 4, "head": 0, "delete": 0, "thaw": 20},
    }
    return documents.with_failure(document, failure), thaw_rendering.text(thaw)

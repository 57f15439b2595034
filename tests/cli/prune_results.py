"""Results about prunes, made of values: what golden files are rendered from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import prune as prune_rendering
from btrfs_to_s3.cli.rendering.prune import Priced
from btrfs_to_s3.model.objects import DeleteFailure, ListedObject, UnfinishedUpload
from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.operations.prune.orphans import OrphanRemovals, OrphanResult
from btrfs_to_s3.operations.prune.prune import (
    KeepWishes,
    PruneResult,
    RepositoryPlan,
    SourcePlan,
    SourceResult,
)
from btrfs_to_s3.plan.retention.early import Minimum
from btrfs_to_s3.plan.retention.orphans import LostUpload, Orphan, OrphanPlan
from btrfs_to_s3.plan.retention.retention import plan_prune
from tests.cli.result_values import FIRST, FULL, HOME, MIB, REQUESTS, SECOND, URL
from tests.plan.build import SOURCE_ID, T0, days, head
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from tests.cli.result_values import Rendering


def prune_plan() -> RepositoryPlan:
    """What no rule keeps of a source, what is left of it, and what nobody needs."""
    alone = replace(FULL, backup_id=replace(FULL.backup_id, tag="0ddba11c"), sequence=-9)
    cold = replace(
        alone, backup_id=replace(alone.backup_id, tag="c01dc01d"), data_class="DEEP_ARCHIVE"
    )
    on_alone = replace(
        FIRST,
        backup_id=replace(FIRST.backup_id, tag="0ddc01d0"),
        parent=alone.backup_id,
        data_class="DEEP_ARCHIVE",
        stored_size_bytes=100 * 1024**3,
    )
    old = [replace(entry, sequence=-number) for number, entry in enumerate((on_alone, cold), 1)]
    pruned = head(alone, *old, FULL, FIRST, SECOND)
    keep = KeepPolicy(last=1)
    decided = plan_prune(pruned, keep, T0 + days(4), minimum=Minimum(PRICES))
    source = SourcePlan(KeepWishes(SOURCE_ID, keep), pruned, decided)
    listed = ListedObject("chunks/x/00000000-aaaaaaaa.zst", 3 * MIB, "e", T0, "STANDARD")
    upload = UnfinishedUpload("chunks/x/00000001-aaaaaaaa.zst", "u1", T0)
    reason = "its backup was never committed"
    orphans = OrphanRemovals(
        OrphanPlan(
            (Orphan(listed, reason), Orphan(listed, reason)),
            (LostUpload(upload, reason),),
            (),
            (((HOME, FULL.backup_id), "it is younger than 7 days"),),
        ),
        (),
        ((HOME, "the head was rolled back"),),
    )
    return RepositoryPlan((source,), orphans)


def prune_dry_run() -> Rendering:
    planned = prune_plan()
    return (
        prune_rendering.document(URL, planned, None, {}, REQUESTS, Priced(PRICES)),
        prune_rendering.text(planned, None, ("laptop/data",), REQUESTS, Priced(PRICES)),
    )


def prune() -> Rendering:
    planned = prune_plan()
    gone = planned.sources[0].plan
    assert gone is not None
    refused = DeleteFailure("chunks/x/00000000-aaaaaaaa.zst", "AccessDenied", "locked until 2027")
    done = PruneResult(
        (
            SourceResult(
                SOURCE_ID,
                tuple(entry.backup_id for entry in gone.removals),
                (FIRST.backup_id,),
                gone.freed_bytes,
                (refused,),
            ),
        ),
        OrphanResult(2, 6 * MIB, 1),
        timedelta(seconds=3),
    )
    return (
        prune_rendering.document(URL, planned, done, {}, REQUESTS, Priced(PRICES)),
        prune_rendering.text(planned, done, (), REQUESTS, Priced(PRICES)),
    )

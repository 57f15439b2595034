"""A bucket's lifecycle rules: set those that a repository should have, keeping all others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import RepositoryError
from btrfs_to_s3.plan.lifecycle import keeps_foreign, propose

if TYPE_CHECKING:
    from btrfs_to_s3.plan.lifecycle import LifecycleRules, Proposal
    from btrfs_to_s3.ports import Bucket


def apply_rules(bucket: Bucket, seen: LifecycleRules) -> tuple[LifecycleRules, Proposal]:
    """Set what ``propose`` proposes for the rules that are there now; what is there then.

    Read again just before, since S3 replaces the whole configuration and takes no condition, and
    afterwards: ``RepositoryError`` when the service did not keep every rule.
    """
    before = replace(seen, lifecycle=bucket.lifecycle())
    proposal = propose(before)
    if not proposal.changed:
        return before, proposal
    bucket.replace_lifecycle(proposal.lifecycle)
    after = replace(seen, lifecycle=bucket.lifecycle())
    present = {rule.get("ID") for rule in after.lifecycle.rules}
    lost = [name for name in proposal.changed if name not in present]
    if lost or not keeps_foreign(before.lifecycle, after.lifecycle, before):
        raise RepositoryError(
            "the lifecycle rules are not what was set: "
            + (f"missing: {', '.join(lost)}" if lost else "rules of others changed or are gone"),
            hint="somebody may have set others at the same moment: compare what "
            f"'aws s3api get-bucket-lifecycle-configuration --bucket {bucket.name}' shows",
            before=[str(rule) for rule in before.lifecycle.rules],
        )
    return after, proposal

"""Results about costs, made of values: what golden files are rendered from."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.rendering import compact as compact_rendering
from btrfs_to_s3.cli.rendering import cost as cost_rendering
from btrfs_to_s3.cli.rendering import documents, simulation
from btrfs_to_s3.cli.rendering.simulation import SimulatedSource
from btrfs_to_s3.model.backup import RequestRecord
from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy, Strategy
from btrfs_to_s3.operations.backup.compact import SourceDecision
from btrfs_to_s3.plan.backup.compaction import Compaction, Course
from btrfs_to_s3.plan.cost.of_plan import Form
from btrfs_to_s3.plan.cost.rates import Rates
from btrfs_to_s3.plan.cost.report import CostReport, source_cost
from btrfs_to_s3.plan.cost.restore import Line
from btrfs_to_s3.plan.cost.simulate import Scenario, simulate
from tests.cli.result_values import DAMAGED, FIRST, FULL, HOME, MIB, REQUESTS, SECOND, URL
from tests.plan.build import SOURCE_ID, T0, days, head
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from tests.cli.result_values import Rendering


def cost() -> Rendering:
    cold = tuple(
        replace(each, data_class="DEEP_ARCHIVE", chunk_count=count)
        for each, count in zip((FULL, FIRST, SECOND), (4000, 1, 1), strict=True)
    )
    full = replace(cold[0], stored_size_bytes=1000 * 1024 * MIB)
    odd = replace(head(replace(FULL, data_class="FROSTY")), source_id=HOME)
    line, now = Line(), T0 + days(60)
    made = replace(cold[2], finished=now - days(1), requests=RequestRecord(REQUESTS, "STANDARD", 1))
    report = CostReport(
        (
            source_cost(PRICES, head(full, cold[1], made), line, now),
            source_cost(PRICES, odd, line, now),
        )
    )
    doubts = PRICES.doubts("there", None)
    failures = {str(HOME): Failure.of(DAMAGED)}
    return (
        documents.with_failure(
            cost_rendering.document(URL, report, PRICES, doubts, line, failures),
            Failure.of(DAMAGED),
        ),
        cost_rendering.text(report, PRICES, doubts, line),
    )


def plan_simulate() -> Rendering:
    rates = Rates(1000 * 1024 * MIB, 5 * 1024 * MIB, Decimal("0.5"), days(1))
    form = Form("DEEP_ARCHIVE", chunk_size_bytes=256 * MIB, part_size_bytes=16 * MIB)
    keep = KeepPolicy(last=7, monthly=12)
    scenario = Scenario(rates, ChainPolicy(), keep, form, T0, 365)
    strategies = tuple(simulate(PRICES, scenario, each, Line()) for each in Strategy)
    source = SimulatedSource("data", "DEEP_ARCHIVE", rates, Strategy.TREE, strategies)
    doubts = PRICES.doubts("there", None)
    return (
        simulation.document((source,), days(365), Line(), PRICES, doubts),
        simulation.text((source,), days(365), Line(), PRICES, doubts),
    )


def compact() -> Rendering:
    go_on = Course(Decimal("12.5"), Decimal("0.25"), Decimal(0), Decimal(40), 61)
    anew = Course(Decimal(15), Decimal("1.5"), Decimal("0.5"), Decimal(10), 1)
    decisions = (
        SourceDecision(
            "data",
            SOURCE_ID,
            Compaction(
                worthwhile=True,
                reason="a new full backup pays: …",
                links=60,
                go_on=go_on,
                anew=anew,
            ),
        ),
        SourceDecision(
            "var",
            None,
            Compaction(worthwhile=False, reason="there is no backup yet: the first is full"),
        ),
    )
    doubts = PRICES.doubts("there", None)
    run = documents.of_outcomes(URL, [], {}, (), None, dry_run=False)
    return (
        compact_rendering.document(URL, decisions, PRICES, doubts, {}, force=False, dry_run=False)
        | {"sources": run["sources"], "not_attempted": run["not_attempted"]},
        compact_rendering.text(decisions, PRICES, doubts, force=False, dry_run=False),
    )

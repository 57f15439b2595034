"""When a new full backup pays: every expected figure is worked out beside it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btrfs_to_s3.model.policy import ChainPolicy, FullBackups, KeepPolicy, Strategy
from btrfs_to_s3.plan.backup.compaction import Compaction, decide_compaction
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.economy import Economy
from btrfs_to_s3.plan.backup.facts import BackupWishes
from btrfs_to_s3.plan.cost.of_plan import Form
from btrfs_to_s3.plan.cost.restore import Line
from tests.plan.build import T0, days, entry, head, snapshot_of, source
from tests.plan.planning import plan
from tests.plan.prices import GB, PRICES

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import HeadEntry

FORM = Form("STANDARD", chunk_size_bytes=GB, part_size_bytes=GB)
COLD = replace(FORM, data_class="GLACIER")
OFTEN = Economy(PRICES, KeepPolicy(), FORM, Line(GB, GB), horizon=days(2), restores_a_year=365)
"""Two days with a restore on each."""


def _chain(links: int, data_class: str = "STANDARD") -> tuple[HeadEntry, ...]:
    """A full backup of 400 GB of day 1, and an increment of 100 GB on each day after it."""
    made: list[HeadEntry] = []
    for number in range(1, links + 1):
        size = 400 if number == 1 else 100
        one = entry(number, made[-1] if made else None, raw=size * GB, stored=size * GB)
        made.append(replace(one, chunk_count=size, data_class=data_class))
    return tuple(made)


def _exact(amount: Decimal) -> Decimal:
    """Without what a year's parts leave in the last digits."""
    return amount.quantize(Decimal("1e-9")).normalize()


FIVE = head(*_chain(5))
NOW = T0 + days(6)
POLICY = ChainPolicy()


def test_with_many_restores_a_full_backup_pays() -> None:
    # Going on: the chain has 800 GB; today's increment makes it 900, tomorrow's 1000.
    #   storage (900 + 1000) x 0.03 / 30 = 1.9
    #   PUTs 2 x (100 + 3) x 5 / 1000 = 1.03
    #   restores: egress (900 - 100) x 0.09 = 72 and (1000 - 100) x 0.09 = 81;
    #   GETs 2 a GB: 1800 x 0.4 / 1000 = 0.72 and 0.8; together 154.52
    # Anew: 800 + 400 = 1200 GB today, 1300 tomorrow; the new chain has 400, then 500.
    #   storage (1200 + 1300) x 0.03 / 30 = 2.5
    #   PUTs (400 + 3 + 100 + 3) x 5 / 1000 = 2.53
    #   restores: 300 x 0.09 = 27, 400 x 0.09 = 36; GETs 0.32 and 0.4; together 63.72
    found = decide_compaction(FIVE, POLICY, OFTEN, NOW)
    assert found.worthwhile
    assert found.links == 5
    assert found.go_on is not None
    assert found.anew is not None
    go_on, anew = found.go_on, found.anew
    assert (go_on.storage, go_on.puts, _exact(go_on.restores)) == (
        Decimal("1.9"), Decimal("1.03"), Decimal("154.52"),
    )  # fmt: skip
    assert (anew.storage, anew.puts, _exact(anew.restores)) == (
        Decimal("2.5"), Decimal("2.53"), Decimal("63.72"),
    )  # fmt: skip
    assert (go_on.links, anew.links) == (6, 1)
    assert found.reason == (
        "a new full backup pays: over 2 days with 365 restore(s) a year it comes to 68.75 "
        "(2.50 + 2.53 + 0.00 + 63.72) USD, going on with the chain of 5 to 157.45 "
        "(1.90 + 1.03 + 0.00 + 154.52) USD (storage, requests, early deletion, restores; prices "
        "of Example S3 here, 2026-11-01, USD)"
    )


def test_with_few_restores_it_does_not() -> None:
    # A restore a year: 154.52 / 365 = 0.42 and 63.72 / 365 = 0.17 instead; 3.35 against 5.20.
    found = decide_compaction(FIVE, POLICY, replace(OFTEN, restores_a_year=1), NOW)
    assert not found.worthwhile
    assert "does not pay" in found.reason
    assert "it comes to 5.20 (2.50 + 2.53 + 0.00 + 0.17) USD" in found.reason
    assert "chain of 5 to 3.35 (1.90 + 1.03 + 0.00 + 0.42) USD" in found.reason


def test_the_old_chain_goes_when_no_rule_keeps_it_and_it_is_not_billed_on() -> None:
    # Keep the last alone: the new full backup of today frees the chain at once in STANDARD, so
    # (400 + 500) x 0.03 / 30 = 0.9 are paid; going on keeps it: (900 + 1000) x 0.03 / 30 = 1.9.
    keep = replace(OFTEN, keep=KeepPolicy(last=1))
    found = decide_compaction(FIVE, POLICY, keep, NOW)
    assert found.go_on is not None
    assert found.anew is not None
    assert (found.go_on.storage, found.anew.storage) == (Decimal("1.9"), Decimal("0.9"))
    # GLACIER bills the chain for 90 days all the same, so prune leaves it: (1200 + 1300) GB-days.
    cold = head(*_chain(5, "GLACIER"))
    found = decide_compaction(cold, POLICY, replace(keep, form=COLD), NOW)
    assert found.anew is not None
    overhead = (32 * Decimal("0.006") + 8 * Decimal("0.03")) / 1024**2
    expected = 2500 * (Decimal("0.006") + overhead) / 30
    assert abs(found.anew.storage - expected) < Decimal("1e-15")
    assert found.anew.early == 0


def test_a_full_backup_that_the_policy_wants_anyway_changes_nothing() -> None:
    # The chain has all the links it may: going on is a full backup too.
    found = decide_compaction(FIVE, ChainPolicy(max_chain=5), OFTEN, NOW)
    assert found.go_on == found.anew
    assert not found.worthwhile


@pytest.mark.parametrize(
    ("backups", "told"),
    [
        ((), "there is no backup yet"),
        (_chain(1), "the newest backup is full"),
        (_chain(3)[1:], "nothing can be reckoned: backup"),
    ],
)
def test_there_is_not_always_something_to_decide(backups: tuple[HeadEntry, ...], told: str) -> None:
    found = decide_compaction(head(*backups), POLICY, OFTEN, NOW)
    assert not found.worthwhile
    assert told in found.reason
    assert decide_compaction(None, POLICY, OFTEN, NOW) == Compaction(
        worthwhile=False, reason="there is no backup yet: the first is full"
    )


def test_without_a_price_nothing_is_decided() -> None:
    odd = head(*_chain(5, "FROSTY"))
    found = decide_compaction(odd, POLICY, OFTEN, NOW)
    assert not found.worthwhile
    assert found.reason == "nothing can be reckoned: no price for FROSTY"


def test_the_tree_can_be_compacted_too() -> None:
    found = decide_compaction(FIVE, ChainPolicy(strategy=Strategy.TREE), OFTEN, NOW)
    assert found.go_on is not None
    assert found.anew is not None
    # On the full one of the year's first backup: two links.
    assert found.go_on.links == 2
    assert found.anew.links == 1


def _wishes(full: FullBackups, economy: Economy | None) -> BackupWishes:
    return BackupWishes(chain=ChainPolicy(full=full), economy=economy)


def _planned(wishes: BackupWishes) -> tuple[Decision, tuple[str, ...]]:
    newest = FIVE.newest
    assert newest is not None
    made = plan(FIVE, snapshot_of(newest), of=source(), wishes=wishes, now=NOW)
    return made.decision, made.reasons


def test_only_auto_lets_the_planner_ask_for_a_full_backup() -> None:
    assert _planned(_wishes(FullBackups.POLICY, OFTEN))[0] is Decision.INCREMENTAL
    decision, reasons = _planned(_wishes(FullBackups.AUTO, OFTEN))
    assert decision is Decision.FULL
    assert reasons[0].startswith("full: full is auto, and a new full backup pays: ")


def test_auto_says_why_it_goes_on() -> None:
    seldom = replace(OFTEN, restores_a_year=1)
    decision, reasons = _planned(_wishes(FullBackups.AUTO, seldom))
    assert decision is Decision.INCREMENTAL
    assert reasons[1].startswith("full is auto, but a new full backup does not pay: ")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_without_auto_no_economy_ever_changes_a_plan(restores: int, horizon: int) -> None:
    economy = replace(OFTEN, restores_a_year=restores, horizon=days(horizon))
    assert _planned(_wishes(FullBackups.POLICY, economy)) == _planned(
        _wishes(FullBackups.POLICY, None)
    )

"""What the planner reckons with when it weighs a new full backup against going on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from btrfs_to_s3.model.policy import KeepPolicy
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost.of_plan import Form
    from btrfs_to_s3.plan.cost.restore import Line

HORIZON: Final = timedelta(days=365)
"""How far ahead the two courses are reckoned."""
RESTORES_A_YEAR: Final = 1
"""How many complete restores of the newest backup are expected."""


@dataclass(frozen=True, slots=True)
class Economy:
    """What a decision is made with; ``restores_a_year`` are of the newest backup, complete."""

    prices: PriceList
    keep: KeepPolicy
    form: Form
    line: Line
    horizon: timedelta = HORIZON
    restores_a_year: int = RESTORES_A_YEAR

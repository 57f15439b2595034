"""Carrying out ``plan --simulate``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, overload

from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import simulation
from btrfs_to_s3.config.prices import load_prices
from btrfs_to_s3.config.units import parse_duration, parse_size
from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.model.policy import Strategy
from btrfs_to_s3.operations.repository.listing import Listing, read_heads
from btrfs_to_s3.operations.repository.prepare import prepare_to_look
from btrfs_to_s3.operations.simulate import NOTHING_MEASURED, GivenRates, measured, rates_of
from btrfs_to_s3.plan.cost.simulate import Scenario, simulate
from btrfs_to_s3.wiring.estimates import form_of, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config, SourceConfig
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost.rates import Measured

T = TypeVar("T")
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=20 * 365)


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """The options as given, None where they were not."""

    simulate: str | None
    full_size: str | None
    daily_change: str | None
    runs_per_day: int | None

    @property
    def span(self) -> timedelta | None:
        """How long to replay; None to plan. ``UsageError`` for what makes no sense."""
        if self.simulate is None:
            for name in ("full_size", "daily_change", "runs_per_day"):
                if getattr(self, name) is not None:
                    option = f"--{name.replace('_', '-')}"
                    raise UsageError(
                        f"{option} is for a simulation", hint="give --simulate with it, or leave it"
                    )
            return None
        span = _of_option("--simulate", self.simulate, parse_duration)
        if not _DAY <= span <= _LONGEST:
            raise UsageError(
                f"--simulate {self.simulate}: found {span.days} days; allowed: 1 day to 20 years"
            )
        return span

    @property
    def rates(self) -> GivenRates:
        """What is said of the sources."""
        return GivenRates(
            _of_option("--full-size", self.full_size, parse_size),
            _of_option("--daily-change", self.daily_change, parse_size),
            self.runs_per_day,
        )

    @property
    def need_no_repository(self) -> bool:
        """Whether the sizes are given, so that nothing is to be measured."""
        return self.full_size is not None and self.daily_change is not None


@overload
def _of_option(option: str, text: str, parse: Callable[[str], T]) -> T: ...
@overload
def _of_option(option: str, text: str | None, parse: Callable[[str], T]) -> T | None: ...
def _of_option(option: str, text: str | None, parse: Callable[[str], T]) -> T | None:
    """The value of an option; an error names it."""
    try:
        return None if text is None else parse(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the replays stand on: prices, why they may be wrong, and what was measured by label."""

    prices: PriceList
    doubts: tuple[str, ...]
    measured: Mapping[str, Measured]


def simulate_policies(
    session: Session,
    config: Config,
    sources: Sequence[SourceConfig],
    options: SimulationOptions,
    span: timedelta,
) -> Result:
    """Replay every source's policy with each strategy."""
    line = line_of(config)
    ground = _ground(session, config, sources, options)
    start = utc_now()
    replayed = []
    for each in sources:
        policy = each.policy
        seen = ground.measured.get(each.label, NOTHING_MEASURED)
        rates = rates_of(each.label, options.rates, seen)
        scenario = Scenario(
            rates, policy.chain, policy.keep, form_of(config, policy), start, span // _DAY
        )
        strategies = tuple(simulate(ground.prices, scenario, one, line) for one in Strategy)
        replayed.append(
            simulation.SimulatedSource(
                each.label, policy.storage_class, rates, policy.chain.strategy, strategies
            )
        )
    return Result(
        simulation.document(replayed, span, line, ground.prices, ground.doubts),
        simulation.text(replayed, span, line, ground.prices, ground.doubts),
    )


def _ground(
    session: Session, config: Config, sources: Sequence[SourceConfig], options: SimulationOptions
) -> _Ground:
    if options.need_no_repository:
        prices = load_prices(config.prices)
        return _Ground(prices, prices.doubts(config.region, config.endpoint_url), {})
    with session.application(config, looking=True) as app:
        services = app.services()
        listing = read_heads(services) if prepare_to_look(services) else Listing((), ())
        if listing.unreadable:
            raise listing.unreadable[0].error
        seen = {each.label: measured(services, listing, each.label) for each in sources}
        return _Ground(app.prices, app.price_doubts, seen)

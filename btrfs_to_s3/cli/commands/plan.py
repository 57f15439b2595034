"""``btrfs-to-s3 plan``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.commands.backup import failures_of, look, named_paths
from btrfs_to_s3.cli.commands.prune import errors_of, wishes_for, wishes_of
from btrfs_to_s3.cli.exit_codes import of_sources
from btrfs_to_s3.cli.options import CHAINS, REPOSITORY, WRITING, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.cli.rendering import plan_cost as plan_cost_rendering
from btrfs_to_s3.cli.rendering import prune as prune_rendering
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.cli.simulation_run import SimulationOptions, simulate_policies
from btrfs_to_s3.config.settings import KEEP, ORPHAN_AGE, PRICES
from btrfs_to_s3.config.sources import select_by_repository, select_sources
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.operations.backup.run import BackupOptions
from btrfs_to_s3.operations.prune import prune as pruning
from btrfs_to_s3.operations.repository.prepare import prepare_to_look
from btrfs_to_s3.wiring.estimates import form_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config, SourceConfig
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.operations.prune.prune import RepositoryPlan
    from btrfs_to_s3.wiring.application import Application


_ANY_SOURCE = "source"
"""What is replayed where no source is known: the policy that holds for any."""


@click.command(cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option(
    "--simulate",
    metavar="SPAN",
    help="Instead, replay the policy over this time, for example 2y. [default: plan]",
)
@click.option(
    "--full-size",
    metavar="SIZE",
    help="With --simulate: the size of a full backup. [default: as measured]",
)
@click.option(
    "--daily-change",
    metavar="SIZE",
    help="With --simulate: how much changes in a day. [default: as measured]",
)
@click.option(
    "--runs-per-day",
    metavar="N",
    type=click.IntRange(1, 96),
    help="With --simulate: how often a backup is made. [default: as measured, else once]",
)
@takes(*REPOSITORY, *WRITING, *CHAINS, KEEP, ORPHAN_AGE, PRICES)
@click.pass_obj
def plan(
    session: Session,
    *,
    paths: tuple[str, ...],
    simulate: str | None,
    full_size: str | None,
    daily_change: str | None,
    runs_per_day: int | None,
) -> Result:
    """Say what backup and prune would do now, why, and what it would cost.

    Nothing is written but a cache of what was read, and nothing but heads is read: objects of no
    backup, and a stored chain that lost some, are found by prune --dry-run and backup --dry-run.
    Without PATH, all sources of the configuration file are looked at. Ends as backup would: with 3
    when a source would be refused.

    With --simulate, say what each strategy would store, cost and ask of a restore over time.
    Sizes that are given are of what is stored; with both, nothing is read from the repository, and
    neither a repository nor a source is needed.
    """
    options = SimulationOptions(simulate, full_size, daily_change, runs_per_day)
    config, span = session.config(), options.span
    if span is not None and options.need_no_repository and not paths and not config.sources:
        paths = (_ANY_SOURCE,)
    if span is not None and options.need_no_repository and config.repository is None:
        selected = select_sources(config, paths, Path.cwd())
        return simulate_policies(session, config, selected, options, span)
    by_place = select_by_repository(config, paths, Path.cwd())
    sources = {place.name: selected for place, selected in by_place}

    def work(place: Config) -> Result:
        if span is not None:
            return simulate_policies(session, place, sources[place.name], options, span)
        return _plan(session, place, sources[place.name], given=bool(paths))

    return each(session, [place for place, _ in by_place], work)


COMMAND = plan


def _plan(
    session: Session, config: Config, sources: Sequence[SourceConfig], *, given: bool
) -> Result:
    """What backup and prune would do in one repository."""
    with session.application(config, still=True) as app:
        exists = prepare_to_look(app.services())
        options = BackupOptions(check_chain=False)
        outcomes = look(app, sources, options, exists=exists)
        prunes = pruning.RepositoryPlan((), None)
        if exists:
            prunes = _prunes(app, sources, outcomes, everything=not given)
        named = named_paths(sources, options, given=given)
        failures = failures_of(session, outcomes, named)
        pruned = {
            name: session.failure_of(error) for name, error in errors_of(prunes, None).items()
        }
        # A head that cannot be read is told once, as the failure of its source.
        others = {name: one for name, one in pruned.items() if not failures}
        failure = of_sources({**failures, **others}, len(sources))
        forms = {each.label: form_of(config, each.policy) for each in sources}
        priced = prune_rendering.Priced(app.prices, app.price_doubts)
        cost = plan_cost_rendering.reckon(app.prices, forms, outcomes, prunes, utc_now())
        costs = plan_cost_rendering.text(cost, app.prices, app.price_doubts)
        url, prices, doubts = app.store.url, app.prices, app.price_doubts

        def document() -> documents.Document:
            planned = documents.of_outcomes(url, outcomes, failures, (), None, dry_run=True)
            planned["prune"] = prune_rendering.decided(prunes, None, pruned)
            planned["cost"] = plan_cost_rendering.document(cost, prices, doubts)
            return documents.with_failure(planned, failure)

        def told() -> list[RenderableType]:
            return [
                *text.of_outcomes(outcomes, (), None, dry_run=True),
                *prune_rendering.plan_text(prunes, priced, with_prices=not costs),
                *costs,
            ]

        return Result(
            document,
            told,
            failure,
            [*failures.items(), *others.items()],
        )


def _prunes(
    app: Application,
    sources: Sequence[SourceConfig],
    outcomes: Sequence[SourceOutcome],
    *,
    everything: bool,
) -> RepositoryPlan:
    """What a prune would do: of these sources, or of all that this host may prune."""
    services = app.services()
    if everything:
        return pruning.plan(services, replace(wishes_of(app, app.config, None)[0], orphans=False))
    by_label = {source.label: source for source in sources}
    stored = {
        outcome.source_id: by_label[outcome.label]
        for outcome in outcomes
        if outcome.source_id is not None
    }
    return pruning.plan(services, replace(wishes_for(app, stored), orphans=False))

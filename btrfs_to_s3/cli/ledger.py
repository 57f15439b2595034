"""What a run works on and what became of it, gathered while it goes; its account at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.model.account import (
    Done,
    Figures,
    RepositoryAccount,
    RunAccount,
    SourceAccount,
    Trouble,
)
from btrfs_to_s3.model.identity import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.operations.backup.run import SourceOutcome


@dataclass(slots=True)
class Page:
    """One repository. ``labels`` are the sources to back up; ``ended`` says it had its turn."""

    config: Config
    labels: list[str] = field(default_factory=list)
    outcomes: Sequence[SourceOutcome] = ()
    failures: Mapping[str, Failure] = field(default_factory=dict)
    ended: bool = False
    failure: Failure | None = None


class Ledger:
    """Filled by commands; reading it raises nothing, however early a run ended."""

    def __init__(self) -> None:
        self._pages: dict[str, Page] = {}

    @property
    def pages(self) -> tuple[Page, ...]:
        """The repositories that the run got to, in order."""
        return tuple(self._pages.values())

    def works_on(self, config: Config, labels: Iterable[str] = ()) -> None:
        """The run is going to work on a repository, and to back these sources up to it."""
        page = self._pages.setdefault(config.name, Page(config))
        page.labels += [label for label in labels if label not in page.labels]

    def backed_up(
        self, config: Config, outcomes: Sequence[SourceOutcome], failures: Mapping[str, Failure]
    ) -> None:
        """What became of the sources; ``failures`` by label."""
        self.works_on(config, (outcome.label for outcome in outcomes))
        page = self._pages[config.name]
        page.outcomes, page.failures = outcomes, failures

    def ended(self, config: Config, failure: Failure | None) -> None:
        """The work on a repository is over."""
        self.works_on(config)
        page = self._pages[config.name]
        page.ended, page.failure = True, failure

    def account(
        self,
        command: str,
        host: str,
        started: datetime,
        finished: datetime,
        failure: Failure | None,
    ) -> RunAccount:
        """The account of a run that ended so."""
        trouble = trouble_of(failure)
        repositories = tuple(_repository(page, trouble) for page in self.pages)
        return RunAccount(command, host, started, finished, trouble, repositories)


def trouble_of(failure: Failure | None) -> Trouble | None:
    """A failure as others are told of it."""
    if failure is None:
        return None
    return Trouble(int(failure.code), failure.kind, failure.message, failure.hint)


def _repository(page: Page, run: Trouble | None) -> RepositoryAccount:
    """``run`` is how the whole run ended: so ended what had no turn of its own."""
    trouble = trouble_of(page.failure) if page.ended else run
    outcomes = {outcome.label: outcome for outcome in page.outcomes}
    sources = tuple(
        _source(outcomes[label], trouble_of(page.failures.get(label)))
        if label in outcomes
        else SourceAccount(label, Done.NOT_ATTEMPTED, trouble=trouble)
        for label in page.labels
        if label in outcomes or trouble is not None
    )
    return RepositoryAccount(str(page.config.repository), trouble, sources)


def _source(outcome: SourceOutcome, trouble: Trouble | None) -> SourceAccount:
    result = outcome.result
    if result is None:
        done = Done.UNCHANGED if trouble is None else Done.FAILED
        return SourceAccount(
            outcome.label, done, outcome.source_id, trouble=trouble, standing=outcome.standing
        )
    made = Done.FULL if result.kind is Kind.FULL else Done.INCREMENTAL
    return SourceAccount(
        label=outcome.label,
        done=Done.RESUMED if result.resumed else made,
        source_id=result.source_id,
        figures=Figures(
            duration=result.duration,
            raw_bytes=result.raw_size_bytes,
            stored_bytes=result.stored_size_bytes,
            reused_bytes=result.reused_bytes,
            requests=sum(result.requests.values()),
            retries=result.retry_count,
        ),
        standing=outcome.standing,
    )

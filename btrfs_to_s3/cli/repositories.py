"""One command over several repositories: each gets its turn, the result is grouped by them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.exit_codes import Failure, of_repositories
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.rendering.text import line
from btrfs_to_s3.errors import BtrfsToS3Error, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config


def each(
    session: Session,
    places: Sequence[Config],
    work: Callable[[Config], Result],
    *,
    anywhere: bool = False,
    needed: Collection[str] = (),
) -> Result:
    """The work on one repository, or on several, of which none stops the others.

    Only a signal ends it early; a single repository's result and error are given as they are.
    ``anywhere`` says that a source was named: a repository without it is left out, if one has it
    and its name is not in ``needed``.
    """
    for place in places:
        session.ledger.works_on(place)
    if len(places) == 1:
        return work(places[0])
    results: list[tuple[Config, Result]] = []
    for place in places:
        place.required_repository()
        try:
            result = work(place)
        except BtrfsToS3Error as error:
            result = failed(session.failure_of(error))
        results.append((place, result))
        session.ledger.ended(place, result.failure)
        if result.failure is not None and result.failure.code is ExitCode.INTERRUPTED:
            break
    not_attempted = [place.name for place in places[len(results) :]]
    if anywhere:
        having = [pair for pair in results if not _is_usage(pair[1]) or pair[0].name in needed]
        results = having or results[:1]
    return grouped(results, not_attempted)


def storing(config: Config, label: str | None) -> frozenset[str]:
    """The names of the repositories that the configuration file sends the source to."""
    sources = [source for source in config.sources if source.label == label]
    places = config.places()
    return frozenset(place.name for place in places if any(map(place.stores, sources)))


def _is_usage(result: Result) -> bool:
    return result.failure is not None and result.failure.code is ExitCode.USAGE


def failed(failure: Failure) -> Result:
    """A repository about which there is nothing to say but why."""
    return Result(documents.of_failure(failure), (), failure, [("", failure)])


def grouped(results: Sequence[tuple[Config, Result]], not_attempted: Iterable[str] = ()) -> Result:
    """One result of several; what each repository alone would say stands below its name."""
    failures = {
        place.name: result.failure for place, result in results if result.failure is not None
    }
    failure = of_repositories(failures, len(results))
    left = list(not_attempted)
    shown = [
        (f"{place.name}: {subject}" if subject else place.name, each_failure)
        for place, result in results
        for subject, each_failure in result.failures
    ]
    return Result(
        partial(_document, results, left, failure),
        partial(_text, results),
        failure,
        shown,
        summary=all(result.summary for _, result in results if result.text),
    )


def _document(
    results: Sequence[tuple[Config, Result]], not_attempted: list[str], failure: Failure | None
) -> documents.Document:
    document: documents.Document = {
        "repositories": [
            {"name": place.name, "repository": str(place.repository), **result.made_document()}
            for place, result in results
        ],
        "repositories_not_attempted": not_attempted,
    }
    return documents.with_failure(document, failure)


def _text(results: Sequence[tuple[Config, Result]]) -> Sequence[RenderableType]:
    parts: list[RenderableType] = []
    for place, result in results:
        if told := result.made_text():
            parts += [line(f"{place.name} ({place.repository})", "bold"), *told, line("")]
    return parts[:-1]

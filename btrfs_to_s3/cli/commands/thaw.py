"""``btrfs-to-s3 thaw``."""

from __future__ import annotations

import difflib
from contextlib import ExitStack, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from btrfs_to_s3.cli.batch_options import BatchOptions, batch_options, batch_wishes
from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.options import NETWORK, REPOSITORY, TRANSFER, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.rendering import thaw as thaw_rendering
from btrfs_to_s3.cli.rendering.text import line
from btrfs_to_s3.cli.rendering.thaw import ShownThaw
from btrfs_to_s3.cli.targets import open_target
from btrfs_to_s3.cli.thaw_options import ThawWishes, thaw_job, thaw_options
from btrfs_to_s3.config.settings import PRICES, THAW_POLL
from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.operations.repository.listing import find_backup
from btrfs_to_s3.operations.repository.prepare import prepare_to_read
from btrfs_to_s3.operations.restore.restore import Restore, RestoreJob
from btrfs_to_s3.operations.thaw.batch import BatchPlace, BatchThaw, request_by_job
from btrfs_to_s3.operations.thaw.journal import open_journal
from btrfs_to_s3.operations.thaw.states import needed_of_chain
from btrfs_to_s3.operations.thaw.thaw import Thaw

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.operations.thaw.batch import BatchWishes
    from btrfs_to_s3.operations.thaw.thaw import ThawJob
    from btrfs_to_s3.plan.restore.thaw import ThawPlan
    from btrfs_to_s3.wiring.application import Application


class AllWishes(ThawWishes, BatchOptions):
    """What the options of thaws and of jobs give."""


class Verb(StrEnum):
    """What is done about the thaw."""

    PLAN = "plan"
    REQUEST = "request"
    STATUS = "status"
    WAIT = "wait"


_VERBS = "|".join(Verb)


@click.command(cls=Command)
@click.argument("source", metavar="SOURCE[@WHEN]")
@click.argument("verb", metavar=_VERBS)
@thaw_options
@batch_options
@click.option(
    "--target",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Thaw only what a restore into DIR would have to download; needs root. "
    "[default: the whole chain]",
)
@takes(*REPOSITORY, *TRANSFER, PRICES, THAW_POLL)
@takes(*NETWORK)
@click.pass_obj
def thaw(
    session: Session,
    *,
    source: str,
    verb: str,
    target: Path | None,
    **wishes: Unpack[AllWishes],
) -> Result:
    """Make archived data readable, so that it can be restored.

    plan says what it takes and costs; request asks for all that is frozen; status says how far it
    is, and ends with 6 until all can be read; wait returns once all can be read. The verb may also
    stand before the source. A request that was interrupted is continued by the next one.

    For very many objects, request --batch-operations has one job of S3 Batch Operations ask for
    them all, and returns at the job's end.
    """
    source, wanted = _sorted_out(source, verb)
    by_job = batch_wishes(wishes, requesting=wanted is Verb.REQUEST)
    config = session.one_config()
    asking = wanted is Verb.REQUEST
    running = wanted in {Verb.REQUEST, Verb.WAIT}
    with session.application(config, running=running) as app:
        job = thaw_job(app, wishes)
        prepare_to_read(app.services())
        head, entry = find_backup(app.services(), source)
        work = _work(app, job, head, entry, target, proven=asking)
        with app.thaw_lock(str(entry.backup_id)) if asking else nullcontext():
            if by_job is None:
                plan = _done(work, wanted)
            else:
                plan = request_by_job(work, _batch(app, head, entry, by_job))
        shown = ShownThaw(plan, work.asked(), app.prices, app.price_doubts)
        said = _head(app, head, entry, wanted, target) | thaw_rendering.document(shown)
        said["requests"] = dict(app.store.request_counts())
        failure = None
        if wanted is Verb.STATUS and not plan.ready:
            failure = Failure.of(work.not_ready(plan))
        return Result(
            documents.with_failure(said, failure),
            [
                line(f"{head.source_id}@{entry.backup_id}: {_SAYS[wanted]}", "bold"),
                *thaw_rendering.text(shown),
            ],
            failure,
            [] if failure is None else [("", failure)],
        )


COMMAND = thaw

_SAYS = {
    Verb.PLAN: "what thawing it takes",
    Verb.REQUEST: "everything that was frozen is asked for",
    Verb.STATUS: "how far its thaw is",
    Verb.WAIT: "thawed",
}


def _sorted_out(first: str, second: str) -> tuple[str, Verb]:
    """The source and the verb, whichever stands first; the verb is last where both could be."""
    if second in list(Verb):
        return first, Verb(second)
    if first in list(Verb):
        return second, Verb(first)
    near = [difflib.get_close_matches(word, list(Verb), n=1) for word in (second, first)]
    source, word = (second, first) if near[1] and not near[0] else (first, second)
    meant = next((found[0] for found in near if found), _VERBS)
    raise UsageError(
        f"{word!r} is nothing that thaw does; allowed: {', '.join(Verb)}",
        hint=f"'btrfs-to-s3 thaw {source} {meant}'",
    )


def _work(
    app: Application,
    job: ThawJob,
    head: Head,
    entry: HeadEntry,
    target: Path | None,
    *,
    proven: bool,
) -> Thaw:
    services = app.services()
    if target is None:
        needed = needed_of_chain(services, head, entry, app.concurrency, proven=proven)
        return Thaw(services, job, app.concurrency, head.source_id, entry, needed)
    directory = Path.cwd() / target
    restore_job = RestoreJob(directory, None, False, app.concurrency, thaw=job)
    with ExitStack() as stack:
        volume = stack.enter_context(open_target(services, directory, writable=False))
        restore = Restore(services, volume, restore_job, head, entry)
        planned = restore.plan()
        if planned.refusal is not None:
            raise planned.refusal.as_error()
        return restore.thaw(planned)


def _done(work: Thaw, verb: Verb) -> ThawPlan:
    match verb:
        case Verb.REQUEST:
            return work.request()
        case Verb.WAIT:
            return work.wait()
        case _:
            return work.status()


def _batch(app: Application, head: Head, entry: HeadEntry, wishes: BatchWishes) -> BatchThaw:
    url, services = app.config.required_repository(), app.services()
    place = BatchPlace(url.bucket, url.prefix, head.source_id, entry.backup_id)
    journal = open_journal(services.state, head.source_id, entry.backup_id)
    jobs = app.store.batch_jobs()
    return BatchThaw(services, jobs, journal, place, wishes, app.config.thaw_poll)


def _head(
    app: Application, head: Head, entry: HeadEntry, verb: Verb, target: Path | None
) -> documents.Document:
    return {
        "repository": app.store.url,
        "source_id": str(head.source_id),
        "backup_id": str(entry.backup_id),
        "action": verb.value,
        "target": None if target is None else str(target),
    }

"""``btrfs-to-s3 doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.lazily import lazily
from btrfs_to_s3.cli.options import NETWORK, REPOSITORY, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import doctor as doctor_rendering
from btrfs_to_s3.cli.rendering import documents, human
from btrfs_to_s3.cli.rendering.doctor import Findings
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.config.settings import (
    CONCURRENCY,
    ORPHAN_AGE,
    PART_SIZE,
    SEND_PROTOCOL,
    SNAPSHOT_DIRECTORY,
)
from btrfs_to_s3.config.sources import select_by_repository
from btrfs_to_s3.errors import BtrfsToS3Error, ExitCode, InterruptedRunError, UsageError
from btrfs_to_s3.host.notify import INSTALL, is_installed, unusable
from btrfs_to_s3.host.systemd import CONFIGURATIONS, DEFAULT_INSTANCE
from btrfs_to_s3.model.check import Check, Verdict, passed, unknown, warned
from btrfs_to_s3.operations.doctor import (
    ServiceReport,
    Subject,
    examine_machine,
    examine_service,
    examine_source,
    subvolume_uuids,
)
from btrfs_to_s3.plan import doctor as judgement
from btrfs_to_s3.plan.schedule import Remedies, judge_place, judge_timers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config, SourceConfig, SourcePolicy, Told
    from btrfs_to_s3.host.memory import Affordable
    from btrfs_to_s3.model.place import StatePlace
    from btrfs_to_s3.ports import BtrfsInspection
    from btrfs_to_s3.wiring.application import Application


@click.command(cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option(
    "--apply",
    is_flag=True,
    help="Set the lifecycle rules that are proposed, and try out what the service does. "
    "[default: write nothing]",
)
@takes(*REPOSITORY, CONCURRENCY, PART_SIZE, SEND_PROTOCOL, SNAPSHOT_DIRECTORY, ORPHAN_AGE)
@takes(*NETWORK)
@click.pass_obj
def doctor(session: Session, *, paths: tuple[str, ...], apply: bool) -> Result:
    """Look at everything that backups and restores rely on.

    This machine, the sources (PATH, or all of the configuration file), the service, the bucket and
    its lifecycle rules. Each line says pass, warn or fail, and what to do about it. Works without
    root and before the first backup; what cannot be known then is said. Without --repository, every
    repository that the file's sources name is looked at. Ends with 2 on a failure.
    """
    try:
        by_place = _by_place(session.config(), paths)
    except UsageError as error:
        findings = Findings()
        _without_configuration(findings, error)
        return _result(findings, Failure.of(error), set())
    sources = {place.name: selected for place, selected in by_place}
    told: set[Check] = set()

    def work(place: Config) -> Result:
        findings = Findings()
        _examine(session, place, sources[place.name], findings, apply=apply)
        return _result(findings, failure_of(findings.checks), told)

    return each(session, [place for place, _ in by_place], work)


COMMAND = doctor


def _by_place(
    config: Config, paths: Sequence[str]
) -> Sequence[tuple[Config, Sequence[SourceConfig]]]:
    """The sources to look at, for each repository; none at all are enough."""
    if paths:
        return select_by_repository(config, paths, Path.cwd())
    return [
        (place, [source for source in place.sources if place.stores(source)])
        for place in config.places()
    ]


def _result(findings: Findings, failure: Failure | None, told: set[Check]) -> Result:
    """One repository's findings.

    What was ``told`` of the machine and its sources before is left out of the text.
    """
    shown = doctor_rendering.text(findings, told)
    told.update(check for check in findings.checks if check not in findings.service.checks)
    return Result(
        documents.with_failure(doctor_rendering.document(findings), failure),
        shown,
        failure,
        [] if failure is None else [("", failure)],
        summary=True,
    )


def failure_of(checks: Sequence[Check]) -> Failure | None:
    """What ends the program with 2."""
    bad = [check for check in checks if check.verdict is Verdict.FAIL]
    if not bad:
        return None
    names = [
        check.name if check.subject is None else f"{check.subject}/{check.name}" for check in bad
    ]
    return Failure(
        ExitCode.USAGE,
        "checks_failed",
        f"{len(bad)} of {len(checks)} checks failed: {', '.join(names)}",
        bad[0].remedy,
        {"checks": names},
    )


def _without_configuration(findings: Findings, error: UsageError) -> None:
    """What can be looked at all the same."""
    findings.checks = [
        judgement.of_error("configuration", error),
        *examine_machine(_inspection(None), ["auto"]),
        *(
            unknown(name, "the configuration cannot be used", None)
            for name in ("state_directory", "network", "source", "service")
        ),
    ]


def _examine(
    session: Session,
    config: Config,
    sources: Sequence[SourceConfig],
    findings: Findings,
    *,
    apply: bool,
) -> None:
    policies = [source.policy for source in sources] or [config.policy]
    protocols = [policy.send_protocol.value for policy in policies]
    findings.service = _service(session, config, findings, apply=apply)
    subjects = [
        Subject(source.path, source.label, _inspection(source.policy)) for source in sources
    ]
    own = findings.service.stored | subvolume_uuids(subjects)
    affordable: Affordable = lazily("btrfs_to_s3.wiring.machine:affordable_here")(config)
    state: StatePlace = lazily("btrfs_to_s3.wiring.machine:state_place")(config, session.environ)
    findings.checks = [
        *_configuration(config),
        *_told(config.told),
        *examine_machine(_inspection(config.policy), protocols),
        judgement.judge_state(state),
        judgement.judge_memory(config.concurrency, affordable.concurrency, affordable.reason),
        *findings.network,
        *_timers(config),
        *(check for subject in subjects for check in examine_source(subject, own)),
        *([] if subjects else [_no_source()]),
        *findings.service.checks,
    ]


def _configuration(config: Config) -> list[Check]:
    if config.warnings:
        remedy = "docs/configuration.md has every setting"
        return [warned("configuration", warning, remedy) for warning in config.warnings]
    where = "no file; the environment and options" if config.file is None else str(config.file)
    return [passed("configuration", where)]


def _told(told: Told) -> list[Check]:
    """Whether those who are to be told can be."""
    checks = []
    if told.notify_urls and not is_installed():
        text = "notify_urls is set, but nobody is notified: apprise is not installed"
        checks.append(warned("notify", text, INSTALL))
    elif told.notify_urls:
        bad = unusable(told.notify_urls)
        text = f"apprise makes nothing of {', '.join(bad)}"
        remedy = "its documentation has the form of every service's addresses"
        good = passed("notify", human.count(len(told.notify_urls), "address", "addresses"))
        checks.append(warned("notify", text, remedy) if bad else good)
    if told.metrics_file is not None:
        checks.append(_metrics_file(told.metrics_file))
    return checks


def _metrics_file(path: Path) -> Check:
    """Whether it can be written, and is one that node_exporter reads (its README, textfile)."""
    remedy = "make it, or name the directory that node_exporter's textfile collector reads"
    if not path.parent.is_dir():
        text = f"{path.parent} is no directory: nothing is written"
        return warned("metrics_file", text, remedy)
    if path.suffix != ".prom":
        text = f"node_exporter does not read {path}: only files whose name ends in .prom"
        return warned("metrics_file", text, "give it such a name")
    return passed("metrics_file", str(path))


def _timers(config: Config) -> list[Check]:
    """Whether backups happen by themselves."""
    instance, timers = lazily("btrfs_to_s3.wiring.scheduling:timers_of")(config.file)
    if instance is None and timers is not None:
        return [judge_place(str(config.file), str(CONFIGURATIONS))]
    file = "" if instance == DEFAULT_INSTANCE else f" -c {config.file}"
    return judge_timers(timers, Remedies(f"btrfs-to-s3{file} systemd install"))


def _no_source() -> Check:
    return warned(
        "source",
        "no source is named, so none was looked at",
        "give the path of a subvolume, or add [[sources]] to the configuration file",
    )


def _service(session: Session, config: Config, findings: Findings, *, apply: bool) -> ServiceReport:
    try:
        url = config.required_repository()
        findings.repository, findings.bucket = str(url), url.bucket
        ways = {"endpoint-url": config.endpoint_url, "profile": config.profile}
        findings.connection = {name: value for name, value in ways.items() if value is not None}
        with session.application(config, looking=not apply) as app:
            findings.network = [_network(session, config, app)]
            return examine_service(
                app.services(), app.store.bucket(), url.prefix, config.orphan_age, apply=apply
            )
    except InterruptedRunError:
        raise
    except BtrfsToS3Error as error:
        if not findings.network:
            findings.network = [unknown("network", "the service cannot be named", None)]
        return ServiceReport([judgement.of_error("service", error)])


def _network(session: Session, config: Config, app: Application) -> Check:
    """Which way data would go; looked at only where it matters."""
    if not config.machine.restricts_network:
        return passed("network", "data may go through every interface")
    host = app.store.destination()
    try:
        routes, why_not = lazily("btrfs_to_s3.wiring.network:look")(config, host, session.stop)
    except InterruptedRunError:
        raise
    except BtrfsToS3Error as error:
        return judgement.of_error("network", error)
    return judgement.judge_network(host, routes, why_not)


def _inspection(policy: SourcePolicy | None) -> BtrfsInspection:
    """This machine's Btrfs; the command's help must not load what stands behind it."""
    made: BtrfsInspection = lazily("btrfs_to_s3.wiring.machine:inspection")(policy)
    return made

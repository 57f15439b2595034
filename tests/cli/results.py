"""One result of every kind, made of values: what golden files are rendered from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.commands.doctor import failure_of
from btrfs_to_s3.cli.exit_codes import Failure, of_sources
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import copy as copy_rendering
from btrfs_to_s3.cli.rendering import doctor as doctor_rendering
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.cli.rendering import plan_cost as plan_cost_rendering
from btrfs_to_s3.cli.rendering import prune as prune_rendering
from btrfs_to_s3.cli.rendering import status as status_rendering
from btrfs_to_s3.cli.rendering import thaw as thaw_rendering
from btrfs_to_s3.cli.rendering import verify as verify_rendering
from btrfs_to_s3.cli.rendering.doctor import Findings
from btrfs_to_s3.cli.rendering.prune import Priced
from btrfs_to_s3.cli.rendering.status import ShownStatus
from btrfs_to_s3.cli.repositories import failed as failed_repository
from btrfs_to_s3.cli.repositories import grouped
from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.repository import RepositoryUrl
from btrfs_to_s3.errors import SourceError, UnreachableError
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.account import LastRun, Trouble
from btrfs_to_s3.model.backup import Head
from btrfs_to_s3.model.bucket import Lifecycle
from btrfs_to_s3.model.check import failed, unknown
from btrfs_to_s3.model.identity import Kind, SourceId
from btrfs_to_s3.model.running import Progress, Running
from btrfs_to_s3.operations.backup.backup import BackupResult
from btrfs_to_s3.operations.backup.run import SourceOutcome
from btrfs_to_s3.operations.copy.copy import CopyResult
from btrfs_to_s3.operations.doctor import ServiceReport
from btrfs_to_s3.operations.prune.holds import Hold, HoldChange, HoldListing
from btrfs_to_s3.operations.repository.listing import Listing, ShownBackup, Unreadable
from btrfs_to_s3.operations.restore.compare import TreeComparison
from btrfs_to_s3.operations.restore.restore import RestoreResult
from btrfs_to_s3.operations.status import StatusReport
from btrfs_to_s3.operations.verify.report import Counts, Finding, Level, Problem, VerifyReport
from btrfs_to_s3.plan import doctor as judgement
from btrfs_to_s3.plan.backup.backup import BackupPlan
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.parents import Parent
from btrfs_to_s3.plan.copying import plan_copy
from btrfs_to_s3.plan.cost.of_plan import Form
from btrfs_to_s3.plan.lifecycle import LifecycleRules, judge, propose
from btrfs_to_s3.plan.restore.restore import Action, Link, RestorePlan
from btrfs_to_s3.plan.restore.thaw_state import ThawState
from btrfs_to_s3.plan.status import freshness
from tests.cli import money_results, prune_results, schedule_results, thaw_results
from tests.cli.result_values import (
    DAMAGED,
    FIRST,
    FULL,
    HEAD,
    HOME,
    MIB,
    PEAK_BYTES,
    REQUESTS,
    SECOND,
    URL,
)
from tests.plan.build import SOURCE_ID, T0, days, head, manifest, snapshot_of
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.result_values import Rendering


def _result(*, resumed: bool) -> BackupResult:
    return BackupResult(
        source_id=SOURCE_ID,
        backup_id=SECOND.backup_id,
        kind=Kind.INCREMENTAL,
        resumed=resumed,
        raw_size_bytes=SECOND.raw_size_bytes,
        stored_size_bytes=SECOND.stored_size_bytes,
        reused_bytes=2 * MIB if resumed else 0,
        chunk_count=2,
        requests=REQUESTS,
        duration=timedelta(seconds=2.5),
    )


def _backup_plan(decision: Decision, *reasons: str) -> BackupPlan:
    parent = Parent(FIRST, snapshot_of(FIRST))
    return BackupPlan(
        decision,
        reasons,
        kind=Kind.INCREMENTAL,
        parent=parent,
        estimate_bytes=4 * MIB,
        estimate_stored_bytes=2 * MIB,
    )


def _outcomes() -> list[SourceOutcome]:
    done = _backup_plan(Decision.INCREMENTAL, "incremental: .btrfs-to-s3/2 is unchanged")
    resumed = _backup_plan(Decision.RESUME, "the interrupted upload goes on")
    skipped = BackupPlan(Decision.SKIP, ("nothing changed since backup 1",))
    return [
        SourceOutcome(
            "data",
            Path("/mnt/data"),
            SOURCE_ID,
            done,
            _result(resumed=False),
            pruned_local=(".btrfs-to-s3/1", ".btrfs-to-s3/2"),
        ),
        SourceOutcome("var", Path("/var"), SOURCE_ID, resumed, _result(resumed=True)),
        SourceOutcome("srv", Path("/srv"), SOURCE_ID, skipped),
        SourceOutcome(
            "home",
            Path("/home"),
            error=SourceError("/home is not on Btrfs but on ext4", hint="mount it", path="/home"),
        ),
    ]


def backup() -> Rendering:
    outcomes = _outcomes()
    failures = {each.label: Failure.of(each.error) for each in outcomes if each.error is not None}
    document = documents.of_outcomes(URL, outcomes, failures, ("opt",), PEAK_BYTES, dry_run=False)
    return (
        documents.with_failure(document, of_sources(failures, 5)),
        text.of_outcomes(outcomes, ("opt",), PEAK_BYTES, dry_run=False),
    )


def _plans() -> list[SourceOutcome]:
    first = BackupPlan(Decision.FULL, ("full: no backup of it is live yet",), kind=Kind.FULL)
    return [
        SourceOutcome("new", Path("/mnt/new"), None, first),
        SourceOutcome(
            "data",
            Path("/mnt/data"),
            SOURCE_ID,
            _backup_plan(Decision.INCREMENTAL, "incremental: .btrfs-to-s3/2 is unchanged"),
        ),
        SourceOutcome("var", Path("/var"), SOURCE_ID, _backup_plan(Decision.RESUME, "it goes on")),
    ]


def dry_run() -> Rendering:
    return (
        documents.of_outcomes(URL, _plans(), {}, (), None, dry_run=True),
        text.of_outcomes(_plans(), (), None, dry_run=True),
    )


def plan() -> Rendering:
    document = documents.of_outcomes(URL, _plans(), {}, (), None, dry_run=True)
    prunes = prune_results.prune_plan()
    form = Form("DEEP_ARCHIVE", chunk_size_bytes=MIB, part_size_bytes=MIB)
    forms = dict.fromkeys(("new", "data", "var"), form)
    cost = plan_cost_rendering.reckon(PRICES, forms, _plans(), prunes, T0 + days(4))
    doubts = PRICES.doubts("there", None)
    return (
        document
        | {
            "prune": prune_rendering.decided(prunes, None, {}),
            "cost": plan_cost_rendering.document(cost, PRICES, doubts),
        },
        [
            *text.of_outcomes(_plans(), (), None, dry_run=True),
            *prune_rendering.plan_text(prunes, Priced(PRICES)),
            *plan_cost_rendering.text(cost, PRICES, doubts),
        ],
    )


def list_() -> Rendering:
    other = Head(
        **{
            **{name: getattr(HEAD, name) for name in HEAD.__dataclass_fields__},
            "source_id": SourceId("data", "99999999"),
            "host_name": "laptop",
            "backups": (FULL,),
        }
    )
    listing = Listing((other, HEAD), (Unreadable(HOME, DAMAGED),))
    return (
        documents.with_failure(documents.of_listing(URL, listing), Failure.of(DAMAGED)),
        text.of_listing(listing),
    )


def hold_list() -> Rendering:
    holds = (
        Hold(SOURCE_ID, FULL.backup_id, T0, "before the audit", "nas pid 4242"),
        Hold(SOURCE_ID, SECOND.backup_id, T0 + days(2), None, None),
    )
    found = HoldListing(holds, Listing((HEAD,), ()))
    return documents.of_holds(URL, found), text.of_holds(found)


def hold_add() -> Rendering:
    change = HoldChange(SOURCE_ID, FULL, T0, "before the audit", changed=True)
    return (
        documents.of_hold_change(URL, change, held=True),
        text.of_hold_change(change, held=True),
    )


def list_source() -> Rendering:
    listing, held = Listing((HEAD,), ()), {FULL.backup_id}
    return documents.of_listing(URL, listing, held), text.of_listing(listing, held)


def show() -> Rendering:
    made, _ = manifest(SECOND)
    shown = ShownBackup(HEAD, SECOND, (FULL, FIRST, SECOND), replace(made, requests=REQUESTS))
    return documents.of_shown(URL, shown), text.of_shown(shown)


def status() -> Rendering:
    limit, now = timedelta(hours=26), T0 + days(3.5)
    sources = freshness([HEAD, head(source_id=HOME)], now, limit)
    lost = Trouble(4, "unreachable", "no answer from s3.example", "is the network there?")
    stopped = Trouble(130, "interrupted", "stopped by SIGTERM", "run the same command again")
    report = StatusReport(
        sources,
        (Unreadable(HOME, DAMAGED),),
        ("srv",),
        all_hosts=False,
        other_sources=2,
        errors={SOURCE_ID: LastRun("backup", now - days(0.1), now - days(0.09), lost)},
        never_errors={"srv": LastRun("backup", now - days(0.2), now - days(0.19), stopped)},
        command_errors=(LastRun("prune", now - days(0.1), now - days(0.09), lost),),
        ours=frozenset({SOURCE_ID}),
        failing=frozenset({SOURCE_ID}),
    )
    began = now - timedelta(seconds=100)
    progress = Progress("data", "full backup", began, 400 * MIB, 100 * MIB, 50 * MIB, 12)
    runs = (Running("backup", 4242, began, now, progress), Running("verify", 17, began, now, None))
    shown = ShownStatus(report, now, runs, {SOURCE_ID: T0 + days(4)})
    return (
        documents.with_failure(status_rendering.document(URL, shown, limit), Failure.of(DAMAGED)),
        status_rendering.text(shown),
    )


def restore() -> Rendering:
    result = RestoreResult(
        source_id=SOURCE_ID,
        backup_id=SECOND.backup_id,
        snapshot=Path("/mnt/new/data-1f2e3d4c.20261123T020000Z"),
        writable=Path("/mnt/new/data"),
        received=(FIRST.backup_id, SECOND.backup_id),
        raw_size_bytes=8 * MIB,
        stored_size_bytes=4 * MIB,
        compared=TreeComparison(entries=120, contents=100),
        duration=timedelta(seconds=4),
    )
    return (
        documents.of_restore(URL, result, REQUESTS, PEAK_BYTES),
        text.of_restore(result, REQUESTS, PEAK_BYTES),
    )


def restore_dry_run() -> Rendering:
    links = (
        Link(FULL, Action.NOT_NEEDED, "a later link that contains it is already there"),
        Link(FIRST, Action.REUSE, "received and unchanged", snapshot_of(FIRST)),
        Link(SECOND, Action.RECEIVE, "no copy of it that can be relied on is here"),
    )
    planned = RestorePlan(links)
    shown = thaw_results.shown(ThawState.READABLE)
    return (
        documents.of_restore_plan(URL, HEAD, SECOND, "/mnt/new", planned)
        | {"thaw": thaw_rendering.document(shown)},
        [
            *text.of_restore_plan(HEAD, SECOND, "/mnt/new", planned),
            *thaw_rendering.text(shown),
        ],
    )


def verify() -> Rendering:
    counts = Counts(
        sources=1,
        backups=3,
        objects=120,
        bytes_checked=454 * MIB,
        surplus_objects=2,
        surplus_bytes=3 * MIB,
        checksums=100,
        checksums_unknown=4,
    )
    key = f"chunks/{SOURCE_ID}/{FIRST.backup_id}/00000000-0a1b2c3d.zst"
    findings = (
        Finding(
            Problem.CHUNK_MISSING,
            SOURCE_ID,
            FIRST.backup_id,
            key,
            "chunk 0 is missing",
            f"restore {FULL.backup_id}",
        ),
        Finding(Problem.HEAD_LOST, SOURCE_ID, None, None, "the head is lost", "rebuild it"),
    )
    report = VerifyReport(Level.DATA, counts, findings, timedelta(seconds=20))
    failure = verify_rendering.failure_of(report)
    return (
        documents.with_failure(verify_rendering.document(URL, report, REQUESTS, None), failure),
        verify_rendering.text(report, REQUESTS, None),
    )


def list_several() -> Rendering:
    """Two repositories, of which one cannot be reached."""
    config = load(None, environ={}, command_line={}, default_file=Path("/no/such/file"))
    home = replace(config, repository=RepositoryUrl.parse(URL))
    away = replace(config, name="offsite", repository=RepositoryUrl.parse("s3://away/pre"))
    alone = list_()
    down = Failure.of(UnreachableError("no connection to the service", hint="check the network"))
    result = grouped([(home, Result(alone[0], alone[1])), (away, failed_repository(down))])
    return result.made_document(), list(result.made_text())


def copy_dry_run() -> Rendering:
    planned = plan_copy(HEAD, SECOND, [replace(HEAD, backups=(FULL,))])
    urls = (URL, "s3://away/pre")
    return (
        copy_rendering.of_plan(urls, HEAD, SECOND, planned),
        copy_rendering.plan_text(urls, HEAD, SECOND, planned),
    )


def copy() -> Rendering:
    planned = plan_copy(HEAD, SECOND, [replace(HEAD, backups=(FULL,))])
    urls = (URL, "s3://away/pre")
    result = CopyResult(
        source_id=planned.source_id,
        backup_id=SECOND.backup_id,
        copied=tuple(entry.backup_id for entry in planned.missing),
        stored_size_bytes=planned.stored_size_bytes,
        reused_chunks=1,
        inside=True,
        requests=REQUESTS,
        duration=timedelta(seconds=12.5),
    )
    return (
        copy_rendering.of_result(urls, HEAD, SECOND, planned, result),
        copy_rendering.result_text(urls, result),
    )


def doctor() -> Rendering:
    rules = LifecycleRules(
        Lifecycle(({"ID": "logs", "Filter": {"Prefix": "logs/"}, "Status": "Enabled"},)),
        "pre",
        keys.METADATA,
        keys.CHUNKS,
        timedelta(days=7),
        versioned=False,
    )
    checks = [
        judgement.judge_kernel("6.18.44"),
        judgement.judge_privilege(privileged=False),
        failed("source", "/home is not on Btrfs but on ext4", "mount it", subject="home"),
        judgement.judge_clock(timedelta(seconds=-400)),
        unknown("region", "access denied", "allow s3:ListBucket"),
        *judge(rules),
    ]
    found = Findings(checks, ServiceReport(proposal=propose(rules)), URL, "bucket")
    found.connection["endpoint-url"] = "https://s3.example.org"
    failure = failure_of(checks)
    document = documents.with_failure(doctor_rendering.document(found), failure)
    return document, doctor_rendering.text(found)


ALL: dict[str, Callable[[], Rendering]] = {
    "backup": backup,
    "backup-dry-run": dry_run,
    "plan": plan,
    "copy": copy,
    "copy-dry-run": copy_dry_run,
    "doctor": doctor,
    "plan-simulate": money_results.plan_simulate,
    "compact": money_results.compact,
    "cost": money_results.cost,
    "list": list_,
    "list-source": list_source,
    "hold-add": hold_add,
    "hold-list": hold_list,
    "list-several": list_several,
    "show": show,
    "status": status,
    "systemd-install": schedule_results.install,
    "systemd-status": schedule_results.status,
    "systemd-uninstall": schedule_results.uninstall,
    "restore": restore,
    "restore-dry-run": restore_dry_run,
    "thaw-plan": thaw_results.plan,
    "thaw-status": thaw_results.status,
    "verify": verify,
    "prune": prune_results.prune,
    "prune-dry-run": prune_results.prune_dry_run,
}
"""Every result a command can have, by the name of its golden files."""

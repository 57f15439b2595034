"""Faults of single requests: none, some that pass, some that stay, some that nothing can heal."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faultproxy.rules import (
    Act,
    Rule,
    Side,
    access_denied,
    expired_token,
    internal_error,
    slow_down,
)
from integration_tests.harness.faults.ground import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration_tests.harness.faultproxy.proxy import Request
    from integration_tests.harness.faults.ground import Case, Ground
    from integration_tests.harness.scripting.program import Run

CHUNK: Final = r"/chunks/.*/{:08}-"
CHUNKS: Final = r"/chunks/"
REPEATED: Final = re.compile(r"attempt (\d+) failed, again in ([\d.]+) s")
_BASE_S: Final = 0.5
_SLACK_S: Final = 0.6
"""What a request itself and a busy machine add to a wait."""
_ROUNDING_S: Final = 0.1
_TRANSIT_ATTEMPTS: Final = 4
_STATUS_OF_FAULTS: Final = 500


def happy_path(ground: Ground) -> None:
    """A full backup, an increment, a restore and a verification, with nothing in the way."""
    case = ground.case("happy")
    for text, grown in (("a full backup", 0), ("an increment", MIB)):
        case.grow(grown)
        traffic = ground.traffic()
        case.check_done(run := case.backup(), text)
        _check_undisturbed(ground, run, traffic.requests(), text)
    traffic = ground.traffic()
    case.check_done(run := case.run("verify", "--level", "data", "-v"), "verify")
    _check_undisturbed(ground, run, traffic.requests(), "verify")
    traffic = ground.traffic()
    case.check_restores("nothing in the way")
    _check_undisturbed(ground, ground.finished[-1], traffic.requests(), "a restore")
    case.check_visible(2, "nothing in the way")


def transient(ground: Ground) -> None:
    """Faults that pass are repeated, at growing intervals, and leave no trace in what is stored."""
    case = ground.case("transient")
    with ground.scripted(slow_down(operation="PutObject", path=CHUNK.format(1), last=4)) as traffic:
        run = case.backup(concurrency="1")
        asked = [each for each in traffic.requests("PutObject") if CHUNKS in each.path]
        asked = [each for each in asked if re.search(CHUNK.format(1), each.path)]
    case.check_done(run, "503 four times")
    _check_backoff(ground, run, asked)
    case.grow(4 * MIB)
    with ground.scripted(*_passing_faults()) as traffic:
        case.check_done(case.backup(), "five kinds of fault, one after another")
        met = {request.rule for request in traffic.hit()}
        expected = {rule.label for rule in _passing_faults()}
        ground.check(met == expected, "each of the faults was met", expected - met)
    case.check_visible(2, "after faults that passed")
    case.check_restores("after faults that passed")
    large = ground.case("parts", size_bytes=11 * MIB)
    rules = [
        internal_error(operation="CreateMultipartUpload", last=1),
        Rule(act=Act.RESET, operation="UploadPart", side=Side.REQUEST, at_byte=MIB, last=1),
        Rule(act=Act.LOSE_ANSWER, operation="CompleteMultipartUpload", last=1),
    ]
    with ground.scripted(*rules) as traffic:
        large.check_done(large.backup(chunk_size="32MiB"), "faults of a multipart upload")
        met = {request.rule for request in traffic.hit()}
        ground.check(len(met) == len(rules), "each part of it met one", met)
    large.check_visible(1, "after faults of a multipart upload")
    ground.check(not large.uploads(), "no multipart upload is left", large.uploads())


def exhausted(ground: Ground) -> None:
    """A fault that stays ends the run after a bounded number of attempts, and commits nothing."""
    case = ground.case("exhausted")
    case.check_done(case.backup(), "a backup before")
    case.grow(3 * MIB)
    with ground.scripted(internal_error(operation="PutObject", path=CHUNKS)) as traffic:
        run = case.backup(concurrency="1", retry_attempts="4", outage_patience="3s")
        count = len(traffic.hit())
    case.check_exit(run, 4, "500 for ever")
    # Three failures open the gate; a probe follows another after at least 0.5, 1 and 2 s.
    ground.check(count in range(4, 8), "the attempts are few", count)
    error = run.document.get("error", {})
    said = f"{error.get('message')} {error.get('context')}"
    ground.check("chunks/" in said, "the error names the key", said)
    ground.check("PutObject" in said, "the error names the operation", said)
    case.check_visible(1, "500 for ever")
    cut = Rule(act=Act.TRUNCATE, operation="GetObject", path=CHUNKS, at_byte=1000)
    with ground.scripted(cut) as traffic:
        directory = case.new_target()
        run = case.run("restore", case.name, "--target", str(directory), "-v", concurrency="1")
        count = len(traffic.hit())
    case.check_exit(run, 4, "an answer that is always cut short")
    ground.check(count == _TRANSIT_ATTEMPTS, "it is asked for four times", count)
    ground.check(not any(directory.iterdir()), "nothing is left in the target")
    case.clear(directory)
    case.check_done(case.backup(), "the same backup again")
    case.check_visible(2, "after the fault")
    case.check_restores("after the fault")


def final(ground: Ground) -> None:
    """What repeating cannot heal is asked once."""
    case = ground.case("final")
    case.check_done(case.backup(), "a backup before")
    case.grow(3 * MIB)
    halfway = {"operation": "PutObject", "path": CHUNK.format(1)}
    for text, rule in (
        ("403 at once", access_denied(operation="GetObject")),
        ("403 halfway", access_denied(**halfway)),
        ("an expired token at once", expired_token()),
        ("an expired token halfway", expired_token(**halfway)),
    ):
        with ground.scripted(rule) as traffic:
            run = case.backup(concurrency="1")
            refused = traffic.hit()
        case.check_exit(run, 4, text)
        ground.check(len(refused) == 1, f"{text}: one request", [r.path for r in refused])
        kind = run.document.get("error", {}).get("kind")
        ground.check(kind == "access_denied", f"{text}: it says why", kind)
    with ground.scripted(access_denied()) as traffic:
        case.check_exit(case.backup(), 4, "403 to everything")
        asked = [request.operation for request in traffic.requests()]
    # May the bucket be listed? If not, is there a repository, with checksums and without?
    expected = ["ListObjectsV2", "HeadObject", "HeadObject"]
    ground.check(asked == expected, "403 to everything: nothing is asked again", asked)
    case.check_visible(1, "after refusals")
    ground.check(not case.uploads(), "after refusals: no multipart upload is left")
    _check_resumed(ground, case)
    case.check_restores("after refusals")


def _check_resumed(ground: Ground, case: Case) -> None:
    run = case.backup()
    case.check_done(run, "with the right restored")
    backup = run.first.get("backup") or {}
    ground.check(backup.get("reused_bytes"), "what was stored before is not sent again", backup)


def _passing_faults() -> Sequence[Rule]:
    put = {"operation": "PutObject", "last": 1}
    return [
        internal_error(path=CHUNK.format(0), **put),
        Rule(
            act=Act.RESET,
            side=Side.REQUEST,
            at_byte=500_000,
            path=CHUNK.format(1),
            operation="PutObject",
            last=1,
        ),
        Rule(act=Act.LOSE_ANSWER, path=CHUNK.format(2), operation="PutObject", last=1),
        Rule(act=Act.LOSE_ANSWER, path="/manifests/", operation="PutObject", last=1, name="lost"),
        slow_down(path="/heads/", **put),
    ]


def _check_undisturbed(ground: Ground, run: Run, requests: Sequence[Request], text: str) -> None:
    failed = [each for each in requests if (each.status or 599) >= _STATUS_OF_FAULTS]
    ground.check(requests and not failed, f"{text}: every request is answered", failed)
    ground.check(" failed, " not in run.err, f"{text}: no retry is told", run.err)
    sent = [each.path for each in requests if each.method == "PUT" and CHUNKS in each.path]
    ground.check(len(sent) == len(set(sent)), f"{text}: no chunk is sent twice", sent)


def _check_backoff(ground: Ground, run: Run, asked: Sequence[Request]) -> None:
    """Gaps as the proxy saw them, beside the waits that were told and the policy's bounds."""
    told = [float(wait) for _, wait in REPEATED.findall(run.err)]
    gaps = [later.time - earlier.time for earlier, later in pairwise(asked)]
    ground.check(len(gaps) == len(told) == 4, "four waits are seen and told", (gaps, told))  # noqa: PLR2004
    for number, (gap, wait) in enumerate(zip(gaps, told, strict=False), start=1):
        bound = _BASE_S * 2 ** (number - 1)
        fits = wait - _ROUNDING_S <= gap <= wait + _SLACK_S and wait <= bound + _ROUNDING_S
        ground.check(fits, f"wait {number} is at most {bound} s, and is kept", (gap, wait))
    # Full jitter: each wait may be short, all four together are not (once in 10^6).
    ground.check(sum(told) >= _ROUNDING_S, "the service is given time", told)

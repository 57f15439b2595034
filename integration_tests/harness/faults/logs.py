"""What is told: every retry and every error with its context, and never a credential."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from integration_tests.harness.faultproxy.rules import access_denied, clock_skew, internal_error
from integration_tests.harness.faults.ground import MIB
from integration_tests.harness.faults.retries import CHUNK, CHUNKS

if TYPE_CHECKING:
    from integration_tests.harness.faults.ground import Ground

_TOLD: Final = re.compile(r"(\w+) (\S+): attempt (\d+) failed, ")


def logs(ground: Ground) -> None:
    """The retries told are the faults met; errors name what they were about."""
    case = ground.case("logs")
    rules = [
        internal_error(operation="PutObject", path=CHUNK.format(0), last=2),
        internal_error(operation="PutObject", path=CHUNK.format(2), last=1),
        internal_error(operation="PutObject", path="/indexes/", last=1),
    ]
    with ground.scripted(*rules) as traffic:
        case.check_done(run := case.backup(concurrency="1"), "four faults that pass")
        met = [(each.operation, _key(case.prefix, each.path)) for each in traffic.hit()]
    told = [(name, key) for name, key, _ in _TOLD.findall(run.err)]
    ground.check(len(met) == 4 and told == met, "each retry is told with operation and key", told)  # noqa: PLR2004
    numbers = [int(number) for _, _, number in _TOLD.findall(run.err)]
    ground.check(numbers == [1, 2, 1, 1], "each retry is told with its number", numbers)
    case.grow(MIB)
    with ground.scripted(internal_error(operation="PutObject", path=CHUNK.format(0), last=1)):
        program = case.program()
        quiet = program.run("backup", str(case.data))
    ground.finished.append(quiet)
    ground.check(not _TOLD.search(quiet.err), "without -v a single retry is not worth a line")
    _errors(ground)
    _credentials(ground)


def _errors(ground: Ground) -> None:
    case = ground.case("errors")
    for text, rule, words in (
        ("403", access_denied(operation="PutObject", path=CHUNKS), ("PutObject", "chunks/")),
        ("a wrong clock", clock_skew(operation="PutObject", path=CHUNKS), ("PutObject", "clock")),
    ):
        with ground.scripted(rule):
            run = case.backup()
        case.check_exit(run, 4, text)
        errors = [line for line in run.err.splitlines() if line.startswith("error: ")]
        named = len(errors) >= 1 and all(word in errors[0] for word in words)
        ground.check(named, f"{text}: stderr says what was refused", run.err)
        ground.check("hint: " in run.err, f"{text}: and what can be done", run.err)
        context = run.document.get("error", {}).get("context", {})
        ground.check(
            context.get("operation") == "PutObject" and "chunks/" in str(context.get("key")),
            f"{text}: the document has the context",
            context,
        )


def _credentials(ground: Ground) -> None:
    """Looks at all runs so far, whichever category they were part of."""
    told = [
        run.arguments
        for run in ground.finished
        if any(secret in text for secret in ground.secrets for text in (run.out, run.err))
    ]
    ground.check(ground.finished, "there are outputs to look at")
    ground.check(not told, f"no credential in the output of {len(ground.finished)} runs", told)
    kept = [
        str(path)
        for path in ground.logs.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in ground.secrets)
    ]
    ground.check(not kept, "no credential in journals and caches", kept)


def _key(prefix: str, path: str) -> str:
    return urlsplit(path).path.partition(f"/{prefix}/")[2]

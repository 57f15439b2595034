"""Which exit code a failure, and a run over several sources, ends with."""

from __future__ import annotations

import io
import signal

import click
import pytest

from btrfs_to_s3 import errors
from btrfs_to_s3.cli.exit_codes import Failure, kind_of, of_repositories, of_sources
from btrfs_to_s3.cli.session import Session
from btrfs_to_s3.errors import BtrfsToS3Error, ExitCode, InterruptedRunError
from btrfs_to_s3.host.signals import StopSignal
from btrfs_to_s3.s3.translate import ConflictError


def _failure(code: ExitCode) -> Failure:
    return Failure(code, "some", f"failed with {int(code)}")


def _run(*codes: ExitCode, total: int = 5) -> ExitCode:
    failure = of_sources({f"s{n}": _failure(code) for n, code in enumerate(codes)}, total)
    return ExitCode.DONE if failure is None else failure.code


def test_a_run_in_which_nothing_failed_has_no_failure() -> None:
    assert of_sources({}, 3) is None


@pytest.mark.parametrize("code", [code for code in ExitCode if code is not ExitCode.DONE])
def test_one_failed_source_gives_its_own_code(code: ExitCode) -> None:
    assert _run(code) is code


def test_sources_that_all_failed_alike_give_that_code() -> None:
    assert _run(ExitCode.INTEGRITY, ExitCode.INTEGRITY) is ExitCode.INTEGRITY


def test_different_failures_give_3() -> None:
    assert _run(ExitCode.INTEGRITY, ExitCode.USAGE) is ExitCode.SOURCES_FAILED


@pytest.mark.parametrize("code", [ExitCode.REPOSITORY, ExitCode.INTERRUPTED])
def test_what_ended_the_run_decides_over_what_failed_before(code: ExitCode) -> None:
    assert _run(ExitCode.SOURCES_FAILED, code) is code


def test_the_failure_of_one_source_keeps_its_words() -> None:
    only = Failure(ExitCode.INTEGRITY, "integrity", "damaged", "look", {"key": "k"})
    found = of_sources({"home": only}, 3)
    assert found == Failure(ExitCode.INTEGRITY, "integrity", "home: damaged", "look", {"key": "k"})


def test_the_failure_of_several_names_them() -> None:
    failures = {"a": _failure(ExitCode.INTEGRITY), "b": _failure(ExitCode.USAGE)}
    found = of_sources(failures, 4)
    assert found is not None
    assert found.message == "2 of 4 sources failed: a, b"
    assert found.kind == "sources_failed"


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [
        ((ExitCode.REPOSITORY,), ExitCode.REPOSITORY),
        ((ExitCode.REPOSITORY, ExitCode.SOURCES_FAILED), ExitCode.REPOSITORY),
        ((ExitCode.REPOSITORY, ExitCode.INTERRUPTED, ExitCode.USAGE), ExitCode.INTERRUPTED),
        ((ExitCode.STALE, ExitCode.STALE), ExitCode.STALE),
        ((ExitCode.STALE, ExitCode.INTEGRITY), ExitCode.SOURCES_FAILED),
    ],
)
def test_a_repository_that_cannot_be_used_decides_over_what_failed_elsewhere(
    codes: tuple[ExitCode, ...], wanted: ExitCode
) -> None:
    failures = {f"r{n}": _failure(code) for n, code in enumerate(codes)}
    found = of_repositories(failures, 3)
    assert found is not None
    assert found.code is wanted
    assert all(name in found.message for name in failures)
    assert of_repositories({}, 3) is None


def _every_error() -> list[type[BtrfsToS3Error]]:
    found = [BtrfsToS3Error]
    for kind in found:
        found += [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return found


@pytest.mark.parametrize("kind", _every_error())
def test_every_error_of_the_tree_ends_with_its_own_non_zero_code(
    kind: type[BtrfsToS3Error],
) -> None:
    failure = Failure.of(kind("it failed", hint="do this", key="k"))
    assert failure.code is kind.exit_code
    assert failure.code is not ExitCode.DONE
    assert (failure.message, failure.hint, failure.context) == (
        "it failed",
        "do this",
        {"key": "k"},
    )


def test_kinds_are_stable_words_of_the_error_tree() -> None:
    assert {kind.__name__: kind_of(kind("x")) for kind in _every_error()} == {
        "BtrfsToS3Error": "bug",
        "UsageError": "usage",
        "ConfigError": "config",
        "SourceError": "source",
        "SendError": "send",
        "ReceiveError": "receive",
        "LocalSpaceError": "local_space",
        "RaceLostError": "race_lost",
        "RepositoryError": "repository",
        "UnreachableError": "unreachable",
        "AccessDeniedError": "access_denied",
        "ConditionFailedError": "condition_failed",
        "IntegrityError": "integrity",
        "MissingObjectError": "missing_object",
        "NotReadableYetError": "not_readable_yet",
        "LockedError": "locked",
        "StaleError": "stale",
        "InterruptedRunError": "interrupted",
    }


def test_an_adapters_own_error_goes_by_its_parents_kind() -> None:
    assert kind_of(ConflictError("x")) == "condition_failed"


def test_clicks_errors_become_ours() -> None:
    found = Failure.of_click(click.UsageError("No such thing."))
    assert (found.code, found.kind, found.message) == (ExitCode.USAGE, "usage", "no such thing")


def test_a_bug_is_one_line() -> None:
    found = Failure.of_bug(ValueError("first\nsecond"))
    assert found.code is ExitCode.BUG
    assert found.message == "this is a bug in btrfs-to-s3: ValueError: first second"


def test_an_interruption_is_a_clean_stop_only_once_a_signal_asked_for_it() -> None:
    """A unit of systemd takes 130 for success: nothing else may end with it."""
    with StopSignal() as stop:
        session = Session({}, io.StringIO(), io.StringIO(), stop)
        error = InterruptedRunError("stopped")
        assert session.failure_of(error).code is ExitCode.BUG
        signal.raise_signal(signal.SIGTERM)
        assert session.failure_of(error).code is ExitCode.INTERRUPTED

"""Looking at a service and a repository: each check alone, and nothing written unasked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from btrfs_to_s3.errors import (
    AccessDeniedError,
    InterruptedRunError,
    RepositoryError,
    UnreachableError,
)
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.bucket import Lifecycle, Versioning
from btrfs_to_s3.model.check import Verdict
from btrfs_to_s3.operations.doctor import ServiceReport, examine_service
from btrfs_to_s3.operations.lifecycle import apply_rules
from btrfs_to_s3.plan.lifecycle import LifecycleRules
from tests.operations.repositories import SyntheticRepository
from tests.operations.stores import Delegate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from btrfs_to_s3.model.bucket import ObjectLock
    from btrfs_to_s3.model.check import Check
    from btrfs_to_s3.ports import Bucket as BucketPort
    from tests.operations.conftest import Bucket

WEEK = timedelta(days=7)
THEIRS: dict[str, Any] = {
    "ID": "theirs",
    "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "b"}]}},
    "Status": "Enabled",
    "Expiration": {"Date": "2031-01-01T00:00:00Z"},
}


class Pretended:
    """Implements ``ports.Bucket``; each answer can be replaced, also by an error."""

    name = "bucket"
    configured_region = "here"

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.set: list[Lifecycle] = []
        self.rules = Lifecycle((THEIRS,))
        self.meanwhile: Callable[[], None] = lambda: None

    def _answer(self, name: str, default: Any) -> Any:  # noqa: ANN401 - of any method
        found = self.answers.get(name, default)
        if isinstance(found, Exception):
            raise found
        return found

    def credentials_origin(self) -> str:
        return str(self._answer("credentials", "the environment"))

    def region(self) -> str | None:
        found: str | None = self._answer("region", "here")
        return found

    def clock_skew(self) -> timedelta | None:
        found: timedelta | None = self._answer("clock", timedelta(0))
        return found

    def versioning(self) -> Versioning:
        found: Versioning = self._answer("versioning", Versioning.NEVER)
        return found

    def object_lock(self) -> ObjectLock | None:
        found: ObjectLock | None = self._answer("object_lock", None)
        return found

    def lifecycle(self) -> Lifecycle:
        self._answer("lifecycle", None)
        return self.rules

    def replace_lifecycle(self, wanted: Lifecycle) -> None:
        self._answer("replace", None)
        self.set.append(wanted)
        self.rules = wanted
        self.meanwhile()


def _examine(
    repository: SyntheticRepository, bucket: BucketPort, *, apply: bool = False
) -> tuple[ServiceReport, dict[str, Check]]:
    report = examine_service(repository.services, bucket, "pre", WEEK, apply=apply)
    return report, {check.name: check for check in report.checks}


def test_a_repository_in_order_has_no_failure(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    repository.backup()
    with bucket.store() as store:
        report, checks = _examine(repository, store.bucket())
    assert not [check for check in checks.values() if check.verdict is Verdict.FAIL]
    assert checks["repository"].text.startswith("backups: 1, of sources: 1")
    assert report.stored == {repository.subvolume_uuid}


def test_nothing_is_written_without_apply(repository: SyntheticRepository, bucket: Bucket) -> None:
    repository.backup()
    before = bucket.listing()
    with bucket.store() as store:
        puts = store.request_counts()["put"]
        pretended = Pretended()
        report, _ = _examine(repository, pretended)
        assert store.request_counts()["put"] == puts
    assert pretended.set == []
    assert report.proposal is not None
    assert report.proposal.changed
    assert bucket.listing() == before


def test_apply_sets_our_rules_and_keeps_those_of_others(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    with bucket.store() as store:
        store.bucket().replace_lifecycle(Lifecycle((THEIRS,)))
        report, checks = _examine(repository, store.bucket(), apply=True)
        assert report.applied
        found = store.bucket().lifecycle().rules
        assert THEIRS in found
        assert len(found) == 2
        assert checks["lifecycle_uploads"].verdict is Verdict.PASS
        again, _ = _examine(repository, store.bucket(), apply=True)
        assert not again.applied
        assert store.bucket().lifecycle().rules == found


def test_apply_finds_out_what_the_service_does(
    repository: SyntheticRepository,
) -> None:
    store = repository.services.access.store
    if store.capabilities is None:
        _, before = _examine(repository, Pretended())
        assert not before["checksums"].known
    _, after = _examine(repository, Pretended(), apply=True)
    assert after["conditional_writes"].verdict is Verdict.PASS
    assert after["checksums"].verdict is Verdict.WARN
    assert after["checksums"].known


def test_apply_reads_again_what_it_set_and_says_when_a_rule_of_others_is_gone(
    repository: SyntheticRepository,
) -> None:
    bucket = Pretended()

    def lose() -> None:
        bucket.rules = Lifecycle(tuple(rule for rule in bucket.rules.rules if rule != THEIRS))

    bucket.meanwhile = lose
    report, checks = _examine(repository, bucket, apply=True)
    assert checks["lifecycle"].verdict is Verdict.FAIL
    assert "rules of others changed or are gone" in checks["lifecycle"].text
    assert not report.applied


def test_rules_that_were_set_since_the_first_look_are_kept() -> None:
    bucket = Pretended()
    stale = LifecycleRules(Lifecycle(), "pre", keys.METADATA, keys.CHUNKS, WEEK, versioned=False)
    apply_rules(bucket, stale)
    assert THEIRS in bucket.set[0].rules


def test_a_service_that_does_not_keep_the_rule_is_noticed(
    repository: SyntheticRepository,
) -> None:
    bucket = Pretended()
    bucket.meanwhile = lambda: setattr(bucket, "rules", Lifecycle((THEIRS,)))
    _, checks = _examine(repository, bucket, apply=True)
    assert "missing: btrfs-to-s3 pre: unfinished uploads" in checks["lifecycle"].text


@pytest.mark.parametrize(
    ("answer", "check", "verdict"),
    [
        ("credentials", "credentials", Verdict.FAIL),
        ("region", "region", Verdict.WARN),
        ("versioning", "versioning", Verdict.WARN),
        ("object_lock", "object_lock", Verdict.WARN),
        ("lifecycle", "lifecycle", Verdict.WARN),
    ],
)
def test_a_check_that_fails_hides_no_other(
    repository: SyntheticRepository, answer: str, check: str, verdict: Verdict
) -> None:
    repository.backup()
    whole = set(_examine(repository, Pretended())[1])
    denied = AccessDeniedError("it may not be asked", hint="allow it")
    _, checks = _examine(repository, Pretended(**{answer: denied}))
    assert checks[check].verdict is verdict
    assert "it may not be asked" in checks[check].text
    assert checks[check].remedy == "allow it"
    rest = {name for name in whole if not name.startswith(check)}
    assert rest <= set(checks)


def test_an_interruption_is_none_of_the_findings(repository: SyntheticRepository) -> None:
    with pytest.raises(InterruptedRunError):
        _examine(repository, Pretended(region=InterruptedRunError("stopped")))


class Refuses(Delegate):
    """Refuses everything for the time of this machine, as S3 does."""

    def check_access(self, key: str) -> None:
        raise AccessDeniedError(f"GET {key}: this machine's clock is 1000 s behind the service's")


def test_a_clock_that_is_off_is_found_although_the_service_refuses_everything(
    bucket: Bucket, state_directory: Path
) -> None:
    with bucket.store() as store:
        repository = SyntheticRepository(Refuses(store), state_directory)
        _, checks = _examine(repository, Pretended(clock=timedelta(seconds=-1000)))
    assert checks["service"].verdict is Verdict.FAIL
    assert checks["clock"].verdict is Verdict.FAIL
    assert not checks["lifecycle"].known


def test_no_repository_yet_is_no_failure(repository: SyntheticRepository, bucket: Bucket) -> None:
    bucket.remove(keys.REPOSITORY)
    _, checks = _examine(repository, Pretended(), apply=True)
    assert checks["repository"].text == "there is none yet: the first backup makes it"
    assert not checks["conditional_writes"].known
    assert bucket.listing() == []


def test_archived_metadata_is_found_and_explained(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    repository.backup()
    [key] = [key for key in bucket.listing() if key.startswith("indexes/")]
    bucket.write(key, bucket.read(key), "GLACIER")
    _, checks = _examine(repository, Pretended())
    assert checks["metadata_class"].verdict is Verdict.FAIL
    assert f"{key} (GLACIER)" in checks["metadata_class"].text


@pytest.mark.parametrize("prefix", [keys.REPOSITORY, keys.HEADS])
def test_an_archived_head_or_record_fails_as_what_it_is(
    repository: SyntheticRepository, bucket: Bucket, prefix: str
) -> None:
    repository.backup()
    [key] = [key for key in bucket.listing() if key.startswith(prefix)]
    # Another host has no copy of the head.
    other = repository.from_host("elsewhere")
    bucket.write(key, bucket.read(key), "DEEP_ARCHIVE")
    _, checks = _examine(other, Pretended())
    assert checks["repository"].verdict is Verdict.FAIL
    assert checks["metadata_class"].verdict is Verdict.FAIL


def test_a_damaged_head_is_a_failure(repository: SyntheticRepository, bucket: Bucket) -> None:
    repository.backup()
    [key] = [key for key in bucket.listing() if key.startswith(keys.HEADS)]
    bucket.write(key, b"{}")
    _, checks = _examine(repository, Pretended())
    assert checks["repository"].verdict is Verdict.FAIL
    assert "cannot be relied on" in checks["repository"].text


def test_errors_of_setting_rules_are_told(repository: SyntheticRepository) -> None:
    error = RepositoryError("refused", hint="ask the owner")
    for raised in (error, UnreachableError("away")):
        report, checks = _examine(repository, Pretended(replace=raised), apply=True)
        assert checks["lifecycle"].verdict is Verdict.FAIL
        assert not report.applied

"""Lifecycle rules: what they do to a repository, and which ones are proposed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.format import keys
from btrfs_to_s3.model.bucket import Lifecycle
from btrfs_to_s3.model.check import Verdict
from btrfs_to_s3.model.objects import ListedObject
from btrfs_to_s3.plan.lifecycle import (
    LifecycleRules,
    judge,
    judge_archived,
    keeps_foreign,
    propose,
)
from tests.plan.build import T0

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.model.check import Check

Rule = dict[str, Any]
ABORT: Rule = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
GLACIER: Rule = {"Transitions": [{"Days": 3, "StorageClass": "GLACIER"}]}
OLD_GLACIER: Rule = {
    "NoncurrentVersionTransitions": [{"NoncurrentDays": 3, "StorageClass": "DEEP_ARCHIVE"}]
}
COOLER: Rule = {"Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]}
EXPIRE: Rule = {"Expiration": {"Days": 365}}
MARKERS: Rule = {"Expiration": {"ExpiredObjectDeleteMarker": True}}
OLD_GO: Rule = {"NoncurrentVersionExpiration": {"NoncurrentDays": 10}}


def _rule(prefix: str, *actions: Rule, name: str = "theirs", **more: object) -> Rule:
    rule: Rule = {"ID": name, "Filter": {"Prefix": prefix}, "Status": "Enabled", **more}
    for action in actions:
        rule |= action
    return rule


def _rules(
    *rules: Mapping[str, object], prefix: str = "pre", versioned: bool = False, days: float = 7
) -> LifecycleRules:
    return LifecycleRules(
        Lifecycle(rules), prefix, keys.METADATA, keys.CHUNKS, timedelta(days=days), versioned
    )


def _checks(*rules: Rule, **more: Any) -> dict[str, Check]:  # noqa: ANN401 - handed on
    return {check.name: check for check in judge(_rules(*rules, **more))}


@pytest.mark.parametrize("covered", ["", "pre", "pre/", "pre/chunks/"])
def test_a_rule_that_aborts_unfinished_uploads_is_found(covered: str) -> None:
    check = _checks(_rule(covered, ABORT))["lifecycle_uploads"]
    assert check.verdict is Verdict.PASS
    assert "rule 'theirs'" in check.text
    assert "after 7 days" in check.text


@pytest.mark.parametrize(
    "rule",
    [
        _rule("other/", ABORT),
        _rule("pre/chunks/data-01234567/", ABORT),
        _rule("", ABORT) | {"Status": "Disabled"},
        _rule("", ABORT) | {"Filter": {"Tag": {"Key": "a", "Value": "b"}}},
    ],
)
def test_unfinished_uploads_that_no_rule_aborts_are_a_warning(rule: Rule) -> None:
    check = _checks(rule)["lifecycle_uploads"]
    assert check.verdict is Verdict.WARN
    assert check.remedy == "btrfs-to-s3 doctor --apply sets one"


def test_a_rule_that_may_abort_an_upload_under_way_is_a_warning() -> None:
    short = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    check = _checks(_rule("", ABORT), _rule("pre/chunks/data", short, name="b"))[
        "lifecycle_uploads"
    ]
    assert check.verdict is Verdict.WARN
    assert "rule 'b' aborts uploads after 1 day, sooner than orphan_age (7 days)" in check.text


@pytest.mark.parametrize("action", [GLACIER, OLD_GLACIER])
@pytest.mark.parametrize("where", ["", "pre", "pre/", "pre/manifests/", "pre/heads/data", "pre/n"])
def test_a_rule_that_archives_metadata_is_a_failure(where: str, action: Rule) -> None:
    check = _checks(_rule(where, action))["lifecycle_metadata"]
    assert check.verdict is Verdict.FAIL
    assert "metadata must be readable at once" in check.text
    assert check.remedy is not None


def test_the_failure_names_what_is_moved() -> None:
    check = _checks(_rule("pre/manifests/", GLACIER))["lifecycle_metadata"]
    assert "rule 'theirs' moves manifests/ to GLACIER after 3 days" in check.text


def test_metadata_in_a_class_that_is_read_at_once_is_only_a_warning() -> None:
    assert _checks(_rule("", COOLER))["lifecycle_metadata"].verdict is Verdict.WARN


def test_moving_chunks_alone_is_told_and_in_order() -> None:
    checks = _checks(_rule("pre/chunks/", GLACIER), _rule("", ABORT))
    assert {check.verdict for check in checks.values()} == {Verdict.PASS}
    assert "moves chunks/ to GLACIER after 3 days, so restores need" in (
        checks["lifecycle_chunks"].text
    )


@pytest.mark.parametrize("where", ["", "pre/chunks/", "pre/indexes/", "pre/repository.json"])
def test_a_rule_that_deletes_backups_is_a_failure(where: str) -> None:
    check = _checks(_rule(where, EXPIRE))["lifecycle_expiration"]
    assert check.verdict is Verdict.FAIL
    assert "backups would be lost" in check.text


def test_delete_markers_hold_nothing_and_may_go() -> None:
    assert "lifecycle_expiration" not in _checks(_rule("", MARKERS))


def test_rules_for_other_keys_are_nobodys_business() -> None:
    checks = _checks(_rule("pre2/", GLACIER, EXPIRE), _rule("", ABORT, name="b"))
    assert {check.verdict for check in checks.values()} == {Verdict.PASS}


def test_the_old_form_of_a_rule_and_combined_filters_are_read() -> None:
    old = {"ID": "old", "Prefix": "pre/", "Status": "Enabled", **GLACIER}
    both = _rule("", EXPIRE) | {"Filter": {"And": {"Prefix": "pre/", "ObjectSizeGreaterThan": 9}}}
    assert _checks(old)["lifecycle_metadata"].verdict is Verdict.FAIL
    assert _checks(both)["lifecycle_expiration"].verdict is Verdict.FAIL


def test_old_versions_that_go_are_told_where_there_are_versions() -> None:
    assert "after 10 days" in _checks(_rule("", OLD_GO), versioned=True)["lifecycle_versions"].text
    assert "lifecycle_versions" not in _checks(_rule("", OLD_GO))


def test_a_bucket_without_rules_gets_one_for_unfinished_uploads() -> None:
    proposal = propose(_rules(days=6.5))
    assert proposal.lifecycle.rules == (
        {
            "ID": "btrfs-to-s3 pre: unfinished uploads",
            "Filter": {"Prefix": "pre/"},
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
    )
    assert proposal.changed == ("btrfs-to-s3 pre: unfinished uploads",)


def test_a_bucket_that_keeps_versions_gets_one_for_them_too() -> None:
    proposal = propose(_rules(versioned=True, prefix="", days=90))
    [_, versions] = proposal.lifecycle.rules
    assert versions["ID"] == "btrfs-to-s3 /: old versions"
    assert versions["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert propose(_rules(versioned=True, days=1)).lifecycle.rules[1][
        "NoncurrentVersionExpiration"
    ] == {"NoncurrentDays": 30}


def test_the_rules_of_a_repository_at_the_top_leave_the_rest_of_the_bucket_alone() -> None:
    proposal = propose(_rules(versioned=True, prefix=""))
    assert [rule["Filter"] for rule in proposal.lifecycle.rules] == [{"Prefix": "chunks/"}] * 2


def test_nothing_is_proposed_where_rules_of_others_do_it() -> None:
    proposal = propose(_rules(_rule("", ABORT, OLD_GO), versioned=True))
    assert proposal.changed == ()
    assert proposal.lifecycle.rules == (_rule("", ABORT, OLD_GO),)


def test_our_rule_follows_orphan_age() -> None:
    first = propose(_rules(days=3))
    second = propose(_rules(*first.lifecycle.rules, days=10))
    assert len(second.lifecycle.rules) == 1
    assert second.changed == first.changed


def test_the_rule_of_another_repository_is_a_rule_of_others() -> None:
    other = propose(_rules(prefix="other")).lifecycle.rules
    both = propose(_rules(*other)).lifecycle
    assert both.rules[0] == other[0]
    assert len(both.rules) == 2


def test_ids_fit_and_stay_apart_however_long_the_prefix() -> None:
    names = {propose(_rules(prefix="x" * 500 + end)).changed[0] for end in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) <= 255


ACTIONS = st.sampled_from([ABORT, GLACIER, EXPIRE, OLD_GO, COOLER, MARKERS])
RULES = st.builds(
    _rule,
    st.sampled_from(["", "pre", "pre/", "pre/chunks/", "pre/heads/", "other/"]),
    ACTIONS,
    ACTIONS,
    name=st.sampled_from(["", "a", "b", "btrfs-to-s3 other: unfinished uploads"]),
)


@given(st.lists(RULES, max_size=5), st.booleans())
def test_rules_of_others_always_stay_as_they_are(found: list[Rule], versioned: bool) -> None:
    rules = _rules(*found, versioned=versioned)
    proposal = propose(rules)
    assert proposal.lifecycle.rules[: len(found)] == tuple(found)
    assert keeps_foreign(rules.lifecycle, proposal.lifecycle, rules)
    again = propose(_rules(*proposal.lifecycle.rules, versioned=versioned))
    assert again.changed == ()
    assert again.lifecycle == proposal.lifecycle


@given(st.lists(RULES, min_size=1, max_size=5))
def test_a_lost_rule_of_others_is_noticed(found: list[Rule]) -> None:
    rules = _rules(*found)
    rest = tuple(rule for rule in found if rule != found[0])
    assert not keeps_foreign(rules.lifecycle, Lifecycle(rest), rules)


def _listed(key: str, storage_class: str, *, thawed: bool = False) -> ListedObject:
    until = T0 if thawed else None
    return ListedObject(key, 1, "e", T0, storage_class, thawed_until=until)


def test_metadata_in_an_archive_class_is_a_failure_that_names_it() -> None:
    found = [_listed("heads/a", "STANDARD"), _listed("manifests/b", "GLACIER")]
    check = judge_archived(found)
    assert check.verdict is Verdict.FAIL
    assert "1 of 2 objects" in check.text
    assert "manifests/b (GLACIER)" in check.text


def test_metadata_that_is_thawed_for_now_is_a_warning() -> None:
    found = [_listed("manifests/b", "DEEP_ARCHIVE", thawed=True)]
    assert judge_archived(found).verdict is Verdict.WARN


def test_metadata_in_glacier_ir_is_in_order() -> None:
    assert judge_archived([_listed("heads/a", "GLACIER_IR")]).verdict is Verdict.PASS

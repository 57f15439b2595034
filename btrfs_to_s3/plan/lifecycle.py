"""What a bucket's lifecycle rules do to a repository, and which rules it should have.

Source: Amazon S3 User Guide, "Lifecycle configuration elements": a rule acts on keys below its
prefix (an empty one: on all), narrowed by tags and sizes; of several rules that abort uploads the
shortest counts. Objects of a repository carry no tags, so a rule that asks for one does not act on
them. Sizes are not trusted to save anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.model.bucket import Lifecycle
from btrfs_to_s3.model.check import Check, failed, passed, warned
from btrfs_to_s3.model.storage_class import storage_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from btrfs_to_s3.model.objects import ListedObject

OWN: Final = "btrfs-to-s3"
"""What the ids of our rules begin with; the repository's prefix follows."""
_ID_LENGTH: Final = 255
_DAY: Final = timedelta(days=1)
_NONCURRENT_AT_LEAST: Final = 30 * _DAY
"""Time to notice that something was deleted or overwritten by mistake."""
_REMEDY: Final = (
    "limit the rule to a prefix that leaves the repository out (chunks/ may be moved, metadata not)"
)


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """What was observed and what counts.

    ``prefix`` is the repository's, without slashes. ``metadata`` and ``chunks`` are key prefixes
    below it: what every command reads, and the data. ``orphan_age`` is longer than any upload.
    """

    lifecycle: Lifecycle
    prefix: str
    metadata: tuple[str, ...]
    chunks: str
    orphan_age: timedelta
    versioned: bool

    def full(self, part: str) -> str:
        """A key prefix below the repository's as the bucket knows it."""
        return f"{self.prefix}/{part}" if self.prefix else part


@dataclass(frozen=True, slots=True)
class Proposal:
    """The configuration as it should be; ``changed`` are the ids of our rules in it that are new.

    Rules of others stand in it as they are, first and in their order.
    """

    lifecycle: Lifecycle
    changed: tuple[str, ...]


def judge(rules: LifecycleRules) -> list[Check]:
    """A line for unfinished uploads, one for what happens to metadata, one for each told fact."""
    acting = [rule for rule in map(_Rule, rules.lifecycle.rules) if rule.acts]
    checks = [_unfinished(rules, acting)]
    harm = [check for rule in acting for check in _harm(rule, rules)]
    checks += harm or [passed("lifecycle_metadata", "no rule moves or deletes what is stored here")]
    for rule in acting:
        checks += _told(rule, rules)
    return checks


def propose(rules: LifecycleRules) -> Proposal:
    """The rules of others, and ours: unfinished uploads, and old versions where they are kept."""
    ours = {str(rule["ID"]): rule for rule in _own_rules(rules)}
    present = {_Rule(rule).id: rule for rule in rules.lifecycle.rules}
    foreign = [rule for rule in rules.lifecycle.rules if _Rule(rule).id not in _own_ids(rules)]
    changed = tuple(name for name, rule in ours.items() if present.get(name) != rule)
    lifecycle = Lifecycle((*foreign, *ours.values()), rules.lifecycle.transition_minimum)
    return Proposal(lifecycle, changed)


def keeps_foreign(before: Lifecycle, after: Lifecycle, rules: LifecycleRules) -> bool:
    """Whether every rule of others in ``before`` is in ``after`` as it was."""
    own = _own_ids(rules)
    return all(
        any(rule == other for other in after.rules)
        for rule in before.rules
        if _Rule(rule).id not in own
    )


def judge_archived(found: Sequence[ListedObject]) -> Check:
    """Metadata that already lies in an archive class; ``found`` is all of it."""
    archived = [each for each in found if storage_class(each.storage_class).archived]
    frozen = [each for each in archived if each.thawed_until is None]
    if not archived:
        return passed("metadata_class", f"all {len(found)} objects of metadata can be read at once")
    examples = ", ".join(f"{each.key} ({each.storage_class})" for each in archived[:3])
    remedy = (
        "thaw each (aws s3api restore-object), copy it onto itself with --storage-class STANDARD, "
        "and take metadata out of the lifecycle rule that moved it"
    )
    what = f"{len(archived)} of {len(found)} objects of metadata lie in an archive class"
    if frozen:
        return failed(
            "metadata_class", f"{what}, so that backups cannot be listed: {examples}", remedy
        )
    return warned("metadata_class", f"{what}, thawed for now: {examples}", remedy)


def _unfinished(rules: LifecycleRules, acting: Iterable[_Rule]) -> Check:
    """Whether parts of uploads that were never finished go, and not too early."""
    name = "lifecycle_uploads"
    chunks = rules.full(rules.chunks)
    aborting = [rule for rule in acting if rule.abort is not None and rule.touches(chunks)]
    early = [rule for rule in aborting if (rule.abort or timedelta(0)) < rules.orphan_age]
    if early:
        shortest = min(early, key=lambda rule: rule.abort or timedelta(0))
        return warned(
            name,
            f"{shortest.named} aborts uploads after {_days(shortest.abort)}, sooner than "
            f"orphan_age ({_days(rules.orphan_age)}): one that still goes on may be among them",
            "lengthen it, or lower orphan_age if no upload takes that long",
        )
    covering = [rule for rule in aborting if rule.covers(chunks)]
    if not covering:
        return warned(
            name,
            "no rule aborts unfinished uploads: parts that a killed run left are billed until then",
            "btrfs-to-s3 doctor --apply sets one",
        )
    return passed(name, f"{covering[0].named} aborts unfinished uploads ({_abort_text(covering)})")


def _abort_text(covering: Sequence[_Rule]) -> str:
    return f"after {_days(min(rule.abort or timedelta(0) for rule in covering))}"


def _harm(rule: _Rule, rules: LifecycleRules) -> list[Check]:
    """What a rule does that backups cannot stand."""
    checks: list[Check] = []
    metadata = [part for part in rules.metadata if rule.touches(rules.full(part))]
    stored = [part for part in (*rules.metadata, rules.chunks) if rule.touches(rules.full(part))]
    if stored and rule.expires:
        checks.append(
            failed(
                "lifecycle_expiration",
                f"{rule.named} deletes {_names(stored)} {rule.expires}: backups would be lost",
                "remove its Expiration, or limit the rule to another prefix; prune removes backups",
            )
        )
    for target, when, versions in rule.moves if metadata else ():
        what = f"{rule.named} moves {versions}{_names(metadata)} to {target} {when}"
        if storage_class(target).archived:
            why = "metadata must be readable at once: every command would wait for a thaw of hours"
            checks.append(failed("lifecycle_metadata", f"{what}; {why}", _REMEDY))
        else:
            why = "metadata stays readable, but is billed for that class's minimum duration"
            checks.append(warned("lifecycle_metadata", f"{what}; {why}", _REMEDY))
    return checks


def _told(rule: _Rule, rules: LifecycleRules) -> list[Check]:
    """What a rule does that a person may want."""
    checks: list[Check] = []
    if rule.touches(rules.full(rules.chunks)):
        for target, when, versions in rule.moves:
            thaw = ", so restores need a thaw" if storage_class(target).archived else ""
            text = f"{rule.named} moves {versions}{rules.chunks} to {target} {when}{thaw}"
            checks.append(passed("lifecycle_chunks", text))
    everything = rules.full("")
    if rules.versioned and rule.noncurrent and rule.touches(everything):
        text = f"{rule.named} removes versions that were replaced or deleted {rule.noncurrent}"
        checks.append(passed("lifecycle_versions", text))
    return checks


class _Rule:
    """Reads one rule of the S3 API; what is missing or of another type counts as absent."""

    def __init__(self, raw: Mapping[str, object]) -> None:
        self._raw = raw
        filter_ = _table(raw, "Filter")
        both = _table(filter_, "And")
        prefix = raw.get("Prefix", both.get("Prefix", filter_.get("Prefix", "")))
        self.prefix = str(prefix)
        self._tagged = "Tag" in filter_ or bool(both.get("Tags"))

    @property
    def id(self) -> str:
        """The rule's id; S3 gives one to a rule without."""
        return str(self._raw.get("ID", ""))

    @property
    def named(self) -> str:
        """How messages call it."""
        return f"rule {self.id!r}" if self.id else f"the rule for {self.prefix or 'the bucket'!r}"

    @property
    def acts(self) -> bool:
        """Whether it is switched on and can act on objects without tags."""
        return self._raw.get("Status") == "Enabled" and not self._tagged

    def touches(self, full_prefix: str) -> bool:
        """Whether it acts on some key that begins so."""
        return self.prefix.startswith(full_prefix) or full_prefix.startswith(self.prefix)

    def covers(self, full_prefix: str) -> bool:
        """Whether it acts on every key that begins so."""
        return full_prefix.startswith(self.prefix)

    @property
    def abort(self) -> timedelta | None:
        """How old an unfinished upload gets."""
        days = _table(self._raw, "AbortIncompleteMultipartUpload").get("DaysAfterInitiation")
        return days * _DAY if isinstance(days, int) else None

    @property
    def expires(self) -> str:
        """When it deletes objects, in words; empty if never. Bare delete markers hold nothing."""
        found = _table(self._raw, "Expiration")
        return _when(found) if found.keys() & {"Days", "Date"} else ""

    @property
    def noncurrent(self) -> str:
        """When it deletes versions that are not the latest, in words; empty if never."""
        found = _table(self._raw, "NoncurrentVersionExpiration")
        return _when(found) if found else ""

    @property
    def moves(self) -> list[tuple[str, str, str]]:
        """Storage class, when, and ``old versions of`` where it is about those."""
        found = [
            (str(each.get("StorageClass", "")), _when(each), "")
            for each in _tables(self._raw, "Transitions")
        ]
        return found + [
            (str(each.get("StorageClass", "")), _when(each), "old versions of ")
            for each in _tables(self._raw, "NoncurrentVersionTransitions")
        ]


def _own_rules(rules: LifecycleRules) -> list[dict[str, object]]:
    uploads, versions = _own_ids(rules)
    present = {_Rule(rule).id for rule in rules.lifecycle.rules}
    others = [rule for rule in map(_Rule, rules.lifecycle.rules) if rule.acts]
    chunks = rules.full(rules.chunks)
    # At the bucket's top there may be others' keys, whose old versions are not ours to remove.
    ours = rules.full("") or chunks
    made: list[dict[str, object]] = []
    aborted = any(
        rule.id != uploads and rule.abort is not None and rule.covers(chunks) for rule in others
    )
    if uploads in present or not aborted:
        days = {"DaysAfterInitiation": _whole_days(rules.orphan_age)}
        made.append(_made(uploads, ours, "AbortIncompleteMultipartUpload", days))
    expired = any(rule.id != versions and rule.noncurrent and rule.covers(ours) for rule in others)
    if versions in present or (rules.versioned and not expired):
        days = {"NoncurrentDays": _whole_days(max(rules.orphan_age, _NONCURRENT_AT_LEAST))}
        made.append(_made(versions, ours, "NoncurrentVersionExpiration", days))
    return made


def _made(name: str, prefix: str, action: str, days: dict[str, int]) -> dict[str, object]:
    return {"ID": name, "Filter": {"Prefix": prefix}, "Status": "Enabled", action: days}


def _own_ids(rules: LifecycleRules) -> tuple[str, str]:
    return _own_id(rules.prefix, "unfinished uploads"), _own_id(rules.prefix, "old versions")


def _own_id(prefix: str, what: str) -> str:
    """``btrfs-to-s3 <prefix>: <what>``, a long prefix cut and told apart by its digest."""
    room = _ID_LENGTH - len(f"{OWN} : {what}")
    if len(prefix) > room:
        digest = sha256(prefix.encode()).hexdigest()[:16]
        prefix = f"{prefix[: room - len(digest) - 1]}-{digest}"
    return f"{OWN} {prefix or '/'}: {what}"


def _whole_days(length: timedelta) -> int:
    """Rounded up; S3 takes no less than one."""
    return max(1, -(-length // _DAY))


def _days(length: timedelta | None) -> str:
    days = (length or timedelta(0)) / _DAY
    return f"{days:g} day{'' if days == 1 else 's'}"


def _when(found: Mapping[str, object]) -> str:
    for name in ("Days", "NoncurrentDays"):
        if name in found:
            return f"after {found[name]} days"
    return f"on {found['Date']}" if "Date" in found else "at some time"


def _names(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def _table(raw: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = raw.get(name)
    return found if isinstance(found, Mapping) else {}


def _tables(raw: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    found = raw.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []

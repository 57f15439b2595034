"""What can go wrong between a client and a service, and for which requests it does.

A rule counts every request that it fits; from its `first` to its `last` one it acts. Of several
rules that would act on one request, the earliest in the list does. The order of events:

    request headers -> DELAY, RESET (request) -> request body -> ANSWER -> the service works
    -> LOSE_ANSWER, ANSWER (processed) -> answer headers -> answer body with RESET, TRUNCATE,
    CORRUPT or STALL at `at_byte` of it
"""

import dataclasses
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Act(StrEnum):
    """What happens to a request, or to its answer."""

    ANSWER = "answer"  # an S3 error answers; the service sees the request only if `processed`
    RESET = "reset"  # the connection is reset at `at_byte` of the body (RST)
    TRUNCATE = "truncate"  # the answer ends at `at_byte`, the connection closes in good order
    CORRUPT = "corrupt"  # one bit of the byte `at_byte` is turned over
    STALL = "stall"  # nothing more of the answer comes for `seconds`, from `at_byte` on
    LOSE_ANSWER = "lose-answer"  # the service does its work, then the connection is reset
    DELAY = "delay"  # the request reaches the service `seconds` later


class Side(StrEnum):
    """Whose body RESET and CORRUPT act on."""

    REQUEST = "request"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that goes wrong. Patterns are regular expressions.

    `operation` and `method` must fit in full; `path`, which includes the query, anywhere.
    Bodies shorter than `at_byte` are hit at their last byte. A body that is to be corrupted keeps
    its length and its headers.
    """

    act: Act
    operation: str = ".*"
    method: str = ".*"
    path: str = ""
    first: int = 1
    last: int | None = None
    probability: float = 1.0
    side: Side = Side.ANSWER
    at_byte: int = 0
    seconds: float = 0.0
    status: int = 500
    code: str = "InternalError"
    processed: bool = False
    name: str = ""

    @property
    def label(self) -> str:
        """What the log calls this rule."""
        what = self.code if self.act is Act.ANSWER else self.act.value
        return self.name or f"{what} on {self.operation}"

    def fits(self, operation: str, method: str, path: str) -> bool:
        """Whether a request is one of those this rule counts."""
        return bool(
            re.fullmatch(self.operation, operation)
            and re.fullmatch(self.method, method)
            and re.search(self.path, path)
        )

    def error_body(self, path: str) -> bytes:
        """The S3 error document of an ANSWER."""
        resource = path.partition("?")[0].replace("&", "&amp;").replace("<", "&lt;")
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>scripted: {self.label}</Message>"
            f"<Resource>{resource}</Resource><RequestId>FAULTPROXY</RequestId></Error>"
        ).encode()


def answer(status: int, code: str, **when: Any) -> Rule:  # noqa: ANN401 - the fields of Rule
    """An S3 error instead of the service's answer; 200 for an error inside a success."""
    return Rule(act=Act.ANSWER, status=status, code=code, **when)


def internal_error(**when: Any) -> Rule:  # noqa: ANN401
    """500 InternalError."""
    return answer(500, "InternalError", **when)


def slow_down(**when: Any) -> Rule:  # noqa: ANN401
    """503 SlowDown."""
    return answer(503, "SlowDown", **when)


def access_denied(**when: Any) -> Rule:  # noqa: ANN401
    """403 AccessDenied."""
    return answer(403, "AccessDenied", **when)


def expired_token(**when: Any) -> Rule:  # noqa: ANN401
    """400 ExpiredToken: temporary credentials ran out."""
    return answer(400, "ExpiredToken", **when)


def clock_skew(**when: Any) -> Rule:  # noqa: ANN401
    """403 RequestTimeTooSkewed."""
    return answer(403, "RequestTimeTooSkewed", **when)


class Script:
    """Rules with their counters: decides, request by request, which rule acts."""

    def __init__(self, rules: Sequence[Rule], seed: int = 0) -> None:
        self._rules = list(rules)
        self._fitted = [0] * len(self._rules)
        self._random = random.Random(seed)  # noqa: S311 - faults must repeat, not surprise

    def rule_for(self, operation: str, method: str, path: str) -> Rule | None:
        """Count the request and return the rule that acts on it."""
        chosen = None
        for index, rule in enumerate(self._rules):
            if not rule.fits(operation, method, path):
                continue
            self._fitted[index] += 1
            due = rule.first <= self._fitted[index] <= (rule.last or self._fitted[index])
            if chosen is None and due and self._random.random() < rule.probability:
                chosen = rule
        return chosen


def write_rules(path: Path, rules: Sequence[Rule], seed: int = 0) -> None:
    """Replace the rules file in one step, so that a reader sees all or nothing of it."""
    document = {"seed": seed, "rules": [dataclasses.asdict(rule) for rule in rules]}
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(document))
    draft.replace(path)


def read_rules(path: Path) -> Script:
    """The script in a rules file, with all counters at zero."""
    document = json.loads(path.read_text())
    rules = [
        Rule(**entry | {"act": Act(entry["act"]), "side": Side(entry["side"])})
        for entry in document["rules"]
    ]
    return Script(rules, document["seed"])

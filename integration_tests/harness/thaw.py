"""How far a stage's chunks are thawed, by plain S3, and what can go wrong with their thaw.

Source: S3 API, RestoreObject and HeadObject (`x-amz-restore`).
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faultproxy.proxy import FaultProxy, fault_proxy
from integration_tests.harness.faultproxy.rules import answer
from integration_tests.harness.machine.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from integration_tests.harness.scripting.program import Program
    from integration_tests.harness.scripting.script import Script
    from integration_tests.harness.scripting.settings import Settings
    from integration_tests.harness.scripting.stage import Stage

_EXPIRED: Final = 3
"""How many GETs of chunks are refused as if their copies had gone away."""
_NOT_READABLE_YET: Final = 6
_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class Thaw(Enum):
    """How far an object is."""

    READABLE = "readable"
    FROZEN = "frozen"
    UNDER_WAY = "under way"


@dataclass(frozen=True, slots=True)
class Thawing:
    """The objects with these keys."""

    client: S3Client
    bucket: str
    keys: tuple[str, ...]

    def state(self, key: str) -> Thaw:
        """How far one object is; one HEAD."""
        head = self.client.head_object(Bucket=self.bucket, Key=key)
        if head.get("StorageClass", "STANDARD") not in _ARCHIVED:
            return Thaw.READABLE
        restore = head.get("Restore", "")
        if not restore:
            return Thaw.FROZEN
        return Thaw.UNDER_WAY if 'ongoing-request="true"' in restore else Thaw.READABLE

    def states(self) -> set[Thaw]:
        """The states that occur."""
        return {self.state(key) for key in self.keys}

    def is_done(self) -> bool:
        """Whether everything can be read."""
        return self.states() == {Thaw.READABLE}

    def are_older_than(self, seconds: float) -> bool:
        """Whether every object was written longer ago; times of S3 are whole seconds."""
        written = (
            self.client.head_object(Bucket=self.bucket, Key=key)["LastModified"].timestamp()
            for key in self.keys
        )
        return time.time() - max(written) > seconds + 1

    def is_asked_for(self) -> bool:
        """Whether nothing is frozen any more."""
        return Thaw.FROZEN not in self.states()


@contextlib.contextmanager
def thawing(stage: Stage, settings: Settings) -> Iterator[Thawing]:
    """All chunks that are stored now, once they can be thawed.

    moto takes the first steps of an object that is younger than a thaw takes for its end.
    """
    keys = (f"{stage.prefix}/{key}" for key in stage.keys(settings) if key.startswith("chunks/"))
    with contextlib.closing(stage.service(settings).client(attempts=5)) as client:
        thawing = Thawing(client, stage.bucket, tuple(keys))
        if settings.is_embedded:
            thaw_s = settings.archive.thaw.seconds
            wait_until(lambda: thawing.are_older_than(thaw_s), settings.archive.timeout.seconds)
        yield thawing


def require_refused(script: Script, stage: Stage, program: Program, when: str) -> None:
    """A restore that may not wait now ends with 6 and leaves nothing."""
    run = program.run("restore", "data", "--target", str(stage.target))
    script.check(run.exit_code == _NOT_READABLE_YET, f"{when}: exit 6", run.exit_code)
    script.check(not any(stage.target.iterdir()), "and nothing is left at the target")


def killed_while_waiting(script: Script, program: Program, thaw: Thawing, *options: str) -> None:
    """Start a restore that waits, and end it by SIGKILL once it has asked for everything."""
    arguments = ("restore", "data", "--wait", *options)
    began = time.monotonic()
    process = program.start(*arguments)
    try:
        wait_until(lambda: thaw.is_asked_for() or process.poll() is not None, PATIENCE_S, 0.2)
        script.require(process.poll() is None, "a restore waits for the thaw", process.returncode)
    finally:
        process.kill()
        out, err = process.communicate()
    program.finished(process, arguments, out, err, time.monotonic() - began)


@contextlib.contextmanager
def going_away(script: Script, stage: Stage) -> Iterator[tuple[FaultProxy | None, dict[str, str]]]:
    """Copies that go away in mid-download, and 409 to whoever asks again; and the way there.

    A real bucket cannot be made to do this: None there.
    """
    if not script.settings.is_embedded:
        yield None, {}
        return
    rules = (
        answer(403, "InvalidObjectState", operation="GetObject", path="/chunks/", last=_EXPIRED),
        answer(409, "RestoreAlreadyInProgress", operation="RestoreObject"),
    )
    with fault_proxy(stage.moto, *rules) as proxy:
        yield proxy, proxy.service.environment()


def check_went_away(script: Script, proxy: FaultProxy | None) -> None:
    """That the restore met what `going_away` prepared; else say that it was not tried."""
    if proxy is None:
        script.figures["not_tried"] = "copies that go away, and 409: not with a real bucket"
        script.say(script.figures["not_tried"])
        return
    met = [request.operation for request in proxy.requests() if request.rule]
    script.check(met.count("GetObject") == _EXPIRED, "copies went away in mid-download", met)
    script.check("RestoreObject" in met, "and asking again was answered 409", met)

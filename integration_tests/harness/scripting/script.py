"""The frame of every script: options, privilege, logs, checks, a plain end and a result on disk."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from integration_tests.harness.scripting import stage as stages
from integration_tests.harness.scripting.privilege import (
    PrivilegeError,
    as_root,
    give_back,
    give_one,
    require_root,
)
from integration_tests.harness.scripting.program import Program
from integration_tests.harness.scripting.settings import (
    DEFAULT_CONFIG,
    DEFAULT_ENV,
    Settings,
    SettingsError,
    load,
)
from integration_tests.harness.services.paths import run_directory
from integration_tests.harness.services.process import ServiceStartError

if TYPE_CHECKING:
    from collections.abc import Callable

PASSED: Final = 0
FAILED: Final = 1
UNUSABLE: Final = 2
NOT_PERMITTED: Final = 3
_TAIL_LINES: Final = 20


class ScriptFailedError(Exception):
    """A check failed that the rest of the script builds on."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    text: str
    passed: bool
    detail: str


@dataclass(slots=True)
class Script:
    """What a script's body works with."""

    name: str
    options: argparse.Namespace
    settings: Settings
    logs: Path
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def stage(self) -> stages.Stage:
        """The stage that set-up made."""
        return stages.find(self.settings)

    def program(self, stage: stages.Stage | None = None, **settings: str) -> Program:
        """The program under test on a stage (by default the one of set-up)."""
        environment = (stage or self.stage()).environment(self.settings)
        return Program(self.settings.command, environment, self.logs).with_settings(**settings)

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"  {text}", flush=True)

    def check(self, passed: object, text: str, detail: object = "") -> bool:
        """Note what was found; a failed check fails the script, which goes on."""
        check = Check(text, bool(passed), str(detail))
        self.checks.append(check)
        mark = "ok  " if check.passed else "FAIL"
        shown = f": {check.detail}" if check.detail and not check.passed else ""
        print(f"  {mark} {text}{shown}", flush=True)
        return check.passed

    def require(self, passed: object, text: str, detail: object = "") -> None:
        """A check without which the rest makes no sense."""
        if not self.check(passed, text, detail):
            raise ScriptFailedError(text)

    @property
    def passed(self) -> bool:
        """Whether something was checked, and all of it held."""
        return bool(self.checks) and all(check.passed for check in self.checks)


def run_script(
    body: Callable[[Script], None],
    *,
    needs_root: bool = False,
    options: Callable[[argparse.ArgumentParser], None] | None = None,
    config: Path = DEFAULT_CONFIG,
) -> NoReturn:
    """Run a script's body and exit: 0 passed, 1 failed, 2 unusable settings, 3 not permitted."""
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--config", type=Path, default=config, help="[default: %(default)s]")
    parser.add_argument("--env", type=Path, default=DEFAULT_ENV, help="[default: %(default)s]")
    if options is not None:
        options(parser)
    chosen = parser.parse_args()
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    # A shell starts its background jobs with SIGINT ignored, and children would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        settings = load(chosen.config, chosen.env)
        if needs_root:
            require_root()
        sys.exit(_run(name, body, chosen, settings))
    except SettingsError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)
    except (PrivilegeError, PermissionError) as error:
        print(f"{name}: {error}\nUse: {as_root()}", file=sys.stderr)
        sys.exit(NOT_PERMITTED)


def _run(
    name: str, body: Callable[[Script], None], options: argparse.Namespace, settings: Settings
) -> int:
    started = datetime.now(UTC)
    clock = time.monotonic()
    stamp = f"{started:%Y%m%dT%H%M%S.%fZ}"
    logs = settings.logs_dir / f"{stamp}-{name}"
    logs.mkdir(parents=True)
    script = Script(name, options, settings, logs)
    print(f"{name}: {settings.file.name}", flush=True)
    error = ""
    try:
        body(script)
    except ScriptFailedError:
        pass
    except (SettingsError, PrivilegeError, PermissionError):
        raise
    except KeyboardInterrupt:
        error = "interrupted"
    except (stages.StageError, ServiceStartError) as reason:
        error = str(reason)
    except Exception as reason:  # noqa: BLE001 - a script reports whatever went wrong
        error = f"{type(reason).__name__}: {reason}"
        (logs / "traceback.log").write_text(traceback.format_exc(), encoding="utf-8")
    passed = script.passed and not error
    seconds = time.monotonic() - clock
    result = settings.results_dir / f"{stamp}-{name}.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "script": name,
        "config": str(settings.file),
        "started_time": started.isoformat(),
        "seconds": round(seconds, 3),
        "passed": passed,
        "error": error,
        "checks": [
            {"text": each.text, "passed": each.passed, "detail": each.detail}
            for each in script.checks
        ],
        "figures": script.figures,
        "logs": str(logs),
    }
    result.write_text(json.dumps(document, indent=1, default=str), encoding="utf-8")
    for path in (run_directory(), settings.run_dir, settings.logs_dir, settings.results_dir):
        give_one(path)
    give_back(logs, result)
    if not passed:
        _show_tail(logs)
    if error:
        print(f"{name}: {error}", file=sys.stderr)
    count = sum(check.passed for check in script.checks)
    verdict = "PASS" if passed else "FAIL"
    print(f"{verdict} {name}: {count}/{len(script.checks)} checks, {seconds:.1f} s; {result}")
    return PASSED if passed else FAILED


def _show_tail(logs: Path) -> None:
    """The end of what the program said last."""
    written = sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
    if written:
        lines = written[-1].read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"--- the end of {written[-1]}", *lines[-_TAIL_LINES:], "---", sep="\n")

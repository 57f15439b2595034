"""Entry point of the command line: from arguments to an exit code, whatever happens between."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.shell_completion import shell_complete

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.lazily import lazily
from btrfs_to_s3.cli.messages import Messages, Style, Verbosity
from btrfs_to_s3.cli.options import AskedError
from btrfs_to_s3.cli.output import Result, settle, standard_streams, write_json, write_text
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.root import COMPLETE, PROGRAM, root
from btrfs_to_s3.cli.session import Machine, Session
from btrfs_to_s3.errors import BtrfsToS3Error, ExitCode, UsageError
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.host.signals import StopSignal, outlive_stops
from btrfs_to_s3.host.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import TextIO


def main() -> None:
    """Run the program and exit."""
    stdout, stderr = standard_streams()
    if "WATCHDOG_USEC" in os.environ:
        # systemd ends a run that hangs by SIGABRT: its log then says where every thread was.
        faulthandler.enable(file=2)
    if COMPLETE in os.environ:
        sys.exit(shell_complete(root, {}, PROGRAM, COMPLETE, os.environ[COMPLETE]))
    code = run(sys.argv[1:], os.environ, stdout, stderr)
    outlive_stops()
    # Python flushes both at its end, and a failure there would replace the exit code by 120.
    settle(stdout, stderr)
    sys.exit(code)


def run(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    stdout: TextIO,
    stderr: TextIO,
    machine: Machine | None = None,
) -> int:
    """Run one command line; the exit code."""
    with StopSignal() as stop:
        session = Session(environ, stdout, stderr, stop, machine=machine or Machine())
        session.options.json = _asks_for_json(arguments)
        failure: Failure | None = None
        try:
            with _supervised(session) as finish:
                result = _outcome(session, arguments)
                failure = result.failure
                finish(failure)
                failure = _finish(session, result)
        except KeyboardInterrupt:
            # Ctrl-C again, while the first one was being honoured; what had failed has failed.
            failure = failure or Failure.of_stop("SIGINT")
        except Exception as error:
            # A result that cannot even be made into text.
            _tell(session, Failure.of_bug(error))
            raise
        _tell(session, failure)
        return ExitCode.DONE if failure is None else failure.code


def _tell(session: Session, failure: Failure | None) -> None:
    """Tell those who are not there how it ended."""
    with contextlib.suppress(KeyboardInterrupt):
        session.ended(failure)


def _supervised(session: Session) -> AbstractContextManager[Callable[[Failure | None], None]]:
    """Tell the service manager of the run, where one wants to know; given how it ends."""
    supervisor = Supervisor.of(session.environ)
    if supervisor is None:
        return contextlib.nullcontext(lambda _: None)
    supervised: AbstractContextManager[Callable[[Failure | None], None]] = lazily(
        "btrfs_to_s3.cli.supervision:supervised"
    )(session, supervisor)
    return supervised


def _outcome(session: Session, arguments: Sequence[str]) -> Result:
    """What the command has to say, or why it has nothing."""
    try:
        with root.make_context(PROGRAM, list(arguments), obj=session) as context:
            said = root.invoke(context)
        if isinstance(said, Result):
            return said
        failure = Failure.of_bug(TypeError(f"a command gave {type(said).__name__}"))
    except AskedError as asked:
        return asked.result
    except click.ClickException as error:
        failure = Failure.of_click(error)
    except BtrfsToS3Error as error:
        _trace(session)
        failure = session.failure_of(error)
    except (KeyboardInterrupt, click.Abort):
        failure = Failure.of_stop("SIGINT")
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may end in a wrong exit code
        _trace(session)
        failure = Failure.of_bug(error)
    return Result(documents.of_failure(failure), (), failure, [("", failure)])


def _finish(session: Session, result: Result) -> Failure | None:
    """Show the result; what cannot be shown is a failure of its own. What ends the program."""
    messages = _messages(session)
    try:
        _print(session, result)
    except BtrfsToS3Error as error:
        unwritten = Failure.of(error)
        result = replace(
            result,
            failure=result.failure or unwritten,
            failures=[*result.failures, ("", unwritten)],
        )
    for subject, failure in result.failures:
        messages.fail(failure, subject)
    return result.failure


def _print(session: Session, result: Result) -> None:
    if session.options.json:
        write_json(session.stdout, result.made_document())
    elif not (result.summary and session.options.quiet):
        write_text(session.stdout, result.made_text())


def _messages(session: Session) -> Messages:
    """Standard error, also when the options that say how were refused."""
    try:
        return session.messages
    except UsageError:
        style = Style.of(session.stderr, session.environ)
        return Messages(session.stderr, style, Verbosity.NORMAL, utc_now)


def _trace(session: Session) -> None:
    """The traceback of what is being handled, for ``-v``."""
    if session.options.verbose and not session.options.quiet:
        session.messages.debug(traceback.format_exc().rstrip())


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether ``--json`` was given, also on a command line that cannot be read otherwise."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before

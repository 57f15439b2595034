"""Telling those who are not there how a run goes and how it went.

Who is told of a command's runs is whom it takes the setting of: a check of a watch service
(ping_url) expects one job, so other commands must not pass for backups; nobody is told of a
restore, since whoever restores sits there.

A run is surrounded: ``begin`` is called before its command does anything, ``Telling.end`` once
the result is out and the exit code is fixed, whatever happened between. Nothing here changes
either. What cannot be told is a warning; the end waits for the outside no longer than
``_WITHIN_S``, ``_STOPPED_WITHIN_S`` after a signal asked to stop, and no more once one asks then.
"""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
import time
import traceback
import uuid
from typing import TYPE_CHECKING, Any, Final

from btrfs_to_s3.cli.following import RunFollower
from btrfs_to_s3.cli.rendering import metrics
from btrfs_to_s3.cli.rendering import told as told_rendering
from btrfs_to_s3.config.settings import METRICS_FILE, NOTIFY_URLS, PING_URL
from btrfs_to_s3.config.told import read_told
from btrfs_to_s3.errors import ExitCode, UsageError
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.host.durable import write_atomically
from btrfs_to_s3.host.identity import host_name
from btrfs_to_s3.host.notify import INSTALL, Notification, Notifier, is_installed
from btrfs_to_s3.host.ping import Pinger, Signal
from btrfs_to_s3.operations.history import recall_sources, remember_run
from btrfs_to_s3.wiring.state import local_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.config.setting import Setting
    from btrfs_to_s3.host.state import LocalStateDirectory
    from btrfs_to_s3.model.account import RunAccount
    from btrfs_to_s3.operations.history import Remembered

_WITHIN_S: Final = 12.0
_STOPPED_WITHIN_S: Final = 2.0
_POLL_S: Final = 0.02
_METRICS_MODE: Final = 0o644
_SECRETS: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def begin(session: Session, command: str) -> None:
    """A run of this command begins: it is followed and told of from now on."""
    try:
        follower = RunFollower(command, utc_now)
        telling = Telling(session, command, follower)
    except Exception as error:  # noqa: BLE001 - the boundary: telling never fails a run
        session.messages.warn(f"nobody will be told of this run: {type(error).__name__}")
    else:
        session.followers.append(follower)
        session.follower = follower
        session.ended = telling.end


class Telling:
    """One run, from its begin to its end."""

    def __init__(self, session: Session, command: str, follower: RunFollower) -> None:
        options = session.options
        found = read_told(
            options.config,
            environ=session.environ,
            command_line=session.settings,
            read=session.read_table,
        )
        self._session = session
        self._command = command
        self._follower = follower
        self._told = found.told
        self._host = _host(found.host)
        self._started = utc_now()
        self._lock = threading.Lock()
        self._over = False
        self._pinger: Pinger | None = None
        if self._takes(PING_URL) and self._told.ping_url is not None:
            self._pinger = Pinger(self._told.ping_url, str(uuid.uuid4()), self._warn)
            self._pinger.send(Signal.START)

    def end(self, failure: Failure | None) -> None:
        """The run ended so; only ``KeyboardInterrupt`` can come out of this."""
        try:
            self._follower.close()
            if self._takes(NOTIFY_URLS):
                with self._warning("how this run went could not be told"):
                    self._tell(failure)
        finally:
            with self._lock:
                # A thread that writes while Python ends can end it badly.
                self._over = True

    def _takes(self, setting: Setting[Any]) -> bool:
        """Whether the command has this setting among its options, given or not."""
        return setting.parameter in self._session.settings

    def _tell(self, failure: Failure | None) -> None:
        stopped, log = self._session.stop.is_set(), "\n".join(self._session.messages.tail)
        run = self._session.ledger.account(
            self._command, self._host, self._started, utc_now(), failure
        )
        threads: list[threading.Thread] = []
        if self._pinger is not None:
            signal, body = self._signal(run), ""
            with self._warning("the end of the log is told to nobody"):
                body = "" if signal is Signal.SUCCESS else self._hidden(log)
            self._pinger.send(signal, body)
            threads.append(self._pinger.finish())
        with contextlib.ExitStack() as closing:
            with self._warning("what became of it is not remembered"):
                remembered = self._remember(run)
                with self._warning("nobody was notified"):
                    notifier = self._notifier(run, remembered)
                    if notifier is not None:
                        closing.callback(notifier.close)
                        threads.append(notifier)
            with self._warning("metrics_file was not written"):
                self._measure()
            late = self._wait(threads, stopped=stopped)
            if late:
                self._warn(f"given up: {', '.join(thread.name for thread in late)}")

    @contextlib.contextmanager
    def _warning(self, what: str) -> Iterator[None]:
        """One way of telling that fails costs no other; only a bug or this machine gets here."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the boundary: telling never fails a run
            # Its message may hold an address.
            self._warn(f"{what}: {type(error).__name__}")
            self._session.messages.debug("".join(traceback.format_tb(error.__traceback__)))

    def _remember(self, run: RunAccount) -> list[Remembered]:
        remembered = []
        pages = self._session.ledger.pages
        for page, account in zip(pages, run.repositories, strict=True):
            state = self._state(page.config)
            if state is not None:
                remembered.append(remember_run(state, run, account))
        return remembered

    def _state(self, config: Config) -> LocalStateDirectory | None:
        """What this machine keeps of a repository; None where none is named."""
        if config.repository is None:
            return None
        return local_state(config, self._session.environ, self._warn)

    def _signal(self, run: RunAccount) -> Signal:
        """A stop that was asked for, and a run that found another at work, are no failures."""
        if run.trouble is None:
            return Signal.SUCCESS
        return Signal.FAIL if run.failed and not self._seen(run) else Signal.LOG

    def _seen(self, run: RunAccount) -> bool:
        """Whether somebody sits there and just sees a mistake of their own."""
        return run.exit_code == ExitCode.USAGE and self._session.stderr.isatty()

    def _notifier(self, run: RunAccount, remembered: Sequence[Remembered]) -> Notifier | None:
        """People being told; None where there is nothing or nobody to tell."""
        urls = self._told.notify_urls
        if run.failed and not self._seen(run):
            title, body = told_rendering.failure(run, remembered)
        elif not run.failed and any(each.failed_since for each in remembered):
            title, body = told_rendering.recovery(run, remembered)
        else:
            return None
        if not urls:
            return None
        if not is_installed():
            self._warn(f"notify_urls: nobody is notified: apprise is not installed; {INSTALL}")
            return None
        return Notifier(urls, Notification(title, self._hidden(body), run.failed), self._warn)

    def _measure(self) -> None:
        """Write what is remembered of every source of the configuration's repositories."""
        path = self._told.metrics_file
        if path is None or not self._takes(METRICS_FILE):
            return
        series = [
            metrics.Series(self._host, str(config.repository), history)
            for config, labels in self._measured()
            if (state := self._state(config)) is not None
            for label, history in recall_sources(state).items()
            if label in labels or not config.sources
        ]
        try:
            if _is_special(path):
                self._warn(f"metrics_file: {path} is no file; nothing was written")
                return
            write_atomically(path, metrics.text(series).encode(), _METRICS_MODE)
        except OSError as error:
            self._warn(f"metrics_file: {path} cannot be written: {error.strerror or error}")

    def _measured(self) -> Iterable[tuple[Config, set[str]]]:
        """Every repository, and the labels of the sources that it is configured to hold."""
        pages = {page.config.name: page for page in self._session.ledger.pages}
        configs = {page.config.name: page.config for page in pages.values()}
        for page in pages.values():
            configs = {config.name: config for config in page.config.repositories} | configs
        for name, config in configs.items():
            labels = {source.label for source in config.sources if config.stores(source)}
            yield config, labels | set(pages[name].labels if name in pages else ())

    def _wait(
        self, threads: Sequence[threading.Thread], *, stopped: bool
    ) -> list[threading.Thread]:
        """Give them their time; those that are not done then."""
        until_s = time.monotonic() + (_STOPPED_WITHIN_S if stopped else _WITHIN_S)
        left = list(threads)
        while left and time.monotonic() < until_s:
            if self._session.stop.is_set() and not stopped:
                return []
            left[0].join(_POLL_S)
            left = [thread for thread in left if thread.is_alive()]
        return left

    def _hidden(self, text: str) -> str:
        """The text without what must be nobody else's."""
        own = [self._told.ping_url or "", *self._told.notify_urls]
        for secret in (*own, *(self._session.environ.get(name, "") for name in _SECRETS)):
            if secret:
                text = text.replace(secret, "(hidden)")
        return text

    def _warn(self, text: str) -> None:
        with self._lock:
            if not self._over:
                self._session.messages.warn(text)


def _is_special(path: Path) -> bool:
    """Whether a device, a pipe or a directory is there, which a file must not take the place of.

    A link is replaced, never followed: others may write to that directory.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISLNK(mode)


def _host(configured: str | None) -> str:
    try:
        return host_name(configured)
    except UsageError:
        return socket.gethostname()

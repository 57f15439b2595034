"""What every command works with: the options given, the streams, and the way to the repository."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.lazily import lazily
from btrfs_to_s3.cli.ledger import Ledger
from btrfs_to_s3.cli.messages import Messages, Style, Verbosity
from btrfs_to_s3.cli.reporting import Labelled, Listeners
from btrfs_to_s3.config.describe import as_toml
from btrfs_to_s3.config.load import ReadOnce, load
from btrfs_to_s3.config.settings import CONNECTION, REPOSITORY
from btrfs_to_s3.errors import ConfigError, InterruptedRunError, ReceiveError, SendError, UsageError
from btrfs_to_s3.host.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from contextlib import AbstractContextManager
    from typing import TextIO

    from btrfs_to_s3.cli.following import RunFollower
    from btrfs_to_s3.cli.progress import LineReporter, TerminalReporter
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.errors import BtrfsToS3Error
    from btrfs_to_s3.host.power import Power
    from btrfs_to_s3.host.signals import StopSignal
    from btrfs_to_s3.ports import Reporter
    from btrfs_to_s3.wiring.application import Application
    from btrfs_to_s3.wiring.network import Departure, Patience

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class GlobalOptions:
    """Options that every command has; they may stand before or after its name."""

    config: Path | None = None
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    no_progress: bool = False

    @property
    def verbosity(self) -> Verbosity:
        """``UsageError`` for ``-v`` together with ``-q``."""
        if self.verbose and self.quiet:
            raise UsageError("-v and -q exclude each other", hint="give one of them")
        if self.verbose:
            return Verbosity.VERBOSE
        return Verbosity.QUIET if self.quiet else Verbosity.NORMAL


@dataclass(frozen=True, slots=True)
class Machine:
    """What stands for this machine: tests put theirs in its place.

    ``power`` says whether it is on battery; None asks it. ``root`` is what the directories of units
    and their configuration files lie below, ``program`` the path units start; None: this one's.
    ``unsafe`` are directories that no service runs from; None: homes and temporary ones.
    """

    power: Callable[[], Power] | None = None
    root: Path = Path("/")
    program: str | None = None
    unsafe: tuple[Path, ...] | None = None


@dataclass
class Session:
    """One call of the program.

    ``settings`` are the setting options of the command, as given. ``followers`` hear of the run's
    progress beside the screen; they must be there before the reporter is asked for. ``begun`` is
    called when the configuration was read, which is done once: by ``read_table``. ``signs`` give
    values that change while work is alive. ``ended`` is called with what ended the program, once
    the result is out. ``ledger`` is told by the command what it works on and what became of it;
    ``follower`` is there while a run is followed.
    """

    environ: Mapping[str, str]
    stdout: TextIO
    stderr: TextIO
    stop: StopSignal
    options: GlobalOptions = field(default_factory=GlobalOptions)
    settings: dict[str, str | None] = field(default_factory=dict)
    followers: list[Reporter] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    follower: RunFollower | None = None
    ended: Callable[[Failure | None], None] = lambda _: None
    machine: Machine = field(default_factory=Machine)
    begun: Callable[[], None] = lambda: None
    signs: list[Callable[[], Hashable]] = field(default_factory=list)
    read_table: ReadOnce = field(default_factory=ReadOnce)
    _patience: Patience | None = field(default=None, init=False)

    def moves(self) -> Hashable:
        """What all ``signs`` say now."""
        return tuple(sign() for sign in tuple(self.signs))

    @cached_property
    def messages(self) -> Messages:
        """Standard error; to be used once the options are known."""
        style = Style.of(self.stderr, self.environ)
        return Messages(self.stderr, style, self.options.verbosity, utc_now)

    @cached_property
    def reporter(self) -> Reporter:
        """Where operations tell what is happening: the screen, and ``followers``."""
        screen: LineReporter | TerminalReporter = lazily("btrfs_to_s3.cli.progress:make_reporter")(
            self.messages, self.stderr, time.monotonic, progress=not self.options.no_progress
        )
        return Listeners(screen, *self.followers)

    def failure_of(self, error: BtrfsToS3Error) -> Failure:
        """How an error ends the run, or its work on one source.

        Once a signal asked to stop, an interruption is what it is, and so is a btrfs process that
        ended too early: stopping ends it. An interruption that nobody asked for is a bug: its exit
        code would stand for a clean stop.
        """
        stopped = isinstance(error, InterruptedRunError | SendError | ReceiveError)
        if self.stop.received is not None and stopped:
            return Failure.of_stop(self.stop.received.name)
        if isinstance(error, InterruptedRunError):
            return Failure.of_bug(error)
        return Failure.of(error)

    def config(self) -> Config:
        """The effective configuration; its warnings are told, ``-v`` shows it with its origins."""
        config = load(
            self.options.config,
            environ=self.environ,
            command_line=self.settings,
            read=self.read_table,
        )
        _log.debug("the configuration that counts:\n%s", as_toml(config))
        for warning in config.warnings:
            self.messages.warn(warning)
        self.begun()
        return config

    def one_config(self) -> Config:
        """The configuration of the repository that a command works on which works on one only.

        Where the file names several and none was chosen, it is told which one that is.
        """
        config = self.config()
        others = [each.name for each in config.repositories if each.name != config.name]
        if others and not config.chosen and config.repository is not None:
            self.messages.note(
                f"this is the repository {config.name} ({config.repository}); "
                f"{REPOSITORY.option} {'|'.join(others)} chooses another"
            )
        return config

    def config_of(self, repository: str, option: str) -> Config:
        """The configuration of another repository, by its name or URL as ``option`` gives it.

        What leads to a repository on the command line leads to the first one, where the file
        names several.
        """
        named = self.config().repositories
        connection = {setting.parameter for setting in CONNECTION} if named else set()
        rest = {name: text for name, text in self.settings.items() if name not in connection}
        try:
            return load(
                self.options.config,
                environ=self.environ,
                command_line={**rest, REPOSITORY.parameter: repository},
                read=self.read_table,
            )
        except ConfigError as error:
            given, colon, what = error.message.partition(": ")
            if given != REPOSITORY.option:
                raise
            raise ConfigError(f"{option}{colon}{what}", hint=error.hint) from error

    def under_conditions(
        self, config: Config, activity: str, *, moves_data: bool = False, looking: bool = False
    ) -> AbstractContextManager[None]:
        """The run's work, once and as the settings of this machine allow it (wiring.conditions).

        ``looking`` is for what only says what would be done, which every machine allows.
        """
        if looking:
            return nullcontext()
        conditions = lazily("btrfs_to_s3.wiring.conditions:under")
        surroundings = lazily("btrfs_to_s3.wiring.conditions:Surroundings")(
            self.reporter, self.stop
        )
        if self.machine.power is not None:
            surroundings = replace(surroundings, power=self.machine.power)
        made: AbstractContextManager[None] = conditions(
            config.machine, surroundings, activity, moves_data=moves_data
        )
        return made

    def awake(self, activity: str) -> AbstractContextManager[None]:
        """The machine does not go to sleep meanwhile."""
        made: AbstractContextManager[None] = lazily("btrfs_to_s3.host.awake:awake")(activity)
        return made

    def application(
        self,
        config: Config,
        *,
        looking: bool = False,
        still: bool = False,
        running: bool = False,
        shares: int = 1,
    ) -> Application:
        """The repository and this machine; ``looking`` writes nothing on this machine either.

        ``still`` reads everything once and commits nothing. ``running`` obeys the network policy:
        it waits for a way that may be used. ``shares`` is how many are open side by side. What is
        told of one of several repositories begins with its name.
        """
        application: type[Application] = lazily("btrfs_to_s3.wiring.application:Application")
        reporter: Reporter = self.reporter
        if len(config.repositories) > 1 and not config.chosen:
            reporter = Labelled(reporter, config.name)
        made = application(
            config,
            self.environ,
            self.stop,
            reporter,
            looking=looking,
            still=still,
            shares=shares,
            departure=self._departure(config) if running else None,
        )
        if self.follower is not None and not looking:
            made.while_open(self.follower.within(made.state.directory))
        self.signs.append(lambda: made.store.moves)
        return made

    def _departure(self, config: Config) -> Departure | None:
        """How the network policy is obeyed; None, and nothing is loaded for it, without one."""
        machine = config.machine
        if not machine.restricts_network:
            return None
        if self._patience is None:
            patience: type[Patience] = lazily("btrfs_to_s3.wiring.network:Patience")
            self._patience = patience(machine.network_wait.total_seconds())
        departure: type[Departure] = lazily("btrfs_to_s3.wiring.network:Departure")
        return departure.of(config, self._patience)

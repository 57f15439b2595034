"""Options: the global ones, those made from the table of settings, and the command that has them.

A setting's option only carries its text to ``config.load``, which reads every layer alike, so an
error about it looks the same wherever the value came from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from btrfs_to_s3 import __version__
from btrfs_to_s3.cli.lazily import lazily
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.session import Session
from btrfs_to_s3.config import settings as s
from btrfs_to_s3.config.setting import Topic
from btrfs_to_s3.config.values import Choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.config.setting import Setting

RUNS = frozenset({"backup", "compact", "copy", "prune", "restore", "verify"})
"""The commands that are followed and told of; a ``--dry-run`` of them is not."""
F = TypeVar("F", bound="Callable[..., object]")

REPOSITORY = (
    s.REPOSITORY,
    s.ENDPOINT_URL,
    s.REGION,
    s.PROFILE,
    s.ADDRESSING,
    s.CA_BUNDLE,
    s.OUTAGE_PATIENCE,
    s.RETRY_ATTEMPTS,
    s.CONNECT_TIMEOUT,
    s.READ_TIMEOUT,
    s.HOST,
    s.STATE_DIR,
)
"""Needed by everything that reaches the repository."""
TRANSFER = (s.CONCURRENCY, s.BANDWIDTH_LIMIT)
"""For what moves the data itself."""
WRITING = (
    s.STORAGE_CLASS,
    s.METADATA_CLASS,
    s.SSE,
    s.SSE_KMS_KEY_ID,
    s.PART_SIZE,
    s.CHUNK_SIZE,
    s.COMPRESSION_LEVEL,
    s.COMPRESSION_THREADS,
    s.SEND_PROTOCOL,
    s.SNAPSHOT_DIRECTORY,
)
"""How backups are made."""
RUNNING = (s.PRIORITY, s.ON_BATTERY)
"""When and how a run that can wait uses the machine."""
NETWORK = (s.NETWORK_INTERFACES, s.NETWORK_EXCLUDE, s.NETWORK_WAIT)
"""Which way data may go."""
CHAINS = (s.STRATEGY, s.FULL, s.FULL_EVERY, s.MAX_CHAIN)
"""When a full backup is due."""


class SettingOption(click.Option):
    """The option of one setting; hands its text on as it is."""

    def __init__(self, setting: Setting[Any]) -> None:
        super().__init__(
            [setting.option, setting.parameter],
            metavar=_metavar(setting),
            help=f"{setting.help} [default: {setting.default_text}]",
        )
        self.topic = setting.topic


class GlobalOption(click.Option):
    """An option of the whole program, remembered in the session and given to no command."""

    def __init__(self, *names: str, **attributes: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(
            list(names), callback=self._remember, expose_value=False, is_eager=True, **attributes
        )

    def _remember(self, context: click.Context, _option: click.Parameter, value: object) -> None:
        if value and self.name:
            setattr(context.ensure_object(Session).options, self.name, value)


class AskedError(Exception):
    """Help or the version was asked for: the command line is not carried out, this is said."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


def _say_help(context: click.Context, _option: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        said = context.get_help()
        raise AskedError(Result({"help": said}, [said]))


def _say_version(context: click.Context, _option: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        said = f"{context.find_root().info_name} {__version__}"
        raise AskedError(Result({"version": __version__}, [said]))


def help_option() -> click.Option:
    """Help, given back as a result, so that it goes the one way to standard output."""
    return _asking("-h", "--help", help="Show this and exit.", callback=_say_help)


def version_option() -> click.Option:
    """The version, likewise."""
    return _asking("--version", help="Show the version and exit.", callback=_say_version)


def _asking(*names: str, **attributes: Any) -> click.Option:  # noqa: ANN401 - click's own
    return click.Option(list(names), is_flag=True, is_eager=True, expose_value=False, **attributes)


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Fresh global options; commands take them too, but only the program's help shows them."""
    file = click.Path(path_type=Path)
    return [
        GlobalOption(
            "-c",
            "--config",
            type=file,
            metavar="FILE",
            hidden=hidden,
            help="The configuration file. [default: /etc/btrfs-to-s3/config.toml, if it exists]",
        ),
        GlobalOption(
            "-v",
            "--verbose",
            is_flag=True,
            hidden=hidden,
            help="Tell every detail: retries, what is happening, a bug's traceback. [default: no]",
        ),
        GlobalOption(
            "-q",
            "--quiet",
            is_flag=True,
            hidden=hidden,
            help="Tell only warnings and errors, and no summary. [default: no]",
        ),
        GlobalOption(
            "--json",
            is_flag=True,
            hidden=hidden,
            help="Print one JSON document on standard output, also for errors. [default: text]",
        ),
        GlobalOption(
            "--no-progress",
            is_flag=True,
            hidden=hidden,
            help="Show no progress. [default: a bar on a terminal, lines elsewhere]",
        ),
    ]


class Command(click.Command):
    """A command that takes the global options too and gathers its settings in the session."""

    def __init__(self, *args: Any, **attributes: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **attributes)
        self.params += global_options(hidden=True)

    def get_help_option(self, _context: click.Context) -> click.Option:
        """Help as a result."""
        return help_option()

    def invoke(self, context: click.Context) -> object:
        """Run the command with its own parameters; settings go to the session."""
        session = context.ensure_object(Session)
        for option in self.params:
            if isinstance(option, SettingOption) and option.name:
                session.settings[option.name] = context.params.pop(option.name)
        with session.messages.logging():
            if self.name in RUNS and not context.params.get("dry_run"):
                lazily("btrfs_to_s3.cli.telling:begin")(session, self.name)
            return super().invoke(context)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, then the settings it takes, by topic."""
        own = "Options"
        titles = [own, *(f"{topic} (settings)" for topic in Topic)]
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in titles}
        for option in self.get_params(context):
            record = option.get_help_record(context)
            if record is not None and isinstance(option, click.Option):
                title = f"{option.topic} (settings)" if isinstance(option, SettingOption) else own
                sections[title].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def takes(*settings: Setting[Any]) -> Callable[[F], F]:
    """Give a command function these settings' options (below ``click.command``)."""

    def decorate(function: F) -> F:
        # click reads decorators from below: the last one added stands first.
        known = function.__dict__.setdefault("__click_params__", [])
        known.extend(SettingOption(setting) for setting in reversed(settings))
        return function

    return decorate


def _metavar(setting: Setting[Any]) -> str:
    if setting is s.REPOSITORY:
        return "NAME|URL"
    if isinstance(setting.type, Choice):
        return f"[{'|'.join(choice.value for choice in setting.type.choices)}]"
    return str(setting.type.metavar)

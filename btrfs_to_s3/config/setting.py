"""A setting and its names.

A setting has one name: ``chunk_size`` in the file, ``--chunk-size`` on the command line,
``BTRFS_TO_S3_CHUNK_SIZE`` in the environment. A dotted name stands in a table of the file:
``send.protocol`` is ``protocol`` in ``[send]``, ``--send-protocol`` and
``BTRFS_TO_S3_SEND_PROTOCOL``. ``full`` is ``--full-policy``, since ``--full`` asks for one full
backup.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from btrfs_to_s3.config.values import ValueType

T = TypeVar("T")
ENVIRONMENT_PREFIX = "BTRFS_TO_S3_"


class Topic(StrEnum):
    """Groups of settings, in the order of the reference."""

    SERVICE = "The repository and its service"
    STORAGE = "What the service does with objects"
    TRANSFER = "Transfer"
    STREAM = "Streams and chunks"
    CHAINS = "Chains and retention"
    HOST = "This host"
    NETWORK = "The way to the service"
    TOLD = "Being told"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One setting.

    ``default_note`` says in words what a default of None or of this machine means.
    ``extra_environment`` holds further variables, which win over the regular one. ``other_name``
    is what options and variables are called where the name itself means something else there.
    The value of a ``secret`` one is shown nowhere.
    """

    name: str
    type: ValueType[T]
    default: T
    topic: Topic
    help: str
    per_source: bool = False
    default_note: str | None = None
    extra_environment: tuple[str, ...] = ()
    other_name: str | None = None
    secret: bool = False

    @property
    def per_repository(self) -> bool:
        """Whether a table of ``[[repositories]]`` may have it: not what is of this machine."""
        ours = {Topic.HOST, Topic.NETWORK, Topic.TOLD}
        return self.topic not in ours and self.name != "keep_local"

    @property
    def parameter(self) -> str:
        """The name as a Python identifier, which click gives the option's value under."""
        return (self.other_name or self.name).replace(".", "_")

    @property
    def option(self) -> str:
        """The command-line option."""
        return f"--{self.parameter.replace('_', '-')}"

    @property
    def environment(self) -> tuple[str, ...]:
        """The environment variables, the one that wins first."""
        return (*self.extra_environment, ENVIRONMENT_PREFIX + self.parameter.upper())

    @property
    def default_text(self) -> str:
        """The default for help texts and the reference."""
        return self.default_note or str(self.type.to_toml(self.default))

"""Settings that take one of a few words."""

from __future__ import annotations

from enum import StrEnum


class Addressing(StrEnum):
    """Where the bucket stands in a request's URL; ``auto`` leaves it to boto3."""

    AUTO = "auto"
    PATH = "path"
    VIRTUAL = "virtual"


class ServerSideEncryption(StrEnum):
    """What the service is asked to encrypt with; ``none`` leaves it to the bucket's default."""

    NONE = "none"
    AES256 = "AES256"
    KMS = "aws:kms"


class Priority(StrEnum):
    """How much of a busy machine a run takes."""

    NORMAL = "normal"
    IDLE = "idle"


class OnBattery(StrEnum):
    """What a run does on a machine that is not connected to power."""

    RUN = "run"
    WAIT = "wait"
    SKIP = "skip"


class SendProtocol(StrEnum):
    """The stream version ``btrfs send`` is asked for; ``auto`` is the best both ends know."""

    AUTO = "auto"
    V1 = "1"
    V2 = "2"

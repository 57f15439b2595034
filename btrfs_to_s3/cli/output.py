"""Standard output: the result of a command, as text or as one JSON document."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from btrfs_to_s3.cli.lazily import lazily
from btrfs_to_s3.errors import LocalSpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console, RenderableType

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.rendering.documents import Document

_ANY_WIDTH = 10_000
"""Columns where there is no terminal: a line for a program or a mail is never folded."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has to say: the same as a JSON document and as text.

    A plain string in ``text`` is written as it is; anything else is rendered by rich. Either may
    be a function that makes it, so that what is not asked for is not made.

    ``failures`` are to be shown on standard error, by subject; ``failure`` ends the program.
    ``summary`` is text about what was done, checked or found fresh, which ``-q`` leaves out.
    """

    document: Document | Callable[[], Document]
    text: Sequence[RenderableType] | Callable[[], Sequence[RenderableType]]
    failure: Failure | None = None
    failures: Sequence[tuple[str, Failure]] = field(default=())
    summary: bool = False

    def made_document(self) -> Document:
        """The document, made now if it was not before."""
        return self.document() if callable(self.document) else self.document

    def made_text(self) -> Sequence[RenderableType]:
        """The text, made now if it was not before."""
        return self.text() if callable(self.text) else self.text


def write_json(stream: TextIO, document: Document) -> None:
    """One document, its keys in the order given, ending in a newline."""
    _write(stream, json.dumps(document, indent=2) + "\n")


def write_text(stream: TextIO, parts: Sequence[RenderableType]) -> None:
    """Text, folded to the terminal's width where there is one, and tables as wide as they are.

    A table folded by cell would tear ids apart, and nobody could copy them.
    """
    written: list[str] = []
    for part in parts:
        written += (part if isinstance(part, str) else _rendered(stream, part)).splitlines()
    _write(stream, "".join(f"{line.rstrip()}\n" for line in written))


def _rendered(stream: TextIO, part: RenderableType) -> str:
    table = isinstance(part, lazily("rich.table:Table"))
    width = _ANY_WIDTH if table or not stream.isatty() else None
    memory = io.StringIO()
    console: Console = lazily("rich.console:Console")(
        file=memory,
        force_terminal=stream.isatty(),
        width=width or shutil.get_terminal_size().columns,
        markup=False,
        highlight=False,
        emoji=False,
    )
    console.print(part, soft_wrap=width is not None)
    return memory.getvalue()


def _write(stream: TextIO, text: str) -> None:
    """Write and flush; a reader that went away (EPIPE) has what it wanted.

    Anything else that keeps the result from its reader is an error: it must not end in 0.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        drop(stream)
    except OSError as error:
        drop(stream)
        raise LocalSpaceError(
            f"the result could not be written to standard output: {error.strerror}",
            hint="the work itself was done; see 'btrfs-to-s3 list'",
        ) from error


def drop(stream: TextIO) -> None:
    """Let nothing more reach the stream, so that closing it at exit raises nothing."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def settle(*streams: TextIO) -> None:
    """Write what is still buffered, or let it go."""
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError):
            drop(stream)


def standard_streams() -> tuple[TextIO, TextIO]:
    """Standard output and error; a name that is no valid UTF-8 must not end the program.

    One that was closed before the program began (``>&-``) takes everything and keeps nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return sys.stdout, sys.stderr

"""docs/systemd.md as a person follows it: the commands of its console blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from integration_tests.harness.services.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PAGE: Final = REPOSITORY / "docs" / "systemd.md"
_HEADING: Final = re.compile(r"^##+ (?:\d+\. )?(.*)$")
_PROMPT: Final = "# "


@dataclass(frozen=True, slots=True)
class Command:
    """A line that follows the prompt in a console block, and the section it stands in."""

    section: str
    line: str


def commands(page: Path = PAGE) -> list[Command]:
    """Every command of the page, in order."""
    return list(_commands(page.read_text(encoding="utf-8").splitlines()))


def _commands(lines: Iterable[str]) -> Iterable[Command]:
    section, block = "", ""
    for line in lines:
        if line.startswith("```"):
            block = "" if block else line.removeprefix("```") or "text"
        elif block == "console" and line.startswith(_PROMPT):
            yield Command(section, line.removeprefix(_PROMPT))
        elif not block and (heading := _HEADING.match(line)):
            section = heading[1]

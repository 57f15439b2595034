"""What every command prints, as text and as JSON, compared with files that are read by people.

``UPDATE_GOLDEN=1 pytest tests/cli/test_golden.py`` writes them anew; look at the difference.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.cli.output import write_json, write_text
from tests.cli import results

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent / "golden"


def _compare(name: str, written: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(written)
    assert written == path.read_text()


@pytest.mark.parametrize("name", results.ALL)
def test_text_is_as_it_was(name: str) -> None:
    stream = io.StringIO()
    write_text(stream, results.ALL[name]()[1])
    _compare(f"{name}.txt", stream.getvalue())


@pytest.mark.parametrize("name", results.ALL)
def test_json_is_as_it_was(name: str) -> None:
    stream = io.StringIO()
    write_json(stream, results.ALL[name]()[0])
    _compare(f"{name}.json", stream.getvalue())


def _keys(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            if name not in {"requests", "configuration"}:
                yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


@pytest.mark.parametrize("name", results.ALL)
def test_numbers_have_their_unit_in_their_name(name: str) -> None:
    plain = {
        "code",
        "sequence",
        "stream_transid",
        "send_protocol",
        "findings",
        "stored_ratio",
        "pid",
    }
    units = ("_bytes", "_s", "_count", "_bytes_per_s", "_amount")
    for key, value in _keys(json.loads((GOLDEN / f"{name}.json").read_text())):
        assert key.islower()
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert key.endswith(units) or key in plain
        if key.endswith("_time") and value is not None:
            assert str(value).endswith("Z")

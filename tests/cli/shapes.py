"""Which keys a document has, to compare real ones with the golden ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def shape(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The keys of a document; of a list, those of its first element."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return None


def golden_document(name: str) -> dict[str, Any]:
    """The document that a command's example shows."""
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found

"""The catalogue of defects still fits the program, so that the long form can try each."""

from __future__ import annotations

import ast

import pytest

from integration_tests.harness.defects.catalogue import DEFECTS, Defect
from integration_tests.harness.scripting.sequence import SCRIPTS
from integration_tests.harness.services.paths import REPOSITORY


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_can_still_be_put_in_and_leaves_python(defect: Defect) -> None:
    for edit in defect.edits:
        text = (REPOSITORY / "btrfs_to_s3" / edit.file).read_text()
        assert text.count(edit.old) == 1, edit
        broken = text.replace(edit.old, edit.new)
        assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse(text))
    for script in (defect.script[0], *defect.before):
        assert (SCRIPTS / f"{script}.py").is_file()


def test_the_documented_defects_are_those_of_the_catalogue() -> None:
    documented = (REPOSITORY / "docs" / "testing.md").read_text()
    assert [defect.name for defect in DEFECTS if f"| {defect.name} |" not in documented] == []

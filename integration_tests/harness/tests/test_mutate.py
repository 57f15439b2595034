"""The same tree, seed and count give the same changes, and each kind of change occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.trees.compare import Fidelity, compare_trees
from integration_tests.harness.trees.mutate import MutationKind, mutate_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.btrfs


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_seed_makes_the_same_changes(new_copy: Callable[[], Path], seed: int) -> None:
    one, two = new_copy(), new_copy()
    assert mutate_tree(one, seed, 100) == mutate_tree(two, seed, 100)
    assert compare_trees(one, two, fidelity=Fidelity.EXACT) == []


def test_another_seed_makes_other_changes(new_copy: Callable[[], Path]) -> None:
    one, two = new_copy(), new_copy()
    assert mutate_tree(one, 1) != mutate_tree(two, 2)
    assert compare_trees(one, two) != []


def test_every_kind_of_change_occurs(new_copy: Callable[[], Path]) -> None:
    mutations = mutate_tree(new_copy(), 7, 5 * len(MutationKind))
    assert {mutation.kind for mutation in mutations} == set(MutationKind)


def test_as_many_changes_are_made_as_asked_for(new_copy: Callable[[], Path]) -> None:
    assert len(mutate_tree(new_copy(), 1, 33)) == 33


def test_no_changes_leave_the_tree_as_it_is(seeded: Path, new_copy: Callable[[], Path]) -> None:
    copy = new_copy()
    assert mutate_tree(copy, 1, 0) == []
    assert compare_trees(seeded, copy, fidelity=Fidelity.EXACT) == []


def test_an_empty_tree_gets_what_is_possible(new_subvolume: Callable[[], Path]) -> None:
    assert mutate_tree(new_subvolume(), 1, 10)


def test_a_change_explains_itself(new_copy: Callable[[], Path]) -> None:
    for mutation in mutate_tree(new_copy(), 1):
        assert str(mutation).startswith(f"{mutation.kind.value} b")

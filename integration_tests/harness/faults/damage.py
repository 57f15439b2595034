"""Data that arrives damaged: what is restored is right, or nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integration_tests.harness.faultproxy.rules import Act, Rule, Side
from integration_tests.harness.faults.retries import CHUNK, CHUNKS

if TYPE_CHECKING:
    from integration_tests.harness.faults.ground import Case, Ground

_AT = 300_000
_INTEGRITY = 5


def damage(ground: Ground) -> None:
    """Cut, broken and flipped answers, of chunks and of metadata; once, and always."""
    interrupted_answers(ground)
    flipped_bits(ground)


def interrupted_answers(ground: Ground) -> None:
    """What ends too early, or not at all, is asked for again."""
    case = ground.case("interrupted")
    case.check_done(case.backup(), "a backup")
    cut = Rule(act=Act.TRUNCATE, operation="GetObject", path=CHUNK.format(1), at_byte=_AT, last=1)
    for text, rule in (
        ("an answer cut short once", cut),
        ("an answer broken off once", replace(cut, act=Act.RESET, side=Side.ANSWER)),
        ("an answer that stalls once", replace(cut, act=Act.STALL, seconds=20)),
    ):
        with ground.scripted(rule) as traffic:
            case.check_restores(text, read_timeout="2s")
            ground.check(len(traffic.hit()) == 1, f"{text}: it was met", traffic.hit())


def flipped_bits(ground: Ground) -> None:
    """What is not what was stored never reaches the target."""
    case = ground.case("flipped")
    case.check_done(case.backup(), "a backup")
    always = Rule(act=Act.CORRUPT, operation="GetObject", path=CHUNK.format(1), at_byte=_AT)
    once = replace(always, last=1)
    _right(ground, case, "a bit flipped once in a chunk", once)
    _nothing(ground, case, "a bit always flipped in a chunk", always)
    for folder in ("manifests", "indexes"):
        rule = replace(always, path=f"/{folder}/", at_byte=40)
        _right(ground, case, f"a bit flipped once in {folder}", replace(rule, last=1))
        _nothing(ground, case, f"a bit always flipped in {folder}", rule)
    with ground.scripted(replace(always, path=CHUNKS)):
        run = case.run("verify", "--level", "data")
    case.check_exit(run, _INTEGRITY, "verify of flipped bits")
    case.check_visible(1, "after damaged answers")
    case.check_restores("after damaged answers")


def _right(ground: Ground, case: Case, text: str, rule: Rule) -> None:
    """What was damaged on its way only is read again: the right tree."""
    with ground.scripted(rule) as traffic:
        case.check_restores(text)
        ground.check(len(traffic.hit()) == 1, f"{text}: it was met", traffic.hit())


def _nothing(ground: Ground, case: Case, text: str, rule: Rule) -> None:
    """Exit 5, and nothing is left."""
    directory = case.new_target()
    with ground.scripted(rule) as traffic:
        run = case.run("restore", case.name, "--target", str(directory), "-v")
        ground.check(traffic.hit(), f"{text}: it was met")
    case.check_exit(run, _INTEGRITY, text)
    left = list(directory.iterdir())
    ground.check(not left, f"{text}: nothing is left in the target", left)
    case.clear(directory)

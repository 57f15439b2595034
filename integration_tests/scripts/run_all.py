"""Run every script in order, from set-up to tear-down, and end with one table."""

import argparse

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.sequence import Step, run_steps, show


def options(parser: argparse.ArgumentParser) -> None:
    """How much."""
    for name, text in (
        ("--skip-s3", "only set-up, seeding, changing and tear-down"),
        ("--include-large", "also a stream of many chunks, and many sources at once"),
        ("--include-archive", "also a thaw"),
        ("--include-faults", "also the ten categories of faults and the crash matrix"),
        ("--include-systemd", "also the units in a booted Debian"),
    ):
        parser.add_argument(name, action="store_true", help=text)


def chosen(script: Script) -> list[Step]:
    """The steps that the options ask for."""

    def steps(*names: str, as_user: bool = False, alone: bool = False) -> list[Step]:
        return [Step(name, as_user, alone) for name in names]

    ask = script.options
    begin = [*steps("setup_btrfs"), *steps("seed_data", as_user=True)]
    change = steps("mutate_data", as_user=True)
    end = [*steps("teardown_btrfs"), *steps("teardown_btrfs")]
    if ask.skip_s3:
        return [*begin, *change, *end]
    walk = [*begin, *steps("run_full"), *steps("verify_manifest", as_user=True), *change]
    walk += [*steps("run_incremental", "run_restore"), *steps("verify_restore", as_user=True)]
    walk += steps("run_interrupt", "run_resume", "run_lock_contention", "run_retention")
    walk += steps("verify_retention", as_user=True) + steps("run_cli_flags")
    walk += steps("verify_s3", "cleanup_s3_prefix", as_user=True) + end
    walk += steps("run_smoke", alone=True)
    walk += steps("run_large", "run_batch", alone=True) if ask.include_large else []
    walk += steps("run_restore_archive", alone=True) if ask.include_archive else []
    walk += steps("run_faults", alone=True) if ask.include_faults else []
    return walk + (steps("run_systemd", alone=True) if ask.include_systemd else [])


def body(script: Script) -> None:
    """Run them all."""
    show(run_steps(script, chosen(script)))


if __name__ == "__main__":
    run_script(body, needs_root=True, options=options)

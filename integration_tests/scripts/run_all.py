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
    ):
        parser.add_argument(name, action="store_true", help=text)


def chosen(script: Script) -> list[Step]:
    """The steps that the options ask for."""
    same = ("--config", str(script.options.config), "--env", str(script.options.env))

    def steps(*names: str, as_user: bool = False) -> list[Step]:
        return [Step(name, same, as_user) for name in names]

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
    walk.append(Step("run_smoke"))
    walk += [Step("run_large"), Step("run_batch")] if ask.include_large else []
    walk += [Step("run_restore_archive")] if ask.include_archive else []
    walk += [Step("run_faults")] if ask.include_faults else []
    return walk


def body(script: Script) -> None:
    """Run them all."""
    show(run_steps(script, chosen(script)))


if __name__ == "__main__":
    run_script(body, needs_root=True, options=options)

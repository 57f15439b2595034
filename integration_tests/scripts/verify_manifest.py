"""Check heads, manifests and indexes by docs/format.md alone: digests, parents, sums, ranges."""

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import stored


def body(script: Script) -> None:
    """Read them without the program."""
    with stored(script, script.stage()) as repository:
        backups = [backup["id"] for _, backup, _ in repository.backups()]
        script.require(backups, "there are backups")
        problems = repository.linked()
        script.check(not problems, f"{len(backups)} backups link and add up", problems[:5])
        script.figures |= {"backups": backups, "objects": len(repository.objects)}


if __name__ == "__main__":
    run_script(body)

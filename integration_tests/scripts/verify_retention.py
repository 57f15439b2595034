"""Check that what is live can be restored: every ancestor is live, nothing of it is missing."""

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import stored


def body(script: Script) -> None:
    """Follow every chain to its full backup, by the heads and manifests alone."""
    with stored(script, script.stage()) as repository:
        for head in repository.heads:
            parents = {backup["id"]: backup["parent"] for backup in head["backups"]}
            script.require(parents, f"{head['source_id']} has live backups")
            newest = max(head["backups"], key=lambda backup: backup["sequence"])
            script.figures[head["source_id"]] = {"live": len(parents), "newest": newest["id"]}
            for backup in parents:
                chain = [backup]
                while parents.get(chain[-1]) is not None and len(chain) <= len(parents):
                    chain.append(parents[chain[-1]])
                whole = chain[-1] in parents and parents[chain[-1]] is None
                script.check(whole, f"{backup} reaches its full backup in {len(chain)} links")
        problems = [*repository.linked(), *repository.present()]
        script.check(not problems, "all of their objects are there", problems[:5])


if __name__ == "__main__":
    run_script(body)

"""Check what is stored, object by object: presence, size, ETag, class, and every byte of it."""

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import stored


def body(script: Script) -> None:
    """Read the bucket without the program, then let the program do the same."""
    stage = script.stage()
    with stored(script, stage) as repository:
        script.require(list(repository.backups()), "there are backups")
        for text, problems in (
            ("every object is there, and nothing unknown", repository.present()),
            ("every chunk's bytes have their digests", repository.damaged()),
            ("no multipart upload is left", repository.uploads()),
        ):
            script.check(not problems, text, problems[:5])
        sizes = [stored_key.size_bytes for stored_key in repository.objects.values()]
    script.figures |= {"objects": len(sizes), "bytes": sum(sizes)}
    for level in ("quick", "data"):
        run = script.program().run("verify", "--level", level)
        script.check(run.exit_code == 0, f"the program's verify --level {level} agrees", run.err)


if __name__ == "__main__":
    run_script(body)

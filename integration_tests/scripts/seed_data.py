"""Fill the source with reproducible data; run by root, with everything that Btrfs can hold.

An ordinary user cannot make devices, capabilities and files of others: then only plain files come.
"""

import _environment  # noqa: F401

from integration_tests.harness.scripting.privilege import is_root
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.trees.seed import SeedSpec, seed_tree


def body(script: Script) -> None:
    """Seed an empty source."""
    data, root = script.settings.data, script.stage().data
    script.require(not any(root.iterdir()), "the source is empty")
    spec = SeedSpec(
        seed=data.seed,
        file_count=data.files,
        total_bytes=data.size.bytes,
        large_files=data.large_files,
        special=is_root(),
    )
    seed_tree(root, spec)
    files = [path for path in (root / "data").rglob("*") if path.is_file()]
    script.check(len(files) == data.files, "as many files as asked for", len(files))
    size = sum(path.stat().st_size for path in files)
    script.check(size == data.size.bytes, "as many bytes as asked for", size)
    script.check((root / "special").exists() == is_root(), "special files for root only")
    script.figures |= {"files": len(files), "bytes": size, "special": is_root()}


if __name__ == "__main__":
    run_script(body)

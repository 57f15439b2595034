"""``docs/configuration.md``, made from the table of settings.

``python -m btrfs_to_s3.config.reference > docs/configuration.md`` writes it; a test compares.
"""

from __future__ import annotations

import sys

from btrfs_to_s3.config.setting import Setting, Topic
from btrfs_to_s3.config.settings import SETTINGS

_INTRODUCTION = """\
# Configuration

This page is made from the program's table of settings:
`python -m btrfs_to_s3.config.reference > docs/configuration.md`.

Each setting has one name: in the file (`/etc/btrfs-to-s3/config.toml` or `-c FILE`), as an option
of the commands it matters to, and in the environment. The command line wins over the environment,
the environment over the file. Sizes are written as `256MiB`, rates as `20MB/s`, durations as `7d`
or `1h30m`. A dotted name stands in a table of the file (`send.protocol` is `protocol` in `[send]`).

A source is a table of its own: `path`, the subvolume's absolute path, is required; `label` names it
and defaults to the path's last component. Settings marked *per source* may stand there too.

```toml
[[sources]]
path = "/mnt/data"
label = "data"
```

A source may go to several repositories: each but the first is a table of `[[repositories]]` with a
`name` and any setting that is not of this machine; [repositories.md](repositories.md) tells how.
"""


def as_markdown() -> str:
    """The whole page."""
    topics = (_topic(topic) for topic in Topic)
    return "\n".join([_INTRODUCTION, *topics])


def _topic(topic: Topic) -> str:
    settings = [setting for setting in SETTINGS if setting.topic is topic]
    return "\n".join([f"## {topic}\n", *map(_setting, settings)])


def _setting(setting: Setting[object]) -> str:
    names = [f"`{setting.option}`", *(f"`{name}`" for name in setting.environment)]
    lines = [
        f"### {setting.name}{' (per source)' if setting.per_source else ''}\n",
        f"{setting.help}\n",
        f"- Value: {setting.type.allowed}",
        f"- Default: {setting.default_text}",
        f"- Also: {', '.join(names)}\n",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(as_markdown())

"""The effective configuration as a TOML file that says where each value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import toml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from btrfs_to_s3.config.effective import Config, SourceConfig
    from btrfs_to_s3.config.layers import Effective


def as_toml(config: Config) -> str:
    """A configuration file that gives this configuration again; origins are comments.

    Only secret values are left out; that they are set is said.
    """
    blocks = [_lines(config.effective, "")]
    blocks += [_repository(each) for each in config.repositories if each.own]
    blocks += [_source(source, several=bool(config.repositories)) for source in config.sources]
    return "\n".join(blocks)


def _repository(config: Config) -> str:
    own = toml.dumps({"name": config.name})
    return f"[[repositories]]\n{own}{_lines(config.own, 'repositories.')}"


def _source(source: SourceConfig, *, several: bool) -> str:
    named = {"repositories": list(source.repositories)} if several else {}
    own = toml.dumps({"path": str(source.path), "label": source.label, **named})
    return f"[[sources]]\n{own}{_lines(source.overrides, 'sources.')}"


def _lines(effective_settings: Iterable[Effective], parent: str) -> str:
    """Single values first: in TOML, what follows a table's header belongs to the table."""
    tables: dict[str, str] = {"": ""}
    for effective in effective_settings:
        group, _, name = effective.setting.name.rpartition(".")
        value = effective.setting.type.to_toml(effective.value)
        comment = f"  # {' '.join(effective.origin.split())}\n"
        if effective.setting.secret and effective.value:
            tables[group] += f"# {name} is set{comment}"
        elif isinstance(value, dict):
            tables[name] = f"\n[{parent}{name}]{comment}{toml.dumps(value)}"
        else:
            tables.setdefault(group, f"\n[{parent}{group}]\n")
            tables[group] += f"{toml.dumps({name: value}).strip()}{comment}"
    return "".join(tables.values())

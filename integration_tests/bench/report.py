"""What was measured, as a Markdown table on stdout and as JSON below `integration_tests/run/`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from integration_tests.harness.services.paths import run_directory
from integration_tests.harness.services.venvs import environment_for

if TYPE_CHECKING:
    from integration_tests.bench.measure import Sample

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ratio:
    """Wall time of one contender over another's, with what it is to be."""

    of: str
    over: str
    target: str


@dataclass(slots=True)
class Report:
    """One benchmark: its conditions, every sample of every contender, the ratios that matter."""

    title: str
    conditions: dict[str, str]
    ratios: list[Ratio]
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, contender: str, sample: Sample) -> None:
        """Keep a sample, and say so: a run takes long."""
        self.samples.setdefault(contender, []).append(sample)
        print(f"  {sample.wall_s:7.1f} s  {contender}", flush=True)

    def table(self) -> str:
        """Everything as Markdown."""
        lines = [f"### {self.title}", ""]
        lines += [f"- {name}: {value}" for name, value in self.conditions.items()]
        lines += ["", "| contender | wall s | CPU s, user + system | peak MiB |"]
        lines += ["| --- | --- | --- | --- |"]
        lines += [self._row(name, samples) for name, samples in self.samples.items()]
        ratios = [ratio for ratio in self.ratios if self._known(ratio)]
        if ratios:
            lines += ["", "| ratio of wall times | measured | wanted |", "| --- | --- | --- |"]
        for ratio in ratios:
            quotient = f"({_cell(ratio.of)}) / ({_cell(ratio.over)})"
            lines.append(f"| {quotient} | {self.value(ratio):.2f} | {ratio.target} |")
        return "\n".join([*lines, ""])

    def value(self, ratio: Ratio) -> float:
        """The median of the ratios within each round."""
        pairs = zip(self.samples[ratio.of], self.samples[ratio.over], strict=True)
        return statistics.median(above.wall_s / below.wall_s for above, below in pairs)

    def save(self, name: str) -> Path:
        """Write everything as JSON; returns where."""
        path = run_directory() / "bench" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "title": self.title,
            "conditions": self.conditions,
            "ratios": [
                {**asdict(ratio), "value": self.value(ratio)}
                for ratio in self.ratios
                if self._known(ratio)
            ],
            "samples": {
                contender: [asdict(sample) for sample in samples]
                for contender, samples in self.samples.items()
            },
        }
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        return path

    def _known(self, ratio: Ratio) -> bool:
        return ratio.of in self.samples and ratio.over in self.samples

    def _row(self, name: str, samples: list[Sample]) -> str:
        walls = [sample.wall_s for sample in samples]
        wall = f"{statistics.median(walls):.1f}"
        if len(walls) > 1:
            wall += f" ({', '.join(f'{each:.1f}' for each in walls)})"
        programs = list(samples[0].cpu_s)
        cpu = ", ".join(
            f"{program} {statistics.median(sample.cpu_s[program] for sample in samples):.1f}"
            for program in programs
        )
        peak = max(max(sample.peak_bytes.values()) for sample in samples) / _MIB
        return f"| {_cell(name)} | {wall} | {cpu} | {peak:.0f} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def machine() -> dict[str, str]:
    """The machine and the programs' versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    node = f"Linux {os.uname().release}"
    rclone = environment_for("rclone") / "bin" / "rclone"
    btrfs2s3 = next((environment_for("btrfs2s3") / "lib").glob("*/site-packages/btrfs2s3-*"))
    return {
        "machine": f"{os.cpu_count()} CPUs ({_processor()}), {memory:.0f} GiB, {node}",
        "versions": ", ".join(
            [
                f"Python {platform.python_version()}",
                *(f"{name} {importlib.metadata.version(name)}" for name in ("boto3", "zstandard")),
                _first_line("btrfs", "--version"),
                f"zstd {_first_line('zstd', '-q', '-V')}",
                _first_line(str(rclone), "version"),
                btrfs2s3.name.removesuffix(".dist-info").replace("-", " "),
                *(
                    [_first_line("restic", "version").partition(" compiled")[0]]
                    if shutil.which("restic")
                    else ["no restic (apt install restic)"]
                ),
            ]
        ),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    return completed.stdout.partition("\n")[0].strip()

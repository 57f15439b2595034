"""Judge a soak from its records: analysis-report.txt, a page with plots, and the exit status."""

import argparse
from pathlib import Path

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.soak.analysis import AnalysisError, analyze
from integration_tests.harness.soak.report import (
    PAGE_FILE,
    REPORT_FILE,
    figures,
    report,
    write_reports,
)


def options(parser: argparse.ArgumentParser) -> None:
    """Which soak."""
    parser.add_argument("directory", type=Path, help="where monitor.log and events.jsonl lie")


def body(script: Script) -> None:
    """Read, judge, report."""
    directory = script.options.directory
    try:
        analysis = analyze(directory)
    except AnalysisError as error:
        script.require(False, "the directory holds a soak's records", error)
        return
    write_reports(analysis, directory)
    print(report(analysis))
    for criterion in analysis.criteria:
        script.check(criterion.passed, criterion.name, criterion.found)
    script.say(f"written: {directory / REPORT_FILE}, {directory / PAGE_FILE}")
    script.figures |= figures(analysis)


if __name__ == "__main__":
    run_script(body, options=options)

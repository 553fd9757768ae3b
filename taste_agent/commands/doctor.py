"""`taste-agent doctor`: shows what the checks found."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from taste_agent.config import AgentSettings
from taste_agent.doctor import Finding, diagnose
from taste_agent.ui.quiet import native_stderr_silenced

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def show_diagnosis(settings: AgentSettings) -> bool:
    """Print all findings; returns whether nothing failed."""
    findings: list[Finding] = []
    with native_stderr_silenced():
        for finding in diagnose(settings):
            findings.append(finding)
            if finding.name == "portaudio" and finding.status == "ok":
                sys.stderr.write("listening for a second: say something\n")
    Console(highlight=False).print(findings_table(findings))
    return all(finding.status != "failed" for finding in findings)


def findings_table(findings: list[Finding]) -> Table:
    """One row for each finding; advice stands below what it is about."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        detail = Text(finding.detail)
        if finding.advice:
            detail.append(f"\n→ {finding.advice}", style="dim" if finding.status == "ok" else "yellow")
        table.add_row(Text(finding.status, style=STYLES[finding.status]), Text(finding.name), detail)
    return table

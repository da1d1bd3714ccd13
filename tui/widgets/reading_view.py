"""What the curve says, in sentences that link to the concept pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ...trainer.analysis.curve_findings import Finding
from ..core import key_bindings
from ..networks import pages
from .text_view import TextView

PERCENT = "\u00a0%"
"""A figure and its sign stay in one line."""


class ReadingView(TextView, inherit_bindings=False):
    """Two or three sentences; `]` and Enter follow the link behind each.

    Search finds no line here, so the keys of its matches are left to the run: `n` writes a remark.
    """

    BINDINGS: ClassVar = key_bindings.bindings("text")
    PLACES: ClassVar = ("text",)

    def __init__(self) -> None:
        super().__init__(id="reading")
        self.findings: tuple[Finding, ...] = ()

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Show these findings."""
        self.findings = tuple(findings)
        titles = {page.name: page.title for page in pages.concepts()}
        items = (
            f"- {finding.text} [{titles.get(finding.page, finding.page)}](../concepts/{finding.page}.md)"
            for finding in self.findings
        )
        self.show("\n".join(items).replace(" %", PERCENT), keep_place=True)

    def _lay_out(self) -> None:
        super()._lay_out()
        self.styles.height = max(len(self.document.lines), 1)

    @property
    def page(self) -> str:
        """The link to the page behind the most urgent finding."""
        return f"../concepts/{self.findings[0].page if self.findings else 'reading-curves'}.md"

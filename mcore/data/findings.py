"""What a check of a data set found: findings, figures, and the report as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, about one dive or dive number."""

    severity: Severity
    """An error makes the dive wrong or unusable; a warning does not."""
    check: str
    """Which check found it, such as ``score-range``."""
    where: str
    """The dive's name, or its dive number."""
    message: str


@dataclass
class Report:
    """Result of a check."""

    dataset: str
    kind: str
    splits: dict[str, int]
    """Dives in each split; ``none`` where a dive has none."""
    dive_numbers: dict[str, dict[str, int]]
    """Dives of each number in each split, by number."""
    difficulty: dict[str, int]
    """Dives by how their difficulty compares with the rule book."""
    transitions: dict[str, int]
    """How many dives have transitions, and where they lie."""
    images: dict[str, int]
    """What of the clips is on the disk."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Findings that are warnings."""
        return len(self.findings) - self.errors

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"format": "mcore-data-check", "format_version": 1, "errors": self.errors, "warnings": self.warnings} | (
            asdict(self)
        )

"""What the checks found, as rows of one table and as JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import numpy as np


@dataclass
class Row:
    """One line of the table. ``is_good``: None where there is nothing to pass, as of a time."""

    part: str
    what: str
    found: str
    is_good: bool | None = None
    details: dict = field(default_factory=dict)  # for the JSON only


@dataclass
class Errors:
    """The largest errors of a group of checks, and what went beyond its limit."""

    largest: dict[str, float] = field(default_factory=dict)
    count: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, name: str, of: str, error: float, limit: float) -> None:
        self.largest[of] = float(np.fmax(self.largest.get(of, 0.0), error)) if error == error else float("nan")
        if not error <= limit:  # NaN is beyond
            self.failed.append(f"{name}: {of} off by {error:.3g}, where {limit:.3g} is allowed")

    def rows(self, part: str, what: str) -> Iterable[Row]:
        found = ", ".join(f"{name} {error:.3g}" for name, error in self.largest.items())
        text = f"{self.count} checked; {found}"
        yield Row(part, what, text, not self.failed, {"largest": self.largest, "failed": self.failed})
        for failure in self.failed[:8]:
            yield Row(part, "  " + failure, "", False)


def table(rows: Iterable[Row]) -> str:
    """Columns of text, a heading wherever another part begins."""
    rows = list(rows)
    width = max((len(row.what) for row in rows), default=0)
    lines, part = [], None
    for row in rows:
        if row.part != part:
            part = row.part
            lines.append(f"\n{part}")
        verdict = {None: "    ", True: "ok  ", False: "FAIL"}[row.is_good]
        lines.append(f"  {verdict} {row.what:<{min(width, 62)}}  {row.found}".rstrip())
    return "\n".join(lines)


def as_json(rows: Iterable[Row]) -> list[dict]:
    return [asdict(row) for row in rows]

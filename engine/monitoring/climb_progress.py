"""`ClimbProgress`: how far a climb has come, as a snapshot that its driver publishes.

How each number is shown is declared in `climb_figures`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..rendering.quantities import dollars, duration


@dataclass(frozen=True, kw_only=True)
class ClimbProgress:
    """A climb at one moment.

    Attributes
    ----------
    state : str
        ``running``, ``finished``, ``stopped`` or ``failed``.
    reason : str, optional
        Why the climb failed, or was stopped.
    evaluations : int
        Candidates that were retired, also by earlier sessions.
    evaluations_before : int
        Those of earlier sessions.
    failed : int
        Candidates without a score.
    accepted : int
        States that were accepted.
    best : float, optional
        The best score.
    best_candidate : int
        Number of the candidate that has it.
    elapsed, elapsed_before : float
        Seconds that the climb has taken, and those of earlier sessions.
    usd : float, optional
        Cost in US dollars, if a price is known.
    most_evaluations, most_seconds, most_usd : optional
        The budget.
    """

    state: str = "running"
    reason: str | None = None
    evaluations: int = 0
    evaluations_before: int = 0
    failed: int = 0
    accepted: int = 0
    best: float | None = None
    best_candidate: int = -1
    elapsed: float = 0.0
    elapsed_before: float = 0.0
    usd: float | None = None
    most_evaluations: int | None = None
    most_seconds: float | None = None
    most_usd: float | None = None

    @property
    def evaluations_per_second(self) -> float:
        """Evaluations per second of this session."""
        seconds = self.elapsed - self.elapsed_before
        return (self.evaluations - self.evaluations_before) / seconds if seconds > 0 else 0.0

    @property
    def stagnation(self) -> int:
        """Evaluations since the best score was found."""
        return self.evaluations - 1 - self.best_candidate if self.best is not None else 0

    @property
    def share(self) -> float:
        """Share of the budget that is spent, 0 to 1.

        >>> ClimbProgress(evaluations=250, most_evaluations=1000, elapsed=9, most_seconds=10).share
        0.9
        """
        parts = [
            spent / most
            for spent, most in (
                (self.evaluations, self.most_evaluations),
                (self.elapsed, self.most_seconds),
                (self.usd, self.most_usd),
            )
            if most and spent is not None
        ]
        return min(1.0, max(parts, default=0.0))

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the budget is spent, at the rate so far; None if that is not known."""
        here = self.elapsed - self.elapsed_before
        left = []
        if self.most_evaluations and self.evaluations_per_second:
            missing = self.most_evaluations - self.evaluations
            left.append(missing / self.evaluations_per_second)
        if self.most_seconds:
            left.append(self.most_seconds - self.elapsed)
        if self.most_usd and self.usd and here:
            left.append((self.most_usd - self.usd) * self.elapsed / self.usd)
        return max(0.0, min(left)) if left else None

    @property
    def budget(self) -> str:
        """The budget in words."""
        parts = [
            f"{self.most_evaluations:,} evaluations" if self.most_evaluations else "",
            duration(self.most_seconds) if self.most_seconds else "",
            dollars(self.most_usd) if self.most_usd else "",
        ]
        return " or ".join(part for part in parts if part) or "none: until it is stopped"

    def line(self) -> str:
        """Return the progress in one line.

        >>> ClimbProgress(evaluations=2000, best=0.25, best_candidate=1499, elapsed=2.0).line()
        'running, 2,000 evaluations, best 0.25 (500 evaluations ago), 1,000/s'
        """
        why = f": {self.reason}" if self.reason else ""
        best = ""
        if self.best is not None:
            best = f", best {self.best:.6g} ({self.stagnation:,} evaluations ago)"
        failed = f", {self.failed:,} failed" if self.failed else ""
        rate = self.evaluations_per_second
        speed = f", {rate:,.0f}/s" if rate and not why else ""
        return f"{self.state}, {self.evaluations:,} evaluations{best}{failed}{speed}{why}"

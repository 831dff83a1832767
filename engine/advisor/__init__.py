"""Which machine suits a piece of work: the question, feasibility, ranking and advice.

What work takes and costs is in `costs`; the frozen guide of November 2025 is in `advisor.seed2`,
which does not know the advisor. May import `advisor.seed2`, `costs`, `hardware` and `rendering`.
"""

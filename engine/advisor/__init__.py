"""Which machine suits a piece of work: the question, feasibility, ranking and advice.

The time and the cost of work are in `costs`. The frozen guide of November 2025 is in
`advisor.seed2`, which must not import the rest of the advisor. May import `costs`, `hardware` and
`rendering`.
"""

"""Which machine suits a piece of work: the question, feasibility, ranking and advice.

What it takes and costs is in `costs`. May import `costs`, `hardware` and `rendering`.
"""

"""The frozen guide of November 2025: its decision matrix, and the choice of the row that applies.

How the advisor answers from it is in `advisor.seed2_answers`. Imports nothing else of the engine.
"""

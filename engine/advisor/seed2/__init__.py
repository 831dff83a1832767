"""The frozen guide of November 2025: its decision matrix, and which rows of it decide.

What the advisor makes of that is in `advisor.seed2_answers`. Imports nothing else of the engine.
"""

"""The frozen guide of November 2025: its decision matrix, and which row of it decides.

How the advisor answers from it is in `advisor.seed2_answers`. Imports nothing else of the engine.
"""

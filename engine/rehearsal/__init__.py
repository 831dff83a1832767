"""Estimates what a run will take, from a sample of its corpus.

May import `run`, `results` and what is below them; not `report`.
"""

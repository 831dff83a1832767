"""Estimates of the time, memory, disk space and cost of a run, from a sample of its corpus.

Predicting times from a catalogue, without running anything, is in `costs`. May import `run`,
`results` and what is below them, but not `report`.
"""

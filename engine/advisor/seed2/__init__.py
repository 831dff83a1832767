"""The frozen guide of November 2025, and where today's answers differ from it.

May import `advisor`, `costs`, `hardware` and `rendering`.
"""

"""What is known of a run while it goes on: events, progress, figures, and what displays draw.

Nothing here changes a run. May import `advisor`, `costs`, `hardware` and `rendering`.
"""

"""What is known of a run while it is going on: events, progress, figures, and displays of them.

Nothing here changes a run. May import `costs`, `hardware` and `rendering`.
"""

"""Parts of the command ``paninifs run``: checks of its options, and ``--follow``.

The command itself is in `engine.cli.run`. Imports `console` and what `engine.cli` may import.
"""

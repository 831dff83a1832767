"""A collector that is cut off at its n-th write: nothing that it does afterwards has an effect.

Writes are transactions of the working database and objects of the target, counted together.
"""

from __future__ import annotations

from paninifs.engine.collecting.ledger.database_thread import DatabaseThread


class Cut(Exception):
    """The process is as good as dead."""


class Scissors:
    """Cuts before or after the n-th write; never if `at` is None."""

    def __init__(self, at: int | None, after: bool = False) -> None:
        self.at, self.after = at, after
        self.writes = 0
        self.dead = False

    def around(self, write):
        """Call a function that writes, unless the process is dead before."""
        if self.dead:
            raise Cut
        self.writes += 1
        if self.writes != self.at:
            return write()
        if self.after:
            write()
        self.dead = True
        raise Cut

    def target(self, inner):
        return _CutTarget(inner, self)

    def connect(self, path):
        return _CutDatabase(path, self)


class _CutTarget:
    def __init__(self, inner, scissors) -> None:
        self._inner, self._scissors = inner, scissors

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def put(self, key, data):
        self._scissors.around(lambda: self._inner.put(key, data))

    def put_all(self, *steps):
        for step in steps:
            for key, data in step.items():
                self.put(key, data)

    def create(self, key, data):
        return self._scissors.around(lambda: self._inner.create(key, data))

    def delete(self, keys):
        every = list(keys)
        if every:
            self._scissors.around(lambda: self._inner.delete(every))


class _CutDatabase(DatabaseThread):
    def __init__(self, path, scissors) -> None:
        self._scissors = scissors
        super().__init__(path)

    def _transact(self, connection, calls):
        try:
            self._scissors.around(lambda: super(_CutDatabase, self)._transact(connection, calls))
        except Cut as cut:
            super()._settle(calls, cut)

    def _settle(self, calls, error):
        if not (self._scissors.writes == self._scissors.at and self._scissors.after):
            super()._settle(calls, error)

"""Exceptions and warnings that the engine raises on purpose.

::

    PaniniError
    ├── UsageError (ValueError)            the request cannot be fulfilled; nothing was written
    │   ├── CorpusNotFound (FileNotFoundError)
    │   ├── CorpusEmpty                    the corpus has files, but no rows
    │   ├── ColumnNotFound                 no file has the column, or it has the wrong type
    │   ├── GraphError                     blocks do not fit together, or an inventory is bad
    │   ├── BackendUnavailable (ImportError)
    │   ├── ResultsNotFound (FileNotFoundError)
    │   ├── ResultsMismatch                the store holds another run's results
    │   └── LeaseHeld                      another driver is writing the store
    ├── CorpusChanged (OSError)            a file changed since it was indexed
    ├── UnsafeKey (ValueError)             a store names an object outside its own folder
    ├── StorageUnreachable (OSError)       storage kept failing until the retries ran out
    ├── StorageRefused (OSError)           no space, no permission: retrying would not help
    ├── LeaseLost (OSError)                another driver took over the store
    ├── DeviceLost (RuntimeError)          a GPU failed, and its process can no longer use it
    ├── BlockError (RuntimeError)          a map-block failed, or returned the wrong thing
    ├── RowsQuarantined (RuntimeError)     a bad row, with ``on_error="raise"``
    ├── RunFailed (RuntimeError)           the run ended early; its cause is chained
    │   └── UnfitWorker                    a worker lacks something that the run needs
    └── RunCancelled (RuntimeError)

    ResultsIncomplete (UserWarning)        a store was opened before its run had finished
    ScarceDisk (UserWarning)               little disk space is left for spilling
    UnencryptedScheduler (UserWarning)     other hosts can reach a scheduler without TLS

All of them also subclass a builtin exception, so that code like ``except FileNotFoundError`` works
as expected.
"""

from __future__ import annotations


class PaniniError(Exception):
    """Base class of every error that the engine raises on purpose."""


class UsageError(PaniniError, ValueError):
    """The request cannot be fulfilled; nothing was written."""


class CorpusNotFound(UsageError, FileNotFoundError):
    """No file is at the given location of the corpus."""


class CorpusEmpty(UsageError):
    """The corpus has files, but no rows."""


class ColumnNotFound(UsageError):
    """A requested column is in no file, or does not have the required type."""


class GraphError(UsageError):
    """Blocks do not fit together, or an inventory cannot be computed."""


class BackendUnavailable(UsageError, ImportError):
    """A backend, cluster or package is unknown, or cannot be used on this machine."""


class ResultsNotFound(UsageError, FileNotFoundError):
    """No results store is at the given location."""


class ResultsMismatch(UsageError):
    """The store was begun from another corpus, graph, parameter or numeric version."""


class ResultsDamaged(PaniniError, OSError):
    """Stored results are not what was written; `repair` and another run compute them again."""


class LeaseHeld(UsageError):
    """Another driver is writing the store."""


class CorpusChanged(PaniniError, OSError):
    """A corpus file changed since it was indexed."""


class UnsafeKey(PaniniError, ValueError):
    """A store, or its mirror, names an object outside its own folder; nothing was touched."""


class StorageUnreachable(PaniniError, OSError):
    """Storage kept failing until the retries ran out; finished work is kept."""


class StorageRefused(PaniniError, OSError):
    """Storage has no space left or denies access; finished work is kept.

    Attributes
    ----------
    full : bool
        Whether space or a quota is used up.
    """

    full = False


class LeaseLost(PaniniError, OSError):
    """Another driver took over the store; this one must stop writing."""


class DeviceLost(PaniniError, RuntimeError):
    """A GPU failed and its process can no longer use it; another device can continue."""


class BlockError(PaniniError, RuntimeError):
    """A map-block raised, or returned the wrong dtype, shape or length."""


class RowsQuarantined(PaniniError, RuntimeError):
    """A row had to be quarantined in a run that stops at the first such row."""


class RunFailed(PaniniError, RuntimeError):
    """The run ended early; it can be resumed. The cause is chained."""


class UnfitWorker(RunFailed):
    """A worker cannot take part in a run: its Python, packages, modules or files differ."""


class RunCancelled(PaniniError, RuntimeError):
    """The run was cancelled; it can be resumed."""


class ResultsIncomplete(UserWarning):
    """A results store was opened before its run had finished."""


class ScarceDisk(UserWarning):
    """Little disk space is left for data that workers spill from memory."""


class UnencryptedScheduler(UserWarning):
    """Other hosts can reach a scheduler without TLS, and can run code through it."""

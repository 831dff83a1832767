"""Every exception that the engine raises on purpose, and nothing else.

::

    PaniniError
    ├── UsageError (ValueError)            what was asked for cannot be done; nothing was written
    │   ├── CorpusNotFound (FileNotFoundError)
    │   ├── CorpusEmpty                    there are files, and no row in any of them
    │   ├── ColumnNotFound                 no file has the column, or it holds no text
    │   ├── GraphError                     blocks that do not fit together, a bad inventory
    │   ├── BackendUnavailable (ImportError)
    │   ├── ResultsNotFound (FileNotFoundError)
    │   ├── ResultsMismatch                the store holds another run's results
    │   └── LeaseHeld                      another driver is writing the store
    ├── CorpusChanged (OSError)            a file is not the one that was indexed
    ├── UnsafeKey (ValueError)             a store names an object outside its own folder
    ├── StorageUnreachable (OSError)       a place failed for longer than it is waited for
    ├── StorageRefused (OSError)           no room, no permission: waiting would not help
    ├── LeaseLost (OSError)                another driver took the store over
    ├── DeviceLost (RuntimeError)          a GPU failed, and with it all that its process asks of it
    ├── BlockError (RuntimeError)          a map-block failed, or returned the wrong thing
    ├── RowsQuarantined (RuntimeError)     ``on_error="raise"`` and there was a bad row
    ├── RunFailed (RuntimeError)           the run ended without finishing; its cause is chained
    └── RunCancelled (RuntimeError)

    ResultsIncomplete (UserWarning)        a store was opened before its run had finished
    ScarceDisk (UserWarning)               there is hardly any room to put memory on disk
    UnencryptedScheduler (UserWarning)     other hosts can reach a scheduler that speaks plain text

Each also subclasses a builtin, so that ``except FileNotFoundError`` does what its reader expects.
"""

from __future__ import annotations


class PaniniError(Exception):
    """Base class of every error that the engine raises on purpose."""


class UsageError(PaniniError, ValueError):
    """What was asked for cannot be done as it was asked; nothing was written."""


class CorpusNotFound(UsageError, FileNotFoundError):
    """No file is where the corpus was said to be."""


class CorpusEmpty(UsageError):
    """The corpus has files, and not one row."""


class ColumnNotFound(UsageError):
    """A column that was asked for is in no file, or does not hold what it must."""


class GraphError(UsageError):
    """Blocks that do not fit together, or an inventory that cannot be computed."""


class BackendUnavailable(UsageError, ImportError):
    """A backend or cluster that is unknown, or that this machine cannot run."""


class ResultsNotFound(UsageError, FileNotFoundError):
    """There is no results store where one was looked for."""


class ResultsMismatch(UsageError):
    """The store was begun from another corpus, graph, parameter or numeric version."""


class LeaseHeld(UsageError):
    """Another driver is writing the store."""


class CorpusChanged(PaniniError, OSError):
    """A corpus file is not the one that was indexed."""


class UnsafeKey(PaniniError, ValueError):
    """A store, or its mirror, names an object outside its own folder; nothing was touched."""


class StorageUnreachable(PaniniError, OSError):
    """A place failed for longer than it is waited for; what is finished is kept."""


class StorageRefused(PaniniError, OSError):
    """A place has no room, or lets nobody in; what is finished is kept."""


class LeaseLost(PaniniError, OSError):
    """Another driver took the store over; this one must stop writing."""


class DeviceLost(PaniniError, RuntimeError):
    """A GPU failed; its process cannot use it any more, another device can go on."""


class BlockError(PaniniError, RuntimeError):
    """A map-block raised, or returned the wrong dtype, shape or length."""


class RowsQuarantined(PaniniError, RuntimeError):
    """A row had to be set aside in a run that was told to stop at the first one."""


class RunFailed(PaniniError, RuntimeError):
    """The run ended without finishing; the store resumes. The cause is chained."""


class RunCancelled(PaniniError, RuntimeError):
    """The run was cancelled; the store resumes."""


class ResultsIncomplete(UserWarning):
    """A results store was opened whose run has not finished."""


class ScarceDisk(UserWarning):
    """There is hardly any room on disk for what workers have no memory for."""


class UnencryptedScheduler(UserWarning):
    """Other hosts can reach a scheduler without TLS, and whoever reaches one runs code."""

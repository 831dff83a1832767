"""A climb in a results store, under ``climbs/NAME``: Zarr arrays that grow, and what resumes it.

============================= =====================================================================
key                           object
============================= =====================================================================
``zarr.json``                 the climb's Zarr group; its attributes say what was climbed
``TABLE/zarr.json``           ``accepted``, ``failed``, and ``candidates`` if they are kept
``TABLE/COLUMN/zarr.json``    a column's Zarr metadata
``TABLE/COLUMN/c/CHUNK[/0]``  a chunk of a column; the last one is replaced as it fills
``_run/climb.json``           the objective, space and settings: another climb is refused
``_run/state.npz``            how many rows count, and all that later rounds depend on
``_run/lease/NUMBER.json``    the process that may write
============================= =====================================================================

``climb.json`` is written last when a climb begins, and ``state.npz`` last whenever it goes on. Rows
beyond the counts of ``state.npz`` are written again, so that a stop at any moment is harmless.
`table` has one table, `climb_state` the state, `history` the whole; `open_climb` opens it for
users, and `stored_table` reads it a piece at a time. May import `proposers`, `spaces`, and what
they may.
"""

"""The default inventories: the dhātus that texts are weighed on, and the primes that encode them.

The blocks in `blocks` validate inventories that a user passes. `engine.results.inventories` reads
the inventories of a store.
"""

from __future__ import annotations

DHATUS = ("RELATE", "MODAL", "EXIST", "EVAL", "COMM", "CAUSE", "ITER", "DECIDE", "FEEL")
"""Default dhātus (semantic roots), in the order of the columns of ``dhatu``."""

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
"""Default primes, in the order of the columns of ``prime_base``."""

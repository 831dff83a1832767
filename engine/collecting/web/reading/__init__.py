"""Reading and checking what servers send: statuses, `Retry-After`, bodies, compression.

`refusals` turns statuses and failures into reasons, `bodies` reads within bounds of size and time,
and `decompression` expands within bounds. Imports `outcome`, `answer` and storage's errors.
"""

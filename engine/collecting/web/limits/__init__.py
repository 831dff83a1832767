"""How often and with how many connections each host is asked, across all processes of one user.

`rate` is the arithmetic of one host's limit, `shared_state` the state that processes share through
files, and `turns` waits according to both. `connection_slots` limits connections in use. `hosts`
has the state of each host in this process. Imports `outcome` and storage's errors, but not aiohttp.
"""

"""The client side of a run: checks, planning, dispatch, and the handle that the user holds.

What a task does is in `worker`; reading an existing store is in `results`. May import `cluster`,
`worker` and what is below them, but not `results`.
"""

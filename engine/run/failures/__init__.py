"""What keeps a run from its end: workers that die or stall, and blocks that fail too often.

Each module watches or judges; sending tasks, and ending the run, is in `run.dispatch` and
`run.driver`. May import `worker` and what is below it, and `run.tasks`.
"""

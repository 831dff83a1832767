"""Hill climbing: candidates are numbered when proposed, scored in any order, and retired in order.

`spaces` says what candidates are, `objective` and the folder `objectives` what scores them, and
`proposers` which are tried next. `search` numbers and retires them; it knows no cluster, so that
its states are the same whatever the workers. `evaluation` scores candidates on a worker,
`climb_dispatch` sends them there, `climb_driver` joins the two, and `history` keeps the climb in a
store. `climb` is the public function, `climb_handle` what it returns, and `pages` draws a climb.
May import `nsm`, `report`, `run`, and what is below them; only commands import it.
"""

"""`EmbeddingAttempt`: a run with an embedding in its own process, which may be killed."""

from __future__ import annotations

import os
from dataclasses import dataclass

from distributed import Client
from faults import Attempt
from inline import InlineClient

import paninifs as pf


@dataclass(frozen=True, kw_only=True)
class EmbeddingAttempt(Attempt):
    """See `Attempt`; its own cluster has worker processes with two threads each."""

    model: str
    engine: str

    def __call__(self) -> None:
        os.setpgid(0, 0)  # so that a test can kill it with all its workers
        block = pf.embedding(self.model, engine=self.engine)
        corpus = pf.open_corpus(self.corpus)
        with self._client() as client:
            options = {"shard_rows": self.shard_rows, "progress": False, "client": client}
            pf.submit(pf.Graph([block]), corpus, self._target(), **options).result()

    def _client(self):
        if self.inline:
            return InlineClient()
        return Client(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0")

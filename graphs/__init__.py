"""graphs/: what is computed for every text. Lazy; knows map-blocks and backends, no clusters."""

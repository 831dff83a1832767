"""Which machine suits a piece of work: what it takes there, what it costs, and why."""

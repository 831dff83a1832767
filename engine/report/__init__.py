"""The report of a store: one HTML page, made of what the store holds and of nothing else.

`reading` passes over the arrays and `findings` puts its numbers together with what the store knows
of its runs; `plots` draws them, `wording` says them; `page` makes the HTML, `report` writes it.
"""

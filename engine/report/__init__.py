"""The report about a store: one HTML page, made only from what the store holds.

`reading` reads the arrays once and `findings` adds what the store records about its runs;
`headline` chooses the first figures, `plots` draws, `wording` puts into words, `page` renders the
HTML and `report` writes it. May import `results` and what is below it, but not `rehearsal`.
"""

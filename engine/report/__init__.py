"""The report about a store: one HTML page, made only from the contents of the store.

`reading` reads the arrays once and `findings` adds the records of the runs; `headline` selects the
first figures, `plots` draws, `wording` describes, `page` renders the HTML, `report` makes the
report and `written` writes it.
Shorter overviews, as printed by the commands, are in `results`. May import `results` and what is
below it, but not `rehearsal`.
"""

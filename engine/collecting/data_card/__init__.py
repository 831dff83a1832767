"""The data card of a corpus: what it holds and where it is from, for machines and for people.

`card_facts` has plain values, from which `croissant` makes JSON-LD and `card_text` Markdown;
`write_cards` puts both beside the corpus. `part_tally` counts what a part holds, once, and
`card_cache` keeps it. Imports `outcome`, `rendering`, and storage, but neither `ledger` nor `web`.
"""

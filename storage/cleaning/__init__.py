"""What may be done to a text before it is hashed: normal forms, markup, lengths.

Reading is in `formats`. May import `errors`, `field` and `text`.
"""

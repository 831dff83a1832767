"""What messages say of things from outside: names of columns and files, and the caller's line.

The errors themselves are in `errors`. May import `errors` only.
"""

"""What identifies a user's block in a store: its source, and the labels of what it refers to.

`functions` describes a function and `labels` names this package's own code in that description.
What is done with the description is the business of `block` above and of `storage`. Modules here
may import `kernels` and `inventories`, and from `storage`.
"""

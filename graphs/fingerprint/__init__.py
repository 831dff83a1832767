"""How a store identifies users' code: by its source, its values, and labels of library code.

`functions` describes a function; `labels` names this package's own code in such a description.
`block` adds fields and parameters, and `storage.store.manifest` compares descriptions. Modules here
may import `kernels`, `inventories` and `storage`.
"""

"""Functions of users: how they are sent to workers, and whether they return what is declared.

What identifies them is in `fingerprint`. `returned` validates what they return; the values of each
kind of field have a module of their own. May import `fingerprint`, and `storage`.
"""

"""Work in a thread of its own: its handle, what stops it, and the end of the process.

May import what `engine.run` may.
"""

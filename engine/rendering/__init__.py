"""How values are written for people: quantities, terminal text, HTML and colours.

What is shown is decided where it is known. Imports nothing else of the engine.
"""

"""Faults of every kind at every moment of a command, after which the same command ends in the same bits.

`make chaos` runs all of them and prints a table; `python tests/chaos --quick` a part.
"""

"""foldwise against what a user would use instead; `python -m benchmarks --help` lists what is measured.

Seconds depend on the machine and on what else runs on it, so every claim is a ratio between things measured
in one run. Nothing here fails for being slow.
"""

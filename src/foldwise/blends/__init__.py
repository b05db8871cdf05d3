"""Ways to blend: `method(problem, train, other, **options) -> Blended`.

A method learns what it learns from the labelled rows `train` and predicts the rows `other`, whose labels it
does not get. `blends.nested` calls it, once for each fold with the other folds as `train`, and once with all
rows for the test set; so nothing that is fitted to labels ever sees a row that it is scored on. Its keyword-only
arguments are the schema of `ensemble.options`.

To add a method, write such a function, name it here, in `methods.METHODS` and in a YAML in `conf/ensemble/`, and let
`compare_methods.CANDIDATES` try it.
"""

from foldwise.blends.averages import mean, minmax, power, pushout, rank, single
from foldwise.blends.compare_methods import compare
from foldwise.blends.convex import by_output, convex
from foldwise.blends.fast_selection import greedy
from foldwise.blends.files import files
from foldwise.blends.neighbours import neighbours
from foldwise.blends.over_bases import stack
from foldwise.blends.stacking import boosted, linear, logistic

__all__ = [
    "boosted",
    "by_output",
    "compare",
    "convex",
    "files",
    "greedy",
    "linear",
    "logistic",
    "mean",
    "minmax",
    "neighbours",
    "power",
    "pushout",
    "rank",
    "single",
    "stack",
]

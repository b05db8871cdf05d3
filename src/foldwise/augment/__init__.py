"""Augmentations, named by `augment.name`: a function's keyword-only arguments are the schema of `augment.options`.

A function returns an `Augment` (see `foldwise.augment.pipelines`). One that needs to know the rows that are trained on
takes them as its first argument, `rows`.
"""

from foldwise.augment.body import body
from foldwise.augment.by_name import transforms
from foldwise.augment.pipelines import digits, flips, none, radar

__all__ = ["body", "digits", "flips", "none", "radar", "transforms"]

"""Augmentations, named by `augment.name`: a function's keyword-only arguments are the schema of `augment.options`."""

from foldwise.augment.body import body
from foldwise.augment.pipelines import digits, flips, none, radar

__all__ = ["body", "digits", "flips", "none", "radar"]

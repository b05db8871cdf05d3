"""Competitions: one package each, whose module `reader` turns the host's files into records.

A reader defines

VERSION: raised by an edit that changes what is read; it enters the data key.
SOURCES: {"simulated" or "embedded": function(raw_dir, **options)}, functions that write raw files; may be empty.
read(raw_dir, **options) -> data.records.Records: its keyword-only arguments are the schema of `competition.options`.
submission(predictions, sample) -> DataFrame: predictions (id, a column for each target) laid out as the sample is.
truth(solution, targets, **options) -> (n, k): the labels in `solution.csv`, for `foldwise grade`.

and may define

RESUMES = True: `read` takes a second argument, a folder that keeps finished parts after a kill.
FILES: names of options that may be paths of files, whose contents then enter the data key.
An option raw_url of `read`: the raw files lie below that URL instead of in the raw folder.

A simulator or embedded data lies in a module beside the reader, with a VERSION of its own.
"""

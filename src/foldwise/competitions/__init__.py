"""One package for each competition. Its module `reader` reads the host's files and lays out the host's submission.

A package `competitions/<name>/` with a `reader.py` makes `competition.reader=<name>` valid; nothing is registered.
`plugins.competition_module` looks the reader up and checks that it has the required names.

Required in `reader.py`:

VERSION: int
    To be raised when `read` returns other data for the same files: it enters the key of the prepared data.
SOURCES: dict[str, Callable[..., None]]
    Functions that write raw files without the host, by the kind of the source: `simulated`, `embedded`. `kaggle` needs
    none. Each is called as `function(raw_dir, **options)`; its keyword-only arguments are the options of `source`
    (`n_train`, `n_test` and `seed` among them, where they make sense). Its module has a VERSION of its own, and
    `solution.csv` is the file that `truth` reads.
read(raw_dir, **options) -> data.records.Records
    Read the raw files as the host ships them. The keyword-only arguments are the schema of `competition.options`: their
    annotations are checked and their defaults filled in. Samples come from iterators, so that memory does not grow with
    the files. A file that does not fit raises FoldwiseError that names the file, the record and the remedy; a
    missing file may raise FileNotFoundError. Labels, ids and pixels are checked later, by `data.dataset.write`.
submission(predictions, sample, **options) -> pandas.DataFrame
    Lay out the predictions (column id, a column of probabilities for each target) with the columns of the host's
    sample submission. Its rows may be in any order. `options` are those of `read`. It is tried with dummy predictions
    before any image is read: what a sample wants and predictions cannot answer raises FoldwiseError.
truth(solution, targets, **options) -> numpy.ndarray
    Return the true labels (n, k) of `solution.csv`, read as text, in the order of its rows. `options` are those of
    `read`. A missing column may raise KeyError, a value that is no number ValueError.

Optional in `reader.py`:

RESUMES: bool
    If true, `read(raw_dir, work_dir, spread, **options)` gets a folder that survives the death of the process; what it
    finds there it need not do again. The folder is removed when the data are prepared. `spread` is a
    `foldwise.processes.Spread`: it reads files in several processes, or on the machines of `execution=ray`.
read_new(raw_dir, *, new_images, new_sample, targets, category_names, **options) -> Iterator[data.records.Record]
    Read new samples for `foldwise predict`, in the folder `raw_dir`; `new_images` is the folder of the images in it
    where the user names no raw folder, `new_sample` a sample submission or None. Without this function the test part of
    `read` is taken.
FILES: tuple[str, ...]
    Options of `read` that may name a file outside the raw folder; its contents then enter the key of the data.

Optional option of `read`:

raw_url: str | None
    The raw files are below this URL, and no raw folder is needed on this machine. Names, sizes and hashes that the
    store reports decide the key of the data, instead of the contents.
"""

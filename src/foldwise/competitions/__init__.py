"""One module a competition: `VERSION`, `SOURCES`, `read(raw_dir, **options)` and `submission(...)`."""

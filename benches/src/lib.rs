//! Programs that measure Tatabox against named peers; see `src/bin/`.

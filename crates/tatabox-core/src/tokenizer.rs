//! Tokenisers: sequence to token ids, and back.

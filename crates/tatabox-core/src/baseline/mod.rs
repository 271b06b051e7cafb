//! What can be guessed without a model: k-mer frequencies and Markov chains.

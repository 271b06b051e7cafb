//! Sampling windows from a genome.

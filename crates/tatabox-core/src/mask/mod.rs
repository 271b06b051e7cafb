//! Masking: which tokens the model must guess, and what it sees in their place.

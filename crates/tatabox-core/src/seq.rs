//! A DNA sequence as base codes.

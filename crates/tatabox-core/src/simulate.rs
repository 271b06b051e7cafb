//! A genome with known truth.

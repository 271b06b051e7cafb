//! A genome at two bits a base, mapped from disk.

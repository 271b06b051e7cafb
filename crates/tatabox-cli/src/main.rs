//! The command `tatabox`.
fn main() {}

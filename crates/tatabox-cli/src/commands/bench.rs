//! `tatabox mask`
/// x
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
 /// x
 Freeze}
pub fn run(_args: &Verb) -> anyhow::Result<()> { todo!() }

//! `tatabox evaluate`
/// x
#[derive(Debug, clap::Args)]
pub struct Args {}
pub fn run(_args: &Args) -> anyhow::Result<()> { todo!() }

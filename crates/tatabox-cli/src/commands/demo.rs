//! `tatabox evaluate`
use crate::settings::Settings;
/// x
#[derive(Debug, clap::Args)]
pub struct Args {}
pub fn run(_args: &Args, _settings: &Settings) -> anyhow::Result<std::process::ExitCode> { todo!() }

//! From the raw options to what the verbs need: threads that run, a cache directory that has a name.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tatabox::recipe::RunConfig;
use tatabox_core::genome::Genome;
use tatabox_core::io::whole;

use crate::args::Machine;
use crate::failure::Refusal;
use crate::ui;

/// What every verb needs to know of the machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where converted genomes are kept.
    pub cache: PathBuf,
}

impl Settings {
    /// Settles the cache directory and starts the threads.
    pub fn resolve(machine: &Machine) -> anyhow::Result<Self> {
        if let Some(threads) = machine.threads {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads.get())
                .build_global()
                .with_context(|| format!("could not start {threads} threads"))?;
        }
        tatabox_engine::Device::choose(machine.device);
        let cache = match &machine.cache {
            Some(cache) => cache.clone(),
            None => default_cache(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
                .ok_or_else(|| {
                Refusal::new(
                    "there is no directory to keep converted genomes in: HOME is not set",
                    "give one with `--cache DIR`",
                )
            })?,
        };
        Ok(Self { cache })
    }
}

impl Settings {
    /// Opens a genome, and says so where it takes its time: the first time, it is read and converted.
    pub fn genome(&self, inputs: &[PathBuf]) -> anyhow::Result<Genome> {
        let spinner = ui::spinner(format!("reading {}", names(inputs)));
        let genome = Genome::open(inputs, &self.cache);
        spinner.finish_and_clear();
        genome.with_context(|| format!("could not open the genome {}", names(inputs)))
    }
}

/// Paths as an error or a line of words names them.
pub fn names(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    match shown.as_slice() {
        [first, _, _, _, ..] => format!("{first} and {} more files", shown.len() - 1),
        _ => shown.join(", "),
    }
}

/// Refuses a file that could not be written when the work is done: in a folder that is not there, or a folder itself. And one of the inputs: it would be
/// written over what it was made of. `option` is what gave it.
pub fn check_output(option: &str, output: &Path, inputs: &[PathBuf]) -> Result<(), Refusal> {
    if whole::is_stream(output) {
        return Ok(());
    }
    let given = format!("`{option} {}`", output.display());
    if output.is_dir() {
        return Err(Refusal::new(format!("{given} is a folder"), "name a file in it"));
    }
    if let Some(folder) = output.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        let folder = folder.display();
        return Err(Refusal::new(
            format!("{given}: the folder `{folder}` is not there"),
            format!("make it: `mkdir -p {folder}`"),
        ));
    }
    let there = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let Some(written) = there(output) else { return Ok(()) };
    match inputs.iter().find(|input| there(input).as_ref() == Some(&written)) {
        Some(input) => {
            let what = format!("{given} is the input `{}`, and would replace it", input.display());
            Err(Refusal::new(what, "name another file"))
        }
        None => Ok(()),
    }
}

/// Refuses two things on one standard output: the table, and a JSON object about it.
pub fn check_one_on_stdout(output: &Path, json: bool) -> Result<(), Refusal> {
    if json && whole::is_stdout(output) {
        let what = format!("`-o {}` and `--json` would both be written to standard output", output.display());
        return Err(Refusal::new(what, "leave one of them away, or give `-o` a file"));
    }
    Ok(())
}

/// A recipe and what is set over it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RecipeArgs {
    /// A recipe (TOML); what it leaves out takes its default
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Set one value over the recipe: --set train.learning_rate=1e-4 (all keys: docs/reference/recipe.md, of fine-tuning finetune-keys.md)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl RecipeArgs {
    /// The values as they are given, not yet checked.
    pub fn read(&self) -> anyhow::Result<tatabox::settings::Settings> {
        let mut settings = match &self.recipe {
            None => tatabox::settings::Settings::empty(),
            Some(path) => {
                check_recipe_is_there(path)?;
                tatabox::settings::Settings::read(path)?
            }
        };
        for assignment in &self.set {
            settings.set(assignment)?;
        }
        Ok(settings)
    }

    /// The complete, checked configuration.
    pub fn resolve(&self) -> anyhow::Result<RunConfig> {
        Ok(RunConfig::resolve(self.read()?)?)
    }
}

/// A recipe that is not there is a wrong command line, unlike a genome that is not there.
pub fn check_recipe_is_there(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let what = format!("the recipe `{}` does not exist", path.display());
    Err(Refusal::new(
        what,
        "the recipes that come with Tatabox are in `recipes/`; without `--recipe` the defaults hold",
    )
    .into())
}

fn default_cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("TATABOX_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("tatabox")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/tatabox")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_looked_for_from_the_special_to_the_general() {
        let with = |names: &'static [&'static str]| {
            default_cache(move |name| names.contains(&name).then(|| PathBuf::from(format!("/{name}"))))
        };
        assert_eq!(with(&["TATABOX_CACHE", "XDG_CACHE_HOME", "HOME"]), Some("/TATABOX_CACHE".into()));
        assert_eq!(with(&["XDG_CACHE_HOME", "HOME"]), Some("/XDG_CACHE_HOME/tatabox".into()));
        assert_eq!(with(&["HOME"]), Some("/HOME/.cache/tatabox".into()));
        assert_eq!(with(&[]), None);
    }
}

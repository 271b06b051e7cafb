//! Checkpoints: generations of a run's state, each one whole or not there.
//!
//! ```text
//! checkpoints/step-1000/   config.json · vocab.txt · tokenizer_config.json · model.safetensors · state.safetensors · state.json
//! ```
//! A generation is made in a temporary sibling, synced, and renamed. `state.json` is written last and holds size and SHA-256 of the others:
//! one that does not match is torn, is moved aside, and the generation before it is taken.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tatabox_core::io::input::{Fingerprint, fingerprint};
use tatabox_core::io::whole::sync_folder;
use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};

use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::weights::{self, Tensor};

/// The weights, under Hugging Face names.
pub const MODEL: &str = "model.safetensors";
/// The optimizer's moments.
pub const MOMENTS: &str = "state.safetensors";
/// What is not a tensor, and the mark that the generation is complete.
pub const STATE: &str = "state.json";

/// The best held-out loss so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step that reached it; its checkpoint is kept.
    pub step: u64,
    /// Nats a masked token.
    pub loss: f64,
}

/// Sums over some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Steps.
    pub steps: u64,
    /// Nats over all masked tokens.
    pub nats: f64,
    /// Masked tokens.
    pub masked: u64,
    /// Tokens, specials included.
    pub tokens: u64,
    /// Tokens, specials left out.
    pub content: u64,
}

impl Sums {
    /// Adds other sums to these.
    pub fn add(&mut self, other: &Sums) {
        self.steps += other.steps;
        self.nats += other.nats;
        self.masked += other.masked;
        self.tokens += other.tokens;
        self.content += other.content;
    }

    /// Nats a masked token; not a number where nothing was masked.
    pub fn loss(&self) -> f64 {
        self.nats / self.masked as f64
    }

    /// The share of content tokens that was masked: the rate measured, not the one asked for.
    pub fn mask_rate(&self) -> f64 {
        self.masked as f64 / self.content as f64
    }
}

/// Everything a run must know to go on, besides tensors and configuration. Samples and dropout are functions of (seed, step, index), so
/// there is no generator to save.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Sums since the start of the run.
    pub total: Sums,
    /// Sums since the last line of `metrics.jsonl`.
    pub since_log: Sums,
    /// The best held-out loss so far.
    pub best: Option<Best>,
}

/// What a kind of run must know to go on.
pub trait Saved: Serialize + DeserializeOwned {
    /// Steps done.
    fn step(&self) -> u64;
}

impl Saved for State {
    fn step(&self) -> u64 {
        self.step
    }
}

#[derive(Serialize, Deserialize)]
struct StateFile<S> {
    #[serde(flatten)]
    state: S,
    files: BTreeMap<String, Seal>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seal {
    bytes: u64,
    sha256: String,
}

/// The tensors of a checkpoint, borrowed from where they are.
pub struct Tensors<'a> {
    /// The weights.
    pub weights: Vec<Tensor<'a>>,
    /// First and second moment of each weight, in the same order; empty for one that does not learn.
    pub moments: Vec<(&'a [f32], &'a [f32])>,
}

/// Small files that belong into every generation, so that Hugging Face opens it: name and text.
pub type Companions = Vec<(String, String)>;

/// Configuration and tokenizer, as Hugging Face opens them.
///
/// # Errors
/// The tokenizer's settings do not fit each other.
pub fn companions(tokenizer: &TokenizerConfig, model: &BertConfig) -> Result<Companions> {
    let tokenizer = Tokenizer::new(tokenizer.clone())?;
    Ok(vec![
        ("config.json".to_string(), model.to_json()),
        ("vocab.txt".to_string(), tokenizer.vocab_txt()),
        ("tokenizer_config.json".to_string(), tokenizer.tokenizer_config_json(model.max_position_embeddings)),
    ])
}

/// The generations of one run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The generations in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder of a step.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step}"))
    }

    /// The steps of all generations, the newest first; torn ones included.
    ///
    /// # Errors
    /// The folder is there but cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::file("read", &self.folder)(error)),
        };
        let step = |name: &str| name.strip_prefix("step-").and_then(|number| number.parse::<u64>().ok());
        let mut steps: Vec<u64> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(step)).collect();
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    /// Writes one generation, whole or not at all.
    ///
    /// # Errors
    /// A file cannot be written: no space, no permission. What was there before is still there.
    pub fn write<S: Saved + Clone>(
        &self,
        state: &S,
        tensors: &Tensors<'_>,
        companions: &Companions,
    ) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder).map_err(Error::file("create", &self.folder))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".step-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777)); // less the umask: a run may be shared
        let temporary = builder.tempdir_in(&self.folder).map_err(Error::file("create", &self.folder))?;
        let at = |name: &str| temporary.path().join(name);
        for (name, text) in companions {
            write_synced(&at(name), text.as_bytes())?;
        }
        weights::write_weights(&at(MODEL), &tensors.weights)?;
        let mut moments = Vec::with_capacity(2 * tensors.weights.len());
        let learning = tensors.weights.iter().zip(&tensors.moments).filter(|(_, (first, _))| !first.is_empty());
        for (weight, (first, second)) in learning {
            moments.push((format!("exp_avg.{}", weight.name), weight.shape.to_vec(), *first));
            moments.push((format!("exp_avg_sq.{}", weight.name), weight.shape.to_vec(), *second));
        }
        weights::write_plain(&at(MOMENTS), &moments)?;
        let mut files = BTreeMap::new();
        for name in companions.iter().map(|(name, _)| name.as_str()).chain([MODEL, MOMENTS]) {
            files.insert(name.to_string(), seal(&at(name))?);
        }
        let file = StateFile { state: state.clone(), files };
        let text = serde_json::to_string_pretty(&file).expect("a plain struct has a JSON form") + "\n";
        write_synced(&at(STATE), text.as_bytes())?;
        sync_folder(temporary.path())?;
        let path = self.path(state.step());
        // The same step again: what a stop wrote and a resumed run repeats, or what is not of this run.
        if path.exists() {
            self.drop_generation(state.step())?;
        }
        fs::rename(temporary.path(), &path).map_err(Error::file("rename", &path))?;
        // The folder has another name now: nothing is left to be deleted under the old one.
        let _ = temporary.keep();
        sync_folder(&self.folder)?;
        Ok(path)
    }

    /// The newest complete generation; torn ones are named and left where they are.
    ///
    /// # Errors
    /// The folder cannot be read, or there is no complete generation.
    pub fn newest<S: Saved>(&self) -> Result<(S, Vec<String>)> {
        let mut torn = Vec::new();
        for step in self.steps()? {
            match self.verify(step) {
                Ok(state) => return Ok((state, torn)),
                Err(why) => torn.push(format!("{} is torn and not loaded: {why}", self.path(step).display())),
            }
        }
        let got = if torn.is_empty() { "none".to_string() } else { torn.join("; ") };
        Err(Error::format(&self.folder, "", "a complete checkpoint", got, "start the run again with another `-o`"))
    }

    /// Moves generations newer than `step` aside, for they are torn: as `torn-step-N`.
    ///
    /// # Errors
    /// A folder cannot be renamed.
    pub fn set_aside_after(&self, step: u64) -> Result<()> {
        for torn in self.steps()?.into_iter().filter(|&torn| torn > step) {
            let mut aside = self.folder.join(format!("torn-step-{torn}"));
            let mut copy = 1;
            while aside.exists() {
                copy += 1;
                aside = self.folder.join(format!("torn-step-{torn}-{copy}"));
            }
            fs::rename(self.path(torn), &aside).map_err(Error::file("rename", self.path(torn)))?;
        }
        Ok(())
    }

    /// Deletes what a killed process left half-made: temporary folders.
    ///
    /// # Errors
    /// One cannot be deleted.
    pub fn sweep(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".step-") {
                fs::remove_dir_all(entry.path()).map_err(Error::file("delete", entry.path()))?;
            }
        }
        Ok(())
    }

    /// Checks a generation against its seals and gives its state; the error says in words what is torn.
    ///
    /// # Errors
    /// `state.json` or another file is missing, or has another size or hash.
    pub fn verify<S: Saved>(&self, step: u64) -> std::result::Result<S, String> {
        let folder = self.path(step);
        let text = fs::read_to_string(folder.join(STATE)).map_err(|error| format!("`{STATE}`: {error}"))?;
        let file: StateFile<S> = serde_json::from_str(&text).map_err(|error| format!("`{STATE}`: {error}"))?;
        if file.state.step() != step {
            return Err(format!("`{STATE}` is of step {}", file.state.step()));
        }
        for needed in [MODEL, MOMENTS] {
            if !file.files.contains_key(needed) {
                return Err(format!("`{STATE}` does not name `{needed}`"));
            }
        }
        for (name, expected) in &file.files {
            let got = seal(&folder.join(name)).map_err(|error| error.to_string())?;
            if got != *expected {
                return Err(format!("`{name}` has not the {} bytes that were written", expected.bytes));
            }
        }
        Ok(file.state)
    }

    /// Reads the moments of a generation, in the order of `wanted`.
    ///
    /// # Errors
    /// The file cannot be read or does not hold them.
    pub fn read_moments(&self, step: u64, wanted: &[Tensor<'_>]) -> Result<Vec<(Vec<f32>, Vec<f32>)>> {
        let names: Vec<(String, Vec<usize>)> = ["exp_avg", "exp_avg_sq"]
            .iter()
            .flat_map(|kind| {
                wanted.iter().map(move |tensor| (format!("{kind}.{}", tensor.name), tensor.shape.to_vec()))
            })
            .collect();
        let mut first = weights::read_plain(&self.path(step).join(MOMENTS), &names)?;
        let second = first.split_off(wanted.len());
        Ok(first.into_iter().zip(second).collect())
    }

    /// Deletes all generations but the `keep` newest and the best.
    ///
    /// # Errors
    /// One cannot be deleted.
    pub fn prune(&self, keep: usize, best: Option<u64>) -> Result<()> {
        for step in self.steps()?.into_iter().skip(keep) {
            if Some(step) != best {
                self.drop_generation(step)?;
            }
        }
        Ok(())
    }

    /// Renamed first: a generation that is half deleted must not look like a torn one.
    fn drop_generation(&self, step: u64) -> Result<()> {
        let (path, doomed) = (self.path(step), self.folder.join(format!(".step-{step}-deleted")));
        fs::rename(&path, &doomed).map_err(Error::file("rename", &path))?;
        fs::remove_dir_all(&doomed).map_err(Error::file("delete", &path))
    }
}

fn seal(path: &Path) -> Result<Seal> {
    let Fingerprint { bytes, sha256 } = fingerprint(path)?;
    Ok(Seal { bytes, sha256 })
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the folder that it is in is temporary, and is renamed when it is whole"
    )]
    fs::write(path, bytes).map_err(Error::file("write", path))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "bert.embeddings.word_embeddings.weight";

    fn state(step: u64) -> State {
        let sums = Sums { steps: step, nats: 0.1 + step as f64, masked: 3, tokens: 20, content: 18 };
        State { step, total: sums, since_log: sums, best: Some(Best { step, loss: 1.0 / 3.0 }) }
    }

    fn write(checkpoints: &Checkpoints, step: u64) -> PathBuf {
        let values = [step as f32, 2.0];
        let weights = vec![Tensor { name: NAME, shape: &[1, 2], values: &values }];
        let tensors = Tensors { weights, moments: vec![(&[0.5, 0.25], &[0.125, 1e-30])] };
        checkpoints.write(&state(step), &tensors, &vec![("config.json".to_string(), "{}\n".to_string())]).unwrap()
    }

    fn checkpoints() -> (tempfile::TempDir, Checkpoints) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().join("checkpoints"));
        (folder, checkpoints)
    }

    #[test]
    fn what_is_written_is_read_again_bit_for_bit() {
        let (_folder, checkpoints) = checkpoints();
        write(&checkpoints, 7);
        let (read, torn) = checkpoints.newest::<State>().unwrap();
        assert_eq!(read, state(7));
        assert!(torn.is_empty());
        let moments = checkpoints.read_moments(7, &[Tensor { name: NAME, shape: &[1, 2], values: &[] }]).unwrap();
        assert_eq!(moments, [(vec![0.5, 0.25], vec![0.125, 1e-30])]);
    }

    #[cfg(unix)]
    #[test]
    fn it_is_as_readable_as_any_new_folder() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, checkpoints) = checkpoints();
        let plain = folder.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&write(&checkpoints, 7)), mode(&plain));
    }

    #[test]
    fn a_torn_generation_is_never_loaded_whatever_is_torn() {
        for name in ["config.json", MODEL, MOMENTS, STATE] {
            for tear in ["shorten", "flip", "delete"] {
                let (_folder, checkpoints) = checkpoints();
                write(&checkpoints, 10);
                let path = write(&checkpoints, 20).join(name);
                let mut bytes = fs::read(&path).unwrap();
                match tear {
                    "shorten" => drop(bytes.pop().map(|_| bytes.pop())),
                    "flip" => *bytes.last_mut().unwrap() ^= 0x41,
                    _ => fs::remove_file(&path).unwrap(),
                }
                if tear != "delete" {
                    fs::write(&path, &bytes).unwrap();
                }
                let (read, torn) = checkpoints.newest::<State>().unwrap();
                assert_eq!(read, state(10), "{tear} {name}");
                assert!(torn[0].contains("step-20 is torn"), "{torn:?}");
                checkpoints.set_aside_after(10).unwrap();
                assert_eq!(checkpoints.steps().unwrap(), [10]);
            }
        }
    }

    #[test]
    fn without_a_complete_generation_there_is_an_error() {
        let (_folder, checkpoints) = checkpoints();
        assert!(
            checkpoints.newest::<State>().unwrap_err().to_string().contains("expected a complete checkpoint, got none")
        );
        fs::remove_file(write(&checkpoints, 5).join(STATE)).unwrap();
        assert!(checkpoints.newest::<State>().unwrap_err().to_string().contains("step-5 is torn"));
    }

    #[test]
    fn keeps_the_newest_and_the_best() {
        let (_folder, checkpoints) = checkpoints();
        for step in [10, 20, 30, 40] {
            write(&checkpoints, step);
        }
        checkpoints.prune(2, Some(10)).unwrap();
        assert_eq!(checkpoints.steps().unwrap(), [40, 30, 10]);
    }

    #[test]
    fn the_same_step_again_replaces_the_first() {
        let (_folder, checkpoints) = checkpoints();
        write(&checkpoints, 3);
        write(&checkpoints, 3);
        assert_eq!(checkpoints.newest::<State>().unwrap().0, state(3));
        assert_eq!(fs::read_dir(&checkpoints.folder).unwrap().count(), 1);
    }

    #[test]
    fn half_made_folders_are_swept() {
        let (_folder, checkpoints) = checkpoints();
        write(&checkpoints, 3);
        fs::create_dir(checkpoints.folder.join(".step-abc")).unwrap();
        checkpoints.sweep().unwrap();
        assert_eq!(fs::read_dir(&checkpoints.folder).unwrap().count(), 1);
    }
}

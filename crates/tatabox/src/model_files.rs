//! The files of a model: a run's, or those of a Hugging Face directory.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
use tatabox_engine::Executor;

use crate::checkpoint::{Checkpoints, MODEL, STATE, State};
use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::recipe::RunConfig;
use crate::run::{CONFIG, FINETUNE, read_record};
use crate::settings::Settings;
use crate::weights::{Head, Weights, read_weights, wanted};

/// Where a model lies: a run, of which the newest complete checkpoint counts, or any Hugging Face directory.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// The directory with `config.json` and `model.safetensors`.
    pub folder: PathBuf,
    /// The step of a run's checkpoint.
    pub step: Option<u64>,
    /// Words for the user: checkpoints that were torn.
    pub notes: Vec<String>,
    /// Its configuration.
    pub config: BertConfig,
}

/// What is said of a model without a vocabulary.
pub(crate) const NO_VOCABULARY: &str = "the model has no `vocab.txt` and no `tokenizer.json`: its ids are taken to be in the order of DNABERT's vocabulary";

/// How a model reads sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its tokens.
    pub tokenizer: TokenizerConfig,
    /// Tokens of the longest sample that it was trained on, or may be.
    pub max_length: usize,
}

/// What the record of a fine-tuning says of how its model reads.
#[derive(Deserialize)]
struct FineTuned {
    config: FineTunedConfig,
}

#[derive(Deserialize)]
struct FineTunedConfig {
    tokenizer: TokenizerConfig,
    data: FineTunedData,
}

#[derive(Deserialize)]
struct FineTunedData {
    max_length: usize,
}

impl ModelFiles {
    /// Finds the model of a directory and reads its configuration.
    ///
    /// # Errors
    /// There is no model, its weights are in another format, or its configuration is not one that this program computes.
    pub fn find(dir: &Path) -> Result<Self> {
        let refuse = |what: &str, hint: &str| {
            Err(Error::Directory { path: dir.to_path_buf(), what: what.to_string(), hint: hint.to_string() })
        };
        if !dir.is_dir() {
            return refuse("is no directory", "give a run (`runs/yeast`) or a directory written by transformers");
        }
        let mut found = (dir.to_path_buf(), None, Vec::new());
        if dir.join(CONFIG).is_file() {
            let checkpoints = Checkpoints::new(dir.join("checkpoints"));
            let (state, torn) = checkpoints.newest::<State>()?;
            found = (checkpoints.path(state.step), Some(state.step), torn);
            check_shown(dir, &found.0)?;
        }
        let (folder, step, notes) = found;
        if !folder.join("config.json").is_file() {
            return refuse(
                "holds no model: it has no `config.json`",
                "give a run, or a directory written by transformers",
            );
        }
        if !folder.join(MODEL).is_file() {
            let hint = if folder.join("pytorch_model.bin").is_file() {
                "`pytorch_model.bin` is not read: load it with transformers and `save_pretrained(dir, safe_serialization=True)`, and copy `vocab.txt` beside it"
            } else {
                ""
            };
            return refuse("holds no `model.safetensors`", hint);
        }
        let config = BertConfig::read(&folder.join("config.json"))?;
        Ok(Self { folder, step, notes, config })
    }

    /// The tokenizer of its `vocab.txt` or, as transformers 5 writes no such file, of its `tokenizer.json`; `None` where it has neither. The
    /// stride is in neither file.
    ///
    /// # Errors
    /// The vocabulary is not DNABERT's, or not of the size that the configuration says.
    pub fn tokenizer(&self, stride: usize) -> Result<Option<Tokenizer>> {
        let (text, json) = (self.folder.join("vocab.txt"), self.folder.join("tokenizer.json"));
        let (tokenizer, path) = if text.is_file() {
            (Tokenizer::from_vocab_file(&text, stride)?, text)
        } else if json.is_file() {
            let read = Tokenizer::from_vocab(listed(&json)?.as_bytes(), &json, stride);
            (read.map_err(without_line)?, json)
        } else {
            return Ok(None);
        };
        if tokenizer.vocab_size() != self.config.vocab_size {
            let got = format!(
                "{} tokens, as `config.json` has `vocab_size` {}",
                tokenizer.vocab_size(),
                self.config.vocab_size
            );
            return Err(Error::format(path, "", "one token for each id", got, ""));
        }
        Ok(Some(tokenizer))
    }

    /// How the model of the directory `dir` reads: as its run did, else by its vocabulary and up to its positions; none where it has no vocabulary.
    ///
    /// # Errors
    /// As [`ModelFiles::tokenizer`].
    pub fn reading(&self, dir: &Path) -> Result<Option<Reading>> {
        let known = self.tokenizer(1)?.map(|tokenizer| tokenizer.config().clone());
        if dir.join(CONFIG).is_file() {
            let run = RunConfig::stored(Settings::read(&dir.join(CONFIG))?)?;
            return Ok(Some(Reading { tokenizer: run.tokenizer, max_length: run.data.max_length }));
        }
        if dir.join(FINETUNE).is_file() {
            let FineTuned { config } = read_record(&dir.join(FINETUNE))?;
            return Ok(Some(Reading { tokenizer: config.tokenizer, max_length: config.data.max_length }));
        }
        Ok(known.map(|tokenizer| Reading { tokenizer, max_length: self.config.max_position_embeddings }))
    }

    /// Reads the weights into an executor; words for the user come back. Where the head may be missing, it stays as it is.
    ///
    /// # Errors
    /// As [`read_weights`].
    pub fn load(&self, executor: &mut Executor, head: Head) -> Result<Vec<String>> {
        let specs = executor.specs().to_vec();
        let wanted = wanted(&specs);
        let Weights { values, notes } = read_weights(&self.folder.join(MODEL), &wanted, head)?;
        for (index, values) in values.iter().enumerate() {
            if let Some(values) = values {
                executor.set_param(index, values);
            }
        }
        Ok(notes)
    }
}

/// The tokens of a `tokenizer.json` in the order of their ids, a line each, as `vocab.txt` has them.
fn listed(path: &Path) -> Result<String> {
    let text = std::fs::read(path).map_err(Error::file("read", path))?;
    let wrong = |got: String| Error::format(path, "", "`model.vocab`, a JSON object of tokens and ids", got, "");
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let vocabulary =
        json["model"]["vocab"].as_object().ok_or_else(|| wrong(format!("the model `{}`", json["model"]["type"])))?;
    let mut tokens: Vec<(Option<u64>, &str)> =
        vocabulary.iter().map(|(token, id)| (id.as_u64(), token.as_str())).collect();
    tokens.sort_unstable();
    for (id, (got, token)) in (0..).zip(&tokens) {
        if *got != Some(id) {
            return Err(wrong(format!("no token with id {id}, but `{}` with {got:?}", token.escape_debug())));
        }
    }
    Ok(tokens.into_iter().map(|(_, token)| format!("{token}\n")).collect())
}

/// The lines of [`listed`] are no lines of the file.
fn without_line(error: tatabox_core::Error) -> Error {
    match error {
        tatabox_core::Error::Format { path, expected, got, hint, .. } => Error::format(path, "", expected, got, hint),
        other => other.into(),
    }
}

/// What the directory of a run shows is its newest checkpoint. A `config.json` changed there by hand would be passed over in silence.
fn check_shown(dir: &Path, checkpoint: &Path) -> Result<()> {
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).ok();
    let same = |name: &str| read(dir, name) == read(checkpoint, name);
    if !same(STATE) || same("config.json") {
        return Ok(());
    }
    Err(Error::Weights {
        path: dir.join(MODEL),
        problems: "\n  `config.json` is not the one that these weights were saved with".to_string(),
        hint: format!("copy `{}` back", checkpoint.join("config.json").display()),
    })
}

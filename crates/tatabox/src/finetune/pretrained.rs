//! A pretrained encoder, read once and fitted many times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tatabox_core::io::input::{Fingerprint, fingerprint};
use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
use tatabox_engine::{Executor, Objective};

use super::FinetuneConfig;
use crate::checkpoint::MODEL;
use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::model_files::{ModelFiles, Reading};
use crate::models::bert::{WindowPooling, sequence_classifier};
use crate::settings::Settings;
use crate::weights::{Head, read_weights, wanted};

/// An encoder with its tokenizer: of a run of `tatabox pretrain` or `tatabox finetune`, or any Hugging Face BERT with DNABERT's vocabulary.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// The directory it was read from.
    pub dir: PathBuf,
    /// Its weights' SHA-256.
    pub sha256: String,
    /// Sizes and rates.
    pub config: BertConfig,
    /// How it was pretrained to read: k, stride.
    pub tokenizer: TokenizerConfig,
    /// The longest window that it saw, specials included; its positions, where nobody says.
    pub max_length: usize,
    /// Words for the user.
    pub notes: Vec<String>,
    /// By the engine's name: encoder, and pooler where there is one.
    weights: BTreeMap<String, Vec<f32>>,
}

impl Pretrained {
    /// Reads an encoder.
    ///
    /// # Errors
    /// There is no model, it is not a BERT, its vocabulary is not DNABERT's, or its weights are torn.
    pub fn open(dir: &Path) -> Result<Self> {
        let files = ModelFiles::find(dir)?;
        let config = files.config.clone();
        let Some(Reading { tokenizer, max_length }) = files.reading(dir)? else {
            return Err(Error::Directory {
                path: dir.to_path_buf(),
                what: "has no `vocab.txt` and no `tokenizer.json`, so that nobody knows its tokens".to_string(),
                hint: "put the model's `vocab.txt` beside its `config.json`".to_string(),
            });
        };
        if Tokenizer::new(tokenizer.clone())?.vocab_size() != config.vocab_size {
            return Err(Error::Directory {
                path: dir.to_path_buf(),
                what: format!("has a `config.json` of {} tokens and a tokenizer of another number", config.vocab_size),
                hint: "its files do not belong together".to_string(),
            });
        }
        let path = files.folder.join(MODEL);
        let graph = sequence_classifier(&config, 1, WindowPooling::Mean, Objective::SquaredError)?;
        let specs: Vec<_> = graph.params().iter().filter(|spec| !spec.name.starts_with("classifier.")).collect();
        let wanted = wanted(specs.iter().copied());
        let read = read_weights(&path, &wanted, Head::Optional)?;
        let names = specs.iter().map(|spec| spec.name.clone());
        let weights = names.zip(read.values).filter_map(|(name, values)| Some((name, values?))).collect();
        let Fingerprint { sha256, .. } = fingerprint(&path)?;
        let mut notes = files.notes;
        notes.extend(read.notes.into_iter().filter(|note| !note.contains("left out")));
        Ok(Self { dir: dir.to_path_buf(), sha256, config, tokenizer, max_length, notes, weights })
    }

    /// The same encoder with fresh weights, for comparison: what pretraining brought is what it lacks.
    pub fn with_fresh_weights(mut self) -> Self {
        self.weights.clear();
        self.notes = vec!["all weights start fresh".to_string()];
        self
    }

    /// The configuration of a fine-tuning of this encoder, from what is given.
    ///
    /// # Errors
    /// As [`FinetuneConfig::resolve`].
    pub fn resolve(&self, settings: Settings) -> Result<FinetuneConfig> {
        FinetuneConfig::resolve(settings, &self.config, &self.tokenizer, self.max_length)
    }

    /// Its short name: the last part of the directory.
    pub fn name(&self) -> String {
        self.dir.file_name().map_or_else(|| self.dir.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// Fresh weights from a seed, and over them those that it has.
    pub fn load(&self, executor: &mut Executor, seed: u64) {
        executor.initialize(seed);
        for index in 0..executor.specs().len() {
            if let Some(values) = self.weights.get(&executor.specs()[index].name) {
                executor.set_param(index, values);
            }
        }
    }
}

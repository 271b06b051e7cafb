//! What a fine-tuning is: `finetune.toml`, enough to do it again and to ask the model.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tatabox_core::labelled::Task;

use super::{FinetuneConfig, Source};
use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::run::read_record;

/// What a fine-tuning is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What is asked.
    pub task: Task,
    /// Whether the sequences come in pairs.
    #[serde(default)]
    pub pairs: bool,
    /// Names of the classes, labels or numbers, in the order of the model's outputs.
    pub outputs: Vec<String>,
    /// The directory of the encoder.
    pub model: PathBuf,
    /// SHA-256 of its weights.
    pub model_sha256: String,
    /// Everything that decides what is computed.
    pub config: FinetuneConfig,
    /// Where the data came from; none where the fine-tuning was one of many that another command did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

impl Record {
    /// Reads `finetune.toml`.
    ///
    /// # Errors
    /// It cannot be read or is not what this program writes.
    pub fn read(path: &Path) -> Result<Self> {
        read_record(path)
    }

    /// The text of `finetune.toml`.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub fn to_toml(&self) -> Result<String> {
        let text = toml::to_string(self).map_err(|error| Error::Recipe {
            place: crate::run::FINETUNE.to_string(),
            what: format!("cannot be written: {error}"),
            hint: String::new(),
        })?;
        Ok(format!("# The record of this fine-tuning, resolved: `tatabox finetune --resume` goes on with it.\n{text}"))
    }

    /// The configuration of the model in Hugging Face's words: what its outputs are and mean.
    pub fn bert(&self, encoder: &BertConfig) -> BertConfig {
        let by_index = self.outputs.iter().enumerate();
        BertConfig {
            architectures: vec!["BertForSequenceClassification".to_string()],
            id2label: Some(by_index.clone().map(|(index, name)| (index.to_string(), name.clone())).collect()),
            label2id: Some(by_index.map(|(index, name)| (name.clone(), index)).collect()),
            problem_type: Some(
                match self.task {
                    Task::Binary | Task::MultiClass => "single_label_classification",
                    Task::MultiLabel => "multi_label_classification",
                    Task::Regression => "regression",
                }
                .to_string(),
            ),
            ..self.config.bert(encoder)
        }
    }
}

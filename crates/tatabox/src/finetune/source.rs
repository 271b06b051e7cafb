//! Where labelled data comes from, so that it can be read again, and how it is divided.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tatabox_core::genome::Genome;
use tatabox_core::labelled::{self, Division, Labelled, ReadOptions, Split, SplitName, Task, divide};

use crate::error::{Error, Result};

/// Files of labelled data and how they are read and divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Tables, FASTA, BED, or folders of them.
    pub data: Vec<PathBuf>,
    /// What is asked, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The column of the sequence, or the two of a pair, where it was said.
    #[serde(default)]
    pub sequence_columns: Vec<String>,
    /// The column of the label, or several, where it was said.
    #[serde(default)]
    pub label_columns: Vec<String>,
    /// The genome that intervals lie on.
    #[serde(default)]
    pub genome: Vec<PathBuf>,
    /// A new division of everything: `80/10/10`, `chromosome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The percentage of the training examples that becomes dev, where the data has none.
    pub dev_share: u32,
    /// The seed of both.
    pub seed: u64,
    /// Whether the dev part is learnt from where there is no train part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learn_from_dev: bool,
}

impl Source {
    /// The same with absolute paths: it can be read from any folder.
    ///
    /// # Errors
    /// The current folder is gone.
    pub fn absolute(mut self) -> Result<Self> {
        for path in self.data.iter_mut().chain(&mut self.genome) {
            *path = std::path::absolute(&*path).map_err(Error::file("find", &*path))?;
        }
        Ok(self)
    }

    /// Reads the data, and divides it where it is not, with words about that for the user. There is a train part afterwards.
    ///
    /// # Errors
    /// It cannot be read or divided, or has nothing to learn from.
    pub fn read(&self, cache: &Path) -> Result<(Labelled, Vec<String>)> {
        let genome = if self.genome.is_empty() { None } else { Some(Genome::open(&self.genome, cache)?) };
        let options = ReadOptions {
            task: self.task,
            sequence_columns: self.sequence_columns.clone(),
            label_columns: self.label_columns.clone(),
            genome,
        };
        let mut data = labelled::read(&self.data, &options)?;
        let mut notes: Vec<String> = data.problems.iter().map(|problem| problem.what.clone()).collect();
        let unsplit = data.splits.iter().all(|split| split.name == SplitName::All);
        if let Some(split) = &self.split {
            divide(&mut data, &split.parse::<Division>()?, self.seed)?;
            notes.push(format!("everything is divided again: {split}, seed {}", self.seed));
        } else if unsplit {
            divide(&mut data, &Division::Shares([80, 10, 10]), self.seed)?;
            notes.push(format!(
                "the data has no parts: 80 % train, 10 % dev, 10 % test, in every class the same, seed {} (`--split` sets others)",
                self.seed
            ));
        }
        if self.learn_from_dev && data.split(SplitName::Train).is_none() {
            for split in data.splits.iter_mut().filter(|split| split.name == SplitName::Dev) {
                split.name = SplitName::Train;
                notes.push("the data has no train part: its dev part is learnt from (`--learn-from-dev`)".to_string());
            }
        }
        if data.split(SplitName::Train).is_none() {
            let parts: Vec<String> = data.splits.iter().map(|split| format!("`{}`", split.name)).collect();
            return Err(Error::Core(tatabox_core::Error::Data {
                what: format!("there is no train part to learn from, only {}", parts.join(", ")),
                hint: match data.split(SplitName::Dev) {
                    Some(_) => {
                        "learn from its dev part with `--learn-from-dev`, or divide all again with `--split 80/10/10`"
                    }
                    None => "name its file train.csv, or divide all again with `--split 80/10/10`",
                }
                .to_string(),
            }));
        }
        if data.split(SplitName::Dev).is_none() && self.dev_share > 0 {
            take_dev(&mut data, self.dev_share, self.seed)?;
            notes.push(format!(
                "the data has no dev part: {} % of train become dev, seed {} (`--dev-share` sets another share, 0 none)",
                self.dev_share, self.seed
            ));
        }
        Ok((data, notes))
    }
}

/// Makes a share of the training examples the dev part.
fn take_dev(data: &mut Labelled, share: u32, seed: u64) -> Result<()> {
    let (train, others): (Vec<Split>, Vec<Split>) =
        std::mem::take(&mut data.splits).into_iter().partition(|split| split.name == SplitName::Train);
    data.splits = train;
    divide(data, &Division::Shares([100 - share, 0, share]), seed)?;
    for split in data.splits.iter_mut().filter(|split| split.name == SplitName::Test) {
        split.name = SplitName::Dev;
    }
    data.splits.extend(others);
    Ok(())
}

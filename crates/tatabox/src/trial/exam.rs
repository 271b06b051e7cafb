//! A data set as it is learnt from and asked, and one fit on it.

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tatabox_core::io::input::hex;
use tatabox_core::labelled::{Card, Example, Labelled, Split, SplitName, Task};

use super::contestant::Contestant;
use crate::error::{Error, Result};
use crate::settings::Settings;

/// Records of which shares of a tenth may be empty.
const FEW: usize = 20;

/// What is learnt from and what is asked, the same for all who take part.
#[derive(Clone, Debug)]
pub struct Exam<'a> {
    /// The kind of the answers.
    pub task: Task,
    /// Names of the classes, labels or targets.
    pub outputs: &'a [String],
    /// What may be learnt from.
    pub pool: Vec<&'a Example>,
    /// What the best epoch is chosen on; may be empty.
    pub dev: Vec<&'a Example>,
    /// What is asked.
    pub test: Vec<&'a Example>,
}

impl<'a> Exam<'a> {
    /// The exam of a data set: learnt from its train part, asked on its test part; no dev examples.
    ///
    /// # Errors
    /// A part is not there or empty, there is one class only, or a class of the test part is not in what is learnt from.
    pub fn new(data: &'a Labelled) -> Result<Exam<'a>> {
        let part = |name: SplitName| -> Result<&'a Split> {
            data.split(name).filter(|split| !split.examples.is_empty()).ok_or_else(|| missing(data, name))
        };
        let (pool, test) = (part(SplitName::Train)?, part(SplitName::Test)?);
        let exam = Exam {
            task: data.task,
            outputs: data.outputs(),
            pool: pool.examples.iter().collect(),
            dev: Vec::new(),
            test: test.examples.iter().collect(),
        };
        exam.check()?;
        Ok(exam)
    }

    fn check(&self) -> Result<()> {
        if !matches!(self.task, Task::Binary | Task::MultiClass) {
            return Ok(());
        }
        let refuse = |what: String, hint: &str| Err(tatabox_core::Error::Data { what, hint: hint.into() }.into());
        if self.outputs.len() < 2 {
            let only = self.outputs.first().map_or("", String::as_str);
            return refuse(
                format!("there is one class only, `{only}`: nothing can be learnt"),
                "give data of two classes or more",
            );
        }
        let has = |examples: &[&Example], class: usize| examples.iter().any(|one| one.target.class() == Some(class));
        for (class, name) in self.outputs.iter().enumerate() {
            if !has(&self.pool, class) && has(&self.test, class) {
                return refuse(
                    format!("class `{name}` stands in test and not in train: no model can learn it"),
                    "divide the data again: `--split 80/10/10`",
                );
            }
        }
        Ok(())
    }

    /// Bases of examples.
    pub(super) fn bases(&self, examples: &[&Example]) -> u64 {
        examples.iter().map(|one| (one.codes.len() + one.second.as_ref().map_or(0, Vec::len)) as u64).sum()
    }

    /// Bases of the longest sequence.
    pub fn longest(&self) -> usize {
        let all = self.pool.iter().chain(&self.dev).chain(&self.test);
        all.map(|one| one.codes.len().max(one.second.as_ref().map_or(0, Vec::len))).max().unwrap_or(0)
    }
}

/// The error of a part that is not there.
fn missing(data: &Labelled, name: SplitName) -> Error {
    let there: Vec<String> = data.splits.iter().map(|split| split.name.to_string()).collect();
    let what = format!("the data has no {name} part; it has {}", there.join(", "));
    let records = data.examples().count();
    // A tenth of each class is less than one record.
    let hint = if records < FEW {
        format!("{records} records are too few to be divided: give more, or files named train and test")
    } else {
        "give files named train and test, or a folder that holds them; or divide all again: `--split 80/10/10`".into()
    };
    tatabox_core::Error::Data { what, hint }.into()
}

/// SHA-256 of the examples that are learnt from, that are chosen on, and that are asked, of those parts that are there.
pub fn hashes(data: &Labelled) -> Vec<String> {
    let card = Card::of(data, None);
    let of = |name: SplitName| card.splits.iter().find(|split| split.name == name).map(|split| split.sha256.clone());
    [SplitName::Train, SplitName::Dev, SplitName::Test].into_iter().filter_map(of).collect()
}

/// Which examples of the pool a trial learns from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indices {
    /// All of them.
    All,
    /// These, increasing.
    Some(Vec<u32>),
}

impl Indices {
    /// How many of a pool of `pool` examples.
    pub fn count(&self, pool: usize) -> usize {
        match self {
            Indices::All => pool,
            Indices::Some(indices) => indices.len(),
        }
    }

    /// SHA-256 of the indices in decimal, one a line; `all` for all.
    pub fn sha256(&self) -> String {
        match self {
            Indices::All => "all".to_string(),
            Indices::Some(indices) => {
                let mut hash = Sha256::new();
                indices.iter().for_each(|index| hash.update(format!("{index}\n")));
                hex(&hash.finalize())
            }
        }
    }

    /// The examples themselves.
    pub(super) fn of<'a>(&self, pool: &[&'a Example]) -> Vec<&'a Example> {
        match self {
            Indices::All => pool.to_vec(),
            Indices::Some(indices) => indices.iter().map(|&index| pool[index as usize]).collect(),
        }
    }
}

/// One fit.
#[derive(Clone)]
pub struct Trial<'a> {
    /// Where its result goes.
    pub file: PathBuf,
    /// Who learns.
    pub contestant: &'a dyn Contestant,
    /// The fine-tuning keys.
    pub keys: Settings,
    /// From what.
    pub train: Indices,
    /// Of everything that is drawn.
    pub seed: u64,
    /// Whether its metrics get intervals over the test examples.
    pub intervals: bool,
}

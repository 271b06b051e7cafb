//! What a labelled data set holds and how it was made: `dataset.json`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Example, Labelled, Problem, Split, SplitName, Target, Task};
use crate::genome::FileCard;
use crate::io::input::hex;
use crate::seq::{Composition, Sequence};

/// What a labelled data set holds and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What is asked.
    pub task: Task,
    /// Whether the sequences come in pairs.
    pub pairs: bool,
    /// Names of the classes or labels, in the order of their indices.
    pub id2label: Vec<String>,
    /// Names of the numbers, for regression.
    pub targets: Vec<String>,
    /// The parts.
    pub splits: Vec<SplitCard>,
    /// The files it was read from.
    pub files: Vec<FileCard>,
    /// What was odd in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// How it was made, where Tatabox made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// A part of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitCard {
    /// Its name.
    pub name: SplitName,
    /// Examples.
    pub records: u64,
    /// Examples by class or label, in the order of `id2label`.
    pub classes: Vec<ClassCard>,
    /// What the numbers of a regression are, in the order of `targets`.
    pub targets: Vec<TargetCard>,
    /// Bases a sequence.
    pub lengths: Lengths,
    /// The letters by kind.
    pub letters: Composition,
    /// SHA-256 of its examples in order, one a line: sequence in capitals, the second of a pair, label; with tabs between.
    pub sha256: String,
}

/// A class or label in a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassCard {
    /// Its name.
    pub label: String,
    /// Examples that have it.
    pub records: u64,
}

/// A number of a regression in a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetCard {
    /// Its name.
    pub target: String,
    /// The least.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

/// How long sequences are, in bases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lengths {
    /// The shortest.
    pub min: u64,
    /// The one in the middle.
    pub median: u64,
    /// The longest.
    pub max: u64,
}

/// How a data set was made: enough to make it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The command's verb.
    pub by: String,
    /// Everything that was chosen, by name, the seed among it.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What was counted on the way.
    pub counts: serde_json::Map<String, serde_json::Value>,
}

impl Lengths {
    /// The lengths of sequences.
    pub fn of(mut lengths: Vec<u64>) -> Lengths {
        lengths.sort_unstable();
        let (Some(&min), Some(&max)) = (lengths.first(), lengths.last()) else { return Lengths::default() };
        Lengths { min, median: lengths[lengths.len() / 2], max }
    }
}

impl Card {
    /// The card of a data set.
    pub fn of(data: &Labelled, made: Option<Made>) -> Card {
        Card {
            task: data.task,
            pairs: data.pairs(),
            id2label: data.id2label.clone(),
            targets: data.targets.clone(),
            splits: data.splits.iter().map(|split| SplitCard::of(data, split)).collect(),
            files: data.files.clone(),
            problems: data.problems.clone(),
            made,
        }
    }
}

impl SplitCard {
    fn of(data: &Labelled, split: &Split) -> SplitCard {
        let has = |example: &Example, class: usize| match &example.target {
            Target::Class(of) => *of as usize == class,
            Target::Labels(labels) => labels[class],
            Target::Values(_) => false,
        };
        let classes = data.id2label.iter().enumerate().map(|(class, label)| ClassCard {
            label: label.clone(),
            records: split.examples.iter().filter(|example| has(example, class)).count() as u64,
        });
        let targets = data.targets.iter().enumerate().map(|(at, name)| {
            let value = |example: &Example| match &example.target {
                Target::Values(values) => values[at],
                _ => f64::NAN,
            };
            let all = || split.examples.iter().map(value);
            TargetCard {
                target: name.clone(),
                min: all().fold(f64::INFINITY, f64::min),
                mean: all().sum::<f64>() / split.examples.len() as f64,
                max: all().fold(f64::NEG_INFINITY, f64::max),
            }
        });
        let sequences = split.examples.iter().flat_map(|one| [Some(&one.codes), one.second.as_ref()]).flatten();
        let mut hash = Sha256::new();
        for example in &split.examples {
            let text = |codes: &Vec<u8>| Sequence { codes: codes.clone() }.to_string();
            let second = example.second.as_ref().map(|codes| text(codes) + "\t").unwrap_or_default();
            hash.update(format!("{}\t{second}{}\n", text(&example.codes), data.label(&example.target)));
        }
        SplitCard {
            name: split.name,
            records: split.examples.len() as u64,
            classes: classes.collect(),
            targets: targets.collect(),
            lengths: Lengths::of(sequences.map(|codes| codes.len() as u64).collect()),
            letters: split.letters.clone(),
            sha256: hex(&hash.finalize()),
        }
    }
}

impl Labelled {
    /// A target as tables write it: the name of a class; names of labels or numbers with `;` between.
    pub fn label(&self, target: &Target) -> String {
        match target {
            Target::Class(class) => self.id2label[*class as usize].clone(),
            Target::Labels(labels) => {
                let names = self.id2label.iter().zip(labels).filter(|(_, holds)| **holds);
                names.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
            }
            Target::Values(values) => values.iter().map(f64::to_string).collect::<Vec<_>>().join(";"),
        }
    }
}

//! What a number measured on labelled data can mean: leaks between its parts, and how much of the task can be had without a model of sequence.
//!
//! | part | question |
//! |---|---|
//! | [`Duplicates`] | which sequences stand in two parts, or twice in one: exact, reverse complements, shifted or changed a little |
//! | [`Simple`] | how well do length, GC content and k-mer counts alone tell the classes apart |
//! | [`Blocks`] | do sequences of one class break at regular borders, as shuffled negatives do |

mod blocks;
mod duplicates;
mod mosaic;
mod near;
mod page;
mod simple;

use serde::{Deserialize, Serialize};

use crate::assess::Metric;
use crate::labelled::{Card, Labelled, Problem, Severity, SplitName, Task};

pub use blocks::{Blocks, Sign};
pub use duplicates::{Duplicates, Shared};
pub use near::NEAR;
pub use simple::{Gc, Scored, Simple};

/// Distance from 0.5 from which an area under the ROC curve of GC content or length alone is said to be much.
const MUCH: f64 = 0.65;

/// Spearman's correlation with a target from which GC content or length alone is said to be much.
const MUCH_CORRELATED: f64 = 0.3;

/// The report on a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// What it holds.
    pub card: Card,
    /// What was found, the most serious first.
    pub findings: Vec<Problem>,
    /// Sequences that stand more than once.
    pub duplicates: Duplicates,
    /// What can be had without a model; none with one class only.
    pub simple: Option<Simple>,
    /// Regular borders; none where lengths differ or there are not two classes.
    pub blocks: Option<Blocks>,
}

impl Audit {
    /// Looks at labelled data. `k` is the length of a model's k-mers, `seed` that of the division of data without parts.
    pub fn of(data: &Labelled, k: usize, seed: u64) -> Audit {
        let mut audit = Audit {
            card: Card::of(data, None),
            findings: data.problems.clone(),
            duplicates: Duplicates::of(data),
            simple: Simple::of(data, seed),
            blocks: Blocks::of(data),
        };
        audit.findings.extend(Problem::shorter_than(data, k));
        let found = [audit.leaks(), audit.repeats(), audit.balance(), audit.easy(), audit.borders()];
        audit.findings.extend(found.into_iter().flatten());
        audit.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        audit
    }

    /// Whether a script should stop.
    pub fn is_serious(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Serious)
    }

    fn leaks(&self) -> Vec<Problem> {
        let leak = |shared: &&Shared| shared.records + shared.near > 0;
        let say = |shared: &Shared| {
            let (all, other, name) = (shared.of, shared.other, shared.name);
            let share = 100.0 * (shared.records + shared.near) as f64 / all as f64;
            let near = if shared.near > 0 { format!(", {} more nearly", shared.near) } else { String::new() };
            let what = format!(
                "{} of {all} records of {name} stand in {other} too ({} of them as reverse complements){near}: {share:.1} %",
                shared.records, shared.reverse
            );
            // A hundredth of nearly equal ones is what repeats of a genome give.
            let severity = if shared.records > 0 || share >= 1.0 { Severity::Serious } else { Severity::Warning };
            Problem::new(
                &format!("leak-{name}-{other}"),
                severity,
                shared.records + shared.near,
                what,
                "take them out of one of the two before measuring",
            )
        };
        self.duplicates.across.iter().filter(leak).map(say).collect()
    }

    fn repeats(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for within in self.duplicates.within.iter().filter(|within| within.records > 0) {
            let what = format!(
                "{} of {} records of {} stand there before ({} as reverse complements)",
                within.records, within.of, within.name, within.reverse
            );
            found.push(Problem::new(&format!("repeated-{}", within.name), Severity::Note, within.records, what, ""));
        }
        if self.duplicates.contradictions > 0 {
            let count = self.duplicates.contradictions;
            let what = format!("{count} sequences stand there with different labels");
            found.push(Problem::new("contradictions", Severity::Warning, count, what, "no model can get both right"));
        }
        found
    }

    fn balance(&self) -> Vec<Problem> {
        if !matches!(self.card.task, Task::Binary | Task::MultiClass) {
            return Vec::new();
        }
        let uneven = self.card.splits.iter().filter_map(|split| {
            let counts = || split.classes.iter().map(|class| class.records).filter(|&count| count > 0);
            let (least, most) = (counts().min()?, counts().max()?);
            let what = format!(
                "classes of {} are uneven: {least} records of the rarest, {most} of the most frequent",
                split.name
            );
            let hint = "accuracy alone says little here: look at MCC or F1";
            (most >= 2 * least)
                .then(|| Problem::new(&format!("uneven-{}", split.name), Severity::Note, least, what, hint))
        });
        uneven.collect()
    }

    fn easy(&self) -> Vec<Problem> {
        let Some(simple) = &self.simple else { return Vec::new() };
        let mut found = Vec::new();
        let alone = [
            ("gc", "GC content", simple.gc_auroc, simple.gc_spearman),
            ("length", "length", simple.length_auroc, simple.length_spearman),
        ];
        let hint = "a model must be measured against this, not against chance";
        for (id, name, area, correlation) in alone {
            let mut warn = |what: String| found.push(Problem::new(id, Severity::Warning, simple.records, what, hint));
            if let Some(area) = area.filter(|area| *area >= MUCH) {
                warn(format!("{name} alone tells the classes apart with an AUROC of {area:.3}"));
            }
            if let Some(correlation) = correlation.filter(|correlation| *correlation >= MUCH_CORRELATED) {
                warn(format!("{name} alone goes with a target with a rank correlation of {correlation:.3}"));
            }
        }
        let kmers = |metric| simple.kmers.as_ref().and_then(|kmers| kmers.value(metric)).filter(|value| *value >= 0.9);
        for (metric, name) in [(Metric::Auroc, "an AUROC"), (Metric::Pearson, "a Pearson correlation")] {
            if let Some(value) = kmers(metric) {
                let what = format!("regression on k-mer counts reaches {name} of {value:.3}");
                let hint = "the task is nearly solved without a model of sequence: look at how the data was made";
                found.push(Problem::new("kmers", Severity::Warning, simple.records, what, hint));
            }
        }
        found
    }

    fn borders(&self) -> Vec<Problem> {
        let Some(blocks) = self.blocks.as_ref().filter(|blocks| blocks.found) else { return Vec::new() };
        let (label, count, z) = (&blocks.label, blocks.blocks, blocks.z);
        let what = match blocks.sign {
            Sign::Breaks => format!(
                "sequences of class `{label}` break at the borders of {count} blocks (z = {z:.1}): they look as if blocks were shuffled or replaced"
            ),
            Sign::Mosaic => format!(
                "sequences of class `{label}` are a mosaic of {count} blocks (z = {z:.1}): they look as if some of the blocks were replaced by random bases"
            ),
        };
        let hint = "a model can learn the borders and nothing of biology: compare with negatives of the genome";
        vec![Problem::new("block-borders", Severity::Warning, blocks.records, what, hint)]
    }
}

/// The part that is measured on, and the one that is learnt from: test, else dev, and train, else what there is.
fn measured(data: &Labelled) -> Option<(SplitName, SplitName)> {
    let has = |name| data.split(name).is_some();
    let test = [SplitName::Test, SplitName::Dev].into_iter().find(|&name| has(name))?;
    let train = [SplitName::Train, SplitName::Dev].into_iter().find(|&name| has(name) && name != test)?;
    Some((train, test))
}

#[cfg(test)]
mod tests;

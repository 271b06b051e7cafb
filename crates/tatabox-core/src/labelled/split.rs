//! Dividing examples into parts: by shares within each class, or by whole contigs; what belongs together stays together.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Example, Labelled, Split, SplitName};
use crate::error::{Error, Result};
use crate::rng::{Purpose, SeededRng};
use crate::seq::{Composition, UNKNOWN};

/// How examples are divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Division {
    /// Shares in percent for train, dev and test, in every class the same: `90/10` is train and test, `80/10/10` all three.
    Shares([u32; 3]),
    /// Whole contigs: those named are test, all others train; with none named they are drawn until they hold a tenth of the examples.
    Contigs(Vec<String>),
}

impl FromStr for Division {
    type Err = Error;

    fn from_str(text: &str) -> Result<Division> {
        if text == "chromosome" {
            return Ok(Division::Contigs(Vec::new()));
        }
        if let Some(names) = text.strip_prefix("chromosome:") {
            return Ok(Division::Contigs(names.split(',').map(str::to_owned).collect()));
        }
        let shares: Option<Vec<u32>> = text.split('/').map(|share| share.parse().ok()).collect();
        match shares.as_deref() {
            Some(&[train, test]) if train + test == 100 && train > 0 && test > 0 => Ok(Division::Shares([train, 0, test])),
            Some(&[train, dev, test]) if train + dev + test == 100 && train > 0 && test > 0 => {
                Ok(Division::Shares([train, dev, test]))
            }
            _ => Err(Error::Value {
                key: "split".into(),
                got: format!("`{text}`"),
                expected: "it is shares that sum to 100 (train/test or train/dev/test), `chromosome`, or `chromosome:` with the contigs to test on".into(),
                hint: "write `--split 90/10`, `--split 80/10/10` or `--split chromosome:chr8,chr9`".into(),
            }),
        }
    }
}

impl std::fmt::Display for Division {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Division::Shares([train, 0, test]) => write!(f, "{train}/{test}"),
            Division::Shares([train, dev, test]) => write!(f, "{train}/{dev}/{test}"),
            Division::Contigs(names) if names.is_empty() => f.write_str("chromosome"),
            Division::Contigs(names) => write!(f, "chromosome:{}", names.join(",")),
        }
    }
}

/// Puts all examples into one pot and divides them again. Examples of one group (`group`, else their own) go to one part; the order within a part is
/// that of the pot. By shares, each class is divided by itself; a group counts for the class of its first example.
///
/// # Errors
/// By contigs: an example has no place on a genome, a named contig holds none, or all lie on one.
pub fn divide(data: &mut Labelled, division: &Division, seed: u64) -> Result<()> {
    let pot: Vec<Example> = std::mem::take(&mut data.splits).into_iter().flat_map(|split| split.examples).collect();
    let part = match division {
        Division::Shares(shares) => by_shares(&pot, *shares, seed),
        Division::Contigs(test) => by_contigs(&pot, test, seed)?,
    };
    let mut splits: BTreeMap<SplitName, Split> = BTreeMap::new();
    for (example, name) in pot.into_iter().zip(part) {
        let empty = || Split { name, examples: Vec::new(), letters: Composition::default() };
        let split = splits.entry(name).or_insert_with(empty);
        let letters = &mut split.letters;
        for &code in example.codes.iter().chain(example.second.iter().flatten()) {
            letters.bases += 1;
            letters.n += u64::from(code == UNKNOWN);
            letters.gc += u64::from(code == 2 || code == 3);
        }
        split.examples.push(example);
    }
    data.splits = splits.into_values().collect();
    Ok(())
}

fn by_shares(pot: &[Example], shares: [u32; 3], seed: u64) -> Vec<SplitName> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, example) in pot.iter().enumerate() {
        let own = || format!("\u{0}{at:012}");
        groups.entry(example.group.clone().unwrap_or_else(own)).or_default().push(at);
    }
    let mut strata: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    for members in groups.into_values() {
        strata.entry(pot[members[0]].target.class().unwrap_or(0)).or_default().push(members);
    }
    let mut part = vec![SplitName::Train; pot.len()];
    for (class, mut groups) in strata {
        let mut rng = SeededRng::new(seed, Purpose::Divide, class as u64, 0);
        rng.shuffle(&mut groups);
        let all: usize = groups.iter().map(Vec::len).sum();
        let quota = |share: u32| (all as f64 * f64::from(share) / 100.0).round() as usize;
        let mut left = [(SplitName::Test, quota(shares[2])), (SplitName::Dev, quota(shares[1]))];
        for members in groups {
            // The first part that still has room for the whole group; what fits nowhere is learnt from.
            if let Some((name, room)) = left.iter_mut().find(|(_, room)| *room >= members.len()) {
                *room -= members.len();
                members.iter().for_each(|&at| part[at] = *name);
            }
        }
    }
    part
}

fn by_contigs(pot: &[Example], test: &[String], seed: u64) -> Result<Vec<SplitName>> {
    let refused = |what: String, hint: &str| Err(Error::Data { what, hint: hint.into() });
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, example) in pot.iter().enumerate() {
        let Some(origin) = &example.origin else {
            return refused(
                format!("record {} has no contig to divide by", example.called(at)),
                "divide by shares: `--split 90/10`; or give intervals (BED, or columns `chrom`, `start`, `end`)",
            );
        };
        *counts.entry(&origin.contig).or_default() += 1;
    }
    let names: Vec<&str> = counts.keys().copied().collect();
    let all = names.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if let Some(name) = test.iter().find(|name| !counts.contains_key(name.as_str())) {
        return refused(format!("no record lies on contig `{name}`; they lie on {all}"), "name contigs of the data");
    }
    let mut chosen: Vec<&str> = test.iter().map(String::as_str).collect();
    if chosen.is_empty() {
        let mut rng = SeededRng::new(seed, Purpose::Divide, 0, 1);
        let mut order = names.clone();
        rng.shuffle(&mut order);
        let mut held = 0;
        for name in order {
            if 10 * held < pot.len() {
                held += counts[name];
                chosen.push(name);
            }
        }
    }
    if chosen.len() >= names.len() {
        let hint = "divide by shares: `--split 90/10`, or give more contigs";
        return refused(format!("the contigs to test on are all there are: {all}"), hint);
    }
    let of = |example: &Example| example.origin.as_ref().is_some_and(|origin| chosen.contains(&origin.contig.as_str()));
    Ok(pot.iter().map(|example| if of(example) { SplitName::Test } else { SplitName::Train }).collect())
}

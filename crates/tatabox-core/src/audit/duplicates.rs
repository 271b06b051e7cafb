//! Sequences that stand more than once, in one part or in two.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::near;
use crate::labelled::{Example, Labelled, SplitName, Target};
use crate::seq;

/// Sequences that stand more than once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Duplicates {
    /// Between every two parts: records of the later one that stand in the earlier.
    pub across: Vec<Shared>,
    /// In every part: records that stand there before.
    pub within: Vec<Shared>,
    /// Sequences that stand there with different labels (of numbers: with different numbers).
    pub contradictions: u64,
    /// Shares of k-mers from which two sequences are nearly equal.
    pub near_share: f64,
    /// Bases of these k-mers.
    pub near_k: usize,
}

/// Records of a part that stand in another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// The part whose records are counted.
    pub name: SplitName,
    /// The part they stand in too.
    pub other: SplitName,
    /// Records of the first part.
    pub of: u64,
    /// Those that stand in the other, as they are or as reverse complements.
    pub records: u64,
    /// Those of them that stand there as reverse complements only.
    pub reverse: u64,
    /// Those that do not stand there, but nearly so.
    pub near: u64,
}

/// What a record is: both sequences of a pair, or its only one.
fn forward(example: &Example) -> Vec<u8> {
    let second = example.second.iter().flat_map(|codes| [9].into_iter().chain(codes.iter().copied()));
    example.codes.iter().copied().chain(second).collect()
}

/// The same on the other strand.
fn backward(example: &Example) -> Vec<u8> {
    let turned = |codes: &[u8]| {
        let mut codes = codes.to_vec();
        seq::reverse_complement(&mut codes);
        codes
    };
    let second = example.second.iter().flat_map(|codes| [9].into_iter().chain(turned(codes)));
    turned(&example.codes).into_iter().chain(second).collect()
}

impl Duplicates {
    /// Looks for them in all parts.
    pub fn of(data: &Labelled) -> Duplicates {
        let keys: Vec<Vec<(Vec<u8>, Vec<u8>)>> = data
            .splits
            .iter()
            .map(|split| split.examples.iter().map(|one| (forward(one), backward(one))).collect())
            .collect();
        let near = near::Index::of(data);
        let mut found = Duplicates { near_share: near::NEAR, near_k: near.k(), ..Duplicates::default() };
        let sets: Vec<HashMap<&[u8], u32>> = keys
            .iter()
            .map(|keys| {
                let mut set = HashMap::new();
                keys.iter().for_each(|(key, _)| *set.entry(key.as_slice()).or_insert(0) += 1);
                set
            })
            .collect();
        for later in 0..keys.len() {
            for earlier in 0..later {
                let mut shared = empty(data, later, earlier);
                for (at, (key, turned)) in keys[later].iter().enumerate() {
                    let (same, reverse) =
                        (sets[earlier].contains_key(key.as_slice()), sets[earlier].contains_key(turned.as_slice()));
                    shared.records += u64::from(same || reverse);
                    shared.reverse += u64::from(reverse && !same);
                    shared.near += u64::from(!same && !reverse && near.has(later, at, earlier));
                }
                found.across.push(shared);
            }
            let mut shared = empty(data, later, later);
            let mut seen: std::collections::HashSet<&[u8]> = std::collections::HashSet::new();
            for (at, (key, turned)) in keys[later].iter().enumerate() {
                let same = seen.contains(key.as_slice());
                let reverse = !same && seen.contains(turned.as_slice());
                shared.records += u64::from(same || reverse);
                shared.reverse += u64::from(reverse);
                let alone =
                    sets[later][key.as_slice()] == 1 && (key == turned || !sets[later].contains_key(turned.as_slice()));
                shared.near += u64::from(alone && near.has(later, at, later));
                seen.insert(key);
            }
            found.within.push(shared);
        }
        found.contradictions = contradictions(data, &keys);
        found
    }
}

fn empty(data: &Labelled, name: usize, other: usize) -> Shared {
    let of = data.splits[name].examples.len() as u64;
    Shared { name: data.splits[name].name, other: data.splits[other].name, of, records: 0, reverse: 0, near: 0 }
}

fn contradictions(data: &Labelled, keys: &[Vec<(Vec<u8>, Vec<u8>)>]) -> u64 {
    let mut first: HashMap<&[u8], (&Target, bool)> = HashMap::new();
    for (split, keys) in data.splits.iter().zip(keys) {
        for (example, (key, _)) in split.examples.iter().zip(keys) {
            let entry = first.entry(key).or_insert((&example.target, false));
            entry.1 |= *entry.0 != example.target;
        }
    }
    first.values().filter(|(_, differ)| *differ).count() as u64
}

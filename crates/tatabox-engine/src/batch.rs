//! What a training step eats: sequences end to end, without padding.

use crate::error::{Error, Result};

/// Sequences end to end, and the rows whose tokens the model must guess.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Token ids, `[tokens]`.
    pub input_ids: Vec<u32>,
    /// Where each sequence starts, and the end of the last: `[sequences + 1]`, from 0 to `tokens`, strictly increasing.
    pub offsets: Vec<u32>,
    /// Rows of `input_ids` to be guessed, strictly increasing, `[masked]`.
    pub masked_rows: Vec<u32>,
    /// The right ids at these rows, `[masked]`.
    pub labels: Vec<u32>,
}

/// The largest batch that memory is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Tokens of all sequences together.
    pub tokens: usize,
    /// Tokens to be guessed.
    pub masked: usize,
}

impl Batch {
    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Adds a sequence: its ids, and the positions in it to be guessed with their answers.
    pub fn push(&mut self, input_ids: impl IntoIterator<Item = u32>, targets: impl IntoIterator<Item = (u32, u32)>) {
        let first = self.input_ids.len() as u32;
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.input_ids.extend(input_ids);
        self.offsets.push(self.input_ids.len() as u32);
        for (position, label) in targets {
            self.masked_rows.push(first + position);
            self.labels.push(label);
        }
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.input_ids.clear();
        self.offsets.clear();
        self.masked_rows.clear();
        self.labels.clear();
    }

    /// Refuses what would read outside of the model's tables or of planned memory.
    pub(crate) fn check(&self, capacity: &Capacity, vocabulary: usize, positions: usize) -> Result<()> {
        let bad = |what: String| Err(Error::Batch(what));
        for (what, got, planned) in [
            ("tokens", self.input_ids.len(), capacity.tokens),
            ("masked tokens", self.masked_rows.len(), capacity.masked),
        ] {
            if got > planned {
                return Err(Error::Capacity { what, got, planned });
            }
        }
        if self.offsets.first() != Some(&0) || self.offsets.last().copied() != Some(self.input_ids.len() as u32) {
            return bad(format!("offsets must run from 0 to {}", self.input_ids.len()));
        }
        for pair in self.offsets.windows(2) {
            if pair[0] >= pair[1] {
                return bad(format!("a sequence from row {} to row {} is empty or runs backwards", pair[0], pair[1]));
            }
            let length = (pair[1] - pair[0]) as usize;
            if length > positions {
                return bad(format!("a sequence of {length} tokens, but the model has {positions} positions"));
            }
        }
        if let Some(id) = self.input_ids.iter().chain(&self.labels).find(|id| **id as usize >= vocabulary) {
            return bad(format!("token id {id}, but the vocabulary has {vocabulary} entries"));
        }
        if self.labels.len() != self.masked_rows.len() {
            return bad(format!("{} labels for {} masked rows", self.labels.len(), self.masked_rows.len()));
        }
        let increasing = self.masked_rows.windows(2).all(|pair| pair[0] < pair[1]);
        if !increasing || self.masked_rows.last().is_some_and(|row| *row as usize >= self.input_ids.len()) {
            return bad("masked rows must increase and lie inside the batch".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity { tokens: 10, masked: 4 };

    #[test]
    fn refuses_what_does_not_fit_and_says_why() {
        let mut good = Batch::default();
        good.push([2, 7, 8, 3], [(1, 9)]);
        good.push([2, 7, 3], []);
        assert_eq!(good.check(&CAPACITY, 10, 4), Ok(()));
        assert_eq!(good.masked_rows, [1]);
        let broken = |change: fn(&mut Batch)| {
            let mut batch = good.clone();
            change(&mut batch);
            batch.check(&CAPACITY, 10, 4).unwrap_err().to_string()
        };
        assert!(broken(|b| b.push([1; 4], [])).contains("11 tokens, but memory is planned for 10"));
        assert!(broken(|b| b.push([], [])).contains("empty"));
        assert!(broken(|b| b.input_ids[1] = 10).contains("token id 10"));
        assert!(broken(|b| b.offsets = vec![0, 7]).contains("4 positions"));
        assert!(broken(|b| b.labels.clear()).contains("0 labels for 1"));
        assert!(broken(|b| b.masked_rows[0] = 7).contains("inside the batch"));
    }
}

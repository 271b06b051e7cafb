//! What a training step eats: sequences end to end, without padding.

use crate::error::{Error, Result};
use crate::graph::{Graph, Head, Objective, Rows};

/// Sequences end to end, and what is asked of them: the tokens at masked rows, or the answers to examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Token ids, `[tokens]`.
    pub input_ids: Vec<u32>,
    /// The token type (segment) of every token, `[tokens]`; empty where all are 0.
    pub token_types: Vec<u32>,
    /// Where each sequence starts, and the end of the last: `[sequences + 1]`, from 0 to `tokens`, strictly increasing.
    pub offsets: Vec<u32>,
    /// The first sequence of each example, and the end of the last: `[examples + 1]`; empty where every sequence is an example.
    pub examples: Vec<u32>,
    /// Rows of `input_ids` to be guessed, strictly increasing, `[masked]`.
    pub masked_rows: Vec<u32>,
    /// The right ids at these rows, `[masked]`, or the right class of each example, `[examples]`.
    pub labels: Vec<u32>,
    /// The right numbers, or 0 and 1 for the labels that hold, of each example, `[examples, outputs]`.
    pub targets: Vec<f32>,
}

/// The largest batch that memory is planned for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Tokens of all sequences together.
    pub tokens: usize,
    /// Tokens to be guessed.
    pub masked: usize,
    /// Sequences; of use only to models that have a row for each.
    pub sequences: usize,
}

impl Batch {
    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        if self.examples.is_empty() { self.sequences() } else { self.examples.len() - 1 }
    }

    /// The sequences of an example.
    pub fn sequences_of(&self, example: usize) -> std::ops::Range<usize> {
        match self.examples[..] {
            [] => example..example + 1,
            _ => self.examples[example] as usize..self.examples[example + 1] as usize,
        }
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

    /// Ends an example with the sequences that were pushed since the last one ended.
    pub fn end_example(&mut self) {
        if self.examples.is_empty() {
            self.examples.push(0);
        }
        self.examples.push(self.sequences() as u32);
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.input_ids.clear();
        self.token_types.clear();
        self.offsets.clear();
        self.examples.clear();
        self.masked_rows.clear();
        self.labels.clear();
        self.targets.clear();
    }

    /// Refuses what would read outside of the model's tables or of planned memory; with `answers`, answers that are missing or wrong as well.
    pub(crate) fn check(&self, capacity: &Capacity, graph: &Graph, answers: bool) -> Result<()> {
        let bad = |what: String| Err(Error::Batch(what));
        let head = graph.head();
        let by_sequence = head.rows != Rows::Masked;
        for (what, got, planned) in [
            ("tokens", self.input_ids.len(), capacity.tokens),
            ("masked tokens", self.masked_rows.len(), capacity.masked),
            ("sequences", if by_sequence { self.sequences() } else { 0 }, capacity.sequences),
        ] {
            if got > planned {
                return Err(Error::Capacity { what, got, planned });
            }
        }
        if self.offsets.first() != Some(&0) || self.offsets.last().copied() != Some(self.input_ids.len() as u32) {
            return bad(format!("offsets must run from 0 to {}", self.input_ids.len()));
        }
        let positions = graph.positions;
        for pair in self.offsets.windows(2) {
            if pair[0] >= pair[1] {
                return bad(format!("a sequence from row {} to row {} is empty or runs backwards", pair[0], pair[1]));
            }
            let length = (pair[1] - pair[0]) as usize;
            if length > positions {
                return bad(format!("a sequence of {length} tokens, but the model has {positions} positions"));
            }
        }
        let ends = (self.examples.first().copied(), self.examples.last().copied());
        let whole = self.examples.is_empty() || ends == (Some(0), Some(self.sequences() as u32));
        if !whole || self.examples.windows(2).any(|pair| pair[0] >= pair[1]) {
            return bad(format!("examples must increase from 0 to {} sequences", self.sequences()));
        }
        let vocabulary = graph.vocabulary;
        if let Some(id) = self.input_ids.iter().find(|id| **id as usize >= vocabulary) {
            return bad(format!("token id {id}, but the vocabulary has {vocabulary} entries"));
        }
        if !self.token_types.is_empty() && self.token_types.len() != self.input_ids.len() {
            return bad(format!("{} token types for {} tokens", self.token_types.len(), self.input_ids.len()));
        }
        if let Some(kind) = self.token_types.iter().find(|kind| **kind as usize >= graph.token_types) {
            return bad(format!("token type {kind}, but the model has {}", graph.token_types));
        }
        let increasing = self.masked_rows.windows(2).all(|pair| pair[0] < pair[1]);
        if !increasing || self.masked_rows.last().is_some_and(|row| *row as usize >= self.input_ids.len()) {
            return bad("masked rows must increase and lie inside the batch".into());
        }
        if answers { self.check_answers(&head) } else { Ok(()) }
    }

    fn check_answers(&self, head: &Head) -> Result<()> {
        let bad = |what: String| Err(Error::Batch(what));
        let (rows, what) = match head.rows {
            Rows::Masked => (self.masked_rows.len(), "masked rows"),
            _ => (self.examples(), "examples"),
        };
        let outputs = head.outputs;
        if let Objective::CrossEntropy { .. } = head.objective {
            if self.labels.len() != rows {
                return bad(format!("{} labels for {rows} {what}", self.labels.len()));
            }
            if let Some(label) = self.labels.iter().find(|label| **label as usize >= outputs) {
                return bad(format!("label {label}, but the model has {outputs} outputs"));
            }
        } else if self.targets.len() != rows * outputs {
            return bad(format!("{} targets for {rows} {what} of {outputs} outputs", self.targets.len()));
        } else if let Some(target) = self.targets.iter().find(|target| !target.is_finite()) {
            return bad(format!("a target of {target}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Init, ParamSpec, Pooling};

    const CAPACITY: Capacity = Capacity { tokens: 10, masked: 4, sequences: 3 };

    /// Ten token ids, four positions, two token types; tokens are guessed, or two classes or numbers of examples.
    fn graph(objective: Option<Objective>) -> Graph {
        let mut graph = Graph::new();
        let mut table = |name: &str, rows| graph.param(ParamSpec::matrix(name, [rows, 8], 0.02));
        let (word, position, kind, head) = (table("w", 10), table("p", 4), table("t", 2), table("head", 2));
        let norm = graph.norm_params("norm", 8, 1e-12);
        let x = graph.embeddings(word, position, kind, norm, 0.0).unwrap();
        let bias = |graph: &mut Graph, len| graph.param(ParamSpec::vector("bias", len, Init::Zeros));
        match objective {
            None => {
                let x = graph.masked_rows(x).unwrap();
                let bias = bias(&mut graph, 10);
                graph.mlm_loss(x, word, bias).unwrap();
            }
            Some(objective) => {
                let x = graph.first_rows(x).unwrap();
                let x = graph.pool(x, Pooling::Mean).unwrap();
                let bias = bias(&mut graph, 2);
                graph.loss(x, head, bias, objective).unwrap();
            }
        }
        graph
    }

    #[test]
    fn refuses_what_does_not_fit_and_says_why() {
        let mut good = Batch::default();
        good.push([2, 7, 8, 3], [(1, 9)]);
        good.push([2, 7, 3], []);
        let graph = graph(None);
        assert_eq!(good.check(&CAPACITY, &graph, true), Ok(()));
        assert_eq!(good.masked_rows, [1]);
        let broken = |change: fn(&mut Batch)| {
            let mut batch = good.clone();
            change(&mut batch);
            batch.check(&CAPACITY, &graph, true).unwrap_err().to_string()
        };
        assert!(broken(|b| b.push([1; 4], [])).contains("11 tokens, but memory is planned for 10"));
        assert!(broken(|b| b.push([], [])).contains("empty"));
        assert!(broken(|b| b.input_ids[1] = 10).contains("token id 10"));
        assert!(broken(|b| b.offsets = vec![0, 7]).contains("4 positions"));
        assert!(broken(|b| b.labels.clear()).contains("0 labels for 1"));
        assert!(broken(|b| b.masked_rows[0] = 7).contains("inside the batch"));
        assert!(broken(|b| b.token_types = vec![0; 3]).contains("3 token types for 7 tokens"));
        assert!(broken(|b| b.token_types = vec![2; 7]).contains("token type 2, but the model has 2"));
    }

    #[test]
    fn refuses_answers_that_the_head_does_not_have() {
        let mut good = Batch::default();
        [[2, 7, 3], [2, 8, 3], [2, 9, 3]].into_iter().for_each(|ids| good.push(ids, []));
        (good.examples, good.labels) = (vec![0, 2, 3], vec![1, 0]);
        let classes = graph(Some(Objective::PLAIN));
        let check = |batch: &Batch, answers| batch.check(&CAPACITY, &classes, answers);
        assert_eq!(check(&good, true), Ok(()));
        assert_eq!((good.examples(), good.sequences_of(0), good.sequences_of(1)), (2, 0..2, 2..3));
        let unanswered = Batch { labels: vec![], ..good.clone() };
        assert_eq!(check(&unanswered, false), Ok(()));
        assert!(check(&unanswered, true).unwrap_err().to_string().contains("0 labels for 2 examples"));
        let wrong = Batch { labels: vec![1, 2], ..good.clone() };
        assert!(check(&wrong, true).unwrap_err().to_string().contains("label 2, but the model has 2 outputs"));
        for examples in [vec![0, 2], vec![0, 2, 2, 3], vec![1, 3]] {
            let wrong = Batch { examples, ..good.clone() };
            assert!(check(&wrong, false).unwrap_err().to_string().contains("examples must increase from 0 to 3"));
        }
        let mut many = good.clone();
        many.push([5], []);
        many.end_example();
        let error = check(&many, true).unwrap_err().to_string();
        assert!(error.contains("4 sequences, but memory is planned for 3"), "{error}");

        let numbers = graph(Some(Objective::SquaredError));
        let with = |targets: &[f32]| {
            let batch = Batch { targets: targets.to_vec(), ..unanswered.clone() };
            batch.check(&CAPACITY, &numbers, true).map_err(|error| error.to_string())
        };
        assert_eq!(with(&[1.0, -2.0, 0.0, 1e9]), Ok(()));
        assert!(with(&[1.0; 3]).unwrap_err().contains("3 targets for 2 examples of 2 outputs"));
        assert!(with(&[f32::NAN; 4]).unwrap_err().contains("a target of NaN"));
    }
}

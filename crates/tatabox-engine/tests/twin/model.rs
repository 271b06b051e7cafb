//! Small models around one op each, a small BERT, and batches for them.

use super::{Param, Tensor, Twin};
use tatabox_engine::philox::fill_normal;
use tatabox_engine::{Batch, Objective, StepKey};

/// Sizes of a small model.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub vocabulary: usize,
    pub positions: usize,
    pub heads: usize,
    /// Columns of a head.
    pub dim: usize,
    /// Columns between the two linear layers of a feed-forward block.
    pub inner: usize,
    pub layers: usize,
    pub dropout: f32,
}

impl Sizes {
    pub fn hidden(&self) -> usize {
        self.heads * self.dim
    }
}

pub const KEY: StepKey = StepKey { seed: 11, step: 5, micro_step: 2 };

/// Embeddings, what `middle` makes of them, and a loss over a decoder of its own, so that every op's result shows in the logits.
pub fn around(sizes: Sizes, middle: impl FnOnce(&mut Twin, Tensor) -> Tensor) -> Twin {
    let mut twin = Twin::default();
    let (x, _) = embeddings(&mut twin, sizes);
    let x = middle(&mut twin, x);
    let x = twin.masked_rows(x);
    let weight = twin.matrix("decoder.weight", sizes.vocabulary, x.2);
    let bias = twin.vector("decoder.bias", sizes.vocabulary);
    twin.mlm_loss(x, weight, bias);
    twin
}

fn embeddings(twin: &mut Twin, sizes: Sizes) -> (Tensor, Param) {
    let hidden = sizes.hidden();
    let word = twin.matrix("word", sizes.vocabulary, hidden);
    let tables = [word, twin.matrix("position", sizes.positions, hidden), twin.matrix("token_type", 2, hidden)];
    let norm = twin.norm_params("embeddings", hidden);
    (twin.embeddings(tables, norm, hidden, sizes.dropout), word)
}

/// BERT with a masked language model's head and a tied decoder.
pub fn bert(sizes: Sizes) -> Twin {
    let mut twin = Twin::default();
    let (mut x, word) = embeddings(&mut twin, sizes);
    let hidden = sizes.hidden();
    for layer in 0..sizes.layers {
        let qkv = twin.linear(&format!("{layer}.qkv"), x, 3 * hidden, false);
        let context = twin.attention(qkv, sizes.heads, sizes.dropout);
        let attended = twin.linear(&format!("{layer}.attended"), context, hidden, false);
        x = twin.residual_norm(&format!("{layer}.attention.norm"), attended, x, sizes.dropout);
        let inner = twin.linear(&format!("{layer}.inner"), x, sizes.inner, true);
        let outer = twin.linear(&format!("{layer}.outer"), inner, hidden, false);
        x = twin.residual_norm(&format!("{layer}.norm"), outer, x, sizes.dropout);
    }
    let x = twin.masked_rows(x);
    let x = twin.linear("transform", x, hidden, true);
    let x = twin.norm("transform.norm", x);
    let bias = twin.vector("decoder.bias", sizes.vocabulary);
    twin.mlm_loss(x, word, bias);
    twin
}

/// BERT with a classifier's head, as Hugging Face's `BertForSequenceClassification` computes it, where an example is one sequence: the last layer goes on with
/// the first token of each sequence alone.
pub fn classifier(sizes: Sizes, pooling: &str, outputs: usize, objective: Objective) -> Twin {
    let mut twin = Twin::default();
    let (mut x, _) = embeddings(&mut twin, sizes);
    let hidden = sizes.hidden();
    for layer in 0..sizes.layers {
        let qkv = twin.linear(&format!("{layer}.qkv"), x, 3 * hidden, false);
        let mut context = twin.attention(qkv, sizes.heads, sizes.dropout);
        if layer + 1 == sizes.layers {
            (context, x) = (twin.first_rows(context), twin.first_rows(x));
        }
        let attended = twin.linear(&format!("{layer}.attended"), context, hidden, false);
        x = twin.residual_norm(&format!("{layer}.attention.norm"), attended, x, sizes.dropout);
        let inner = twin.linear(&format!("{layer}.inner"), x, sizes.inner, true);
        let outer = twin.linear(&format!("{layer}.outer"), inner, hidden, false);
        x = twin.residual_norm(&format!("{layer}.norm"), outer, x, sizes.dropout);
    }
    let x = twin.linear("pooler", x, hidden, false);
    let x = twin.tanh(x);
    let x = twin.pool(x, pooling);
    let x = twin.dropout(x, sizes.dropout);
    twin.loss(x, outputs, objective);
    twin
}

/// Sequences of these lengths, `sequences` of them an example, of two token types, with answers of every kind.
pub fn examples(sizes: Sizes, lengths: &[usize], sequences: usize, outputs: usize) -> Batch {
    let mut batch = batch(sizes, lengths, 0);
    batch.token_types = (0..batch.input_ids.len()).map(|row| draw(row, 2) as u32).collect();
    let ends = (0..lengths.len()).step_by(sequences).chain([lengths.len()]);
    batch.examples = ends.map(|end| end as u32).collect();
    let examples = batch.examples();
    batch.labels = (0..examples).map(|example| draw(example + 500, outputs) as u32).collect();
    batch.targets = (0..examples * outputs).map(|at| draw(at + 700, 5) as f32 / 4.0).collect();
    batch
}

/// A number below `end` that depends on `index` in no visible way.
pub fn draw(index: usize, end: usize) -> usize {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33) as usize % end
}

/// Sequences of these lengths; one token in `mask_every` (and the first of all) is to be guessed, none if it is 0.
pub fn batch(sizes: Sizes, lengths: &[usize], mask_every: usize) -> Batch {
    let mut batch = Batch::default();
    for &length in lengths {
        let first = batch.input_ids.len();
        let ids: Vec<u32> = (0..length).map(|at| draw(first + at, sizes.vocabulary) as u32).collect();
        let targets = (0..length)
            .filter(|at| mask_every > 0 && (first + at == 0 || draw(first + at + 7_000, mask_every) == 0))
            .map(|at| (at as u32, draw(first + at + 9_000, sizes.vocabulary) as u32))
            .collect::<Vec<_>>();
        batch.push(ids, targets);
    }
    batch
}

/// Weights that make every op matter: matrices scaled by their inputs, gains around 1, biases around 0.
pub fn weights(twin: &Twin, seed: u64) -> Vec<Vec<f32>> {
    let specs = twin.graph.params().iter().enumerate();
    specs
        .map(|(index, spec)| {
            let mut values = vec![0f32; spec.len()];
            let std = if spec.shape.len() > 1 { 1.0 / (spec.shape[1] as f32).sqrt() } else { 0.3 };
            fill_normal(&mut values, std, seed, index);
            if spec.init == tatabox_engine::Init::Ones {
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            values
        })
        .collect()
}

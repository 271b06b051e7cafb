//! Fresh weights: BERT's normal numbers, and, where asked, embeddings that begin with what is known of k-mers and of order.
//!
//! A table of 4,096 random rows does not say that `ATCGAT` and `TCGATC` share five bases, and 512 random rows do not say which position stands before
//! which. BERT learns both from scratch, which takes most of a short pretraining: until then its loss stays at that of token
//! frequencies. The rows can say so from the start; architecture, number of weights and file are the same (`docs/concepts/fresh-weights.md`).

use tatabox_core::tokenizer::{SPECIALS, Tokenizer};
use tatabox_engine::Executor;
use tatabox_engine::philox::fill_normal;

use super::bert::{POSITION_EMBEDDINGS, WORD_EMBEDDINGS};
use crate::error::Result;
use crate::recipe::RunConfig;

/// Standard deviation of what is a k-mer's own, as a share of what its bases give it.
const OWN: f32 = 0.2;
/// Root mean square of a sinusoid, in units of `initializer_range`: at 1, neighbours are found later (docs/log.md, 2026-11-21).
const AMPLITUDE: f32 = 2.0;
/// Longest wavelength over 2 pi, in tokens (Vaswani et al. 2017, 3.5).
const LONGEST: f64 = 10_000.0;

/// Gives an executor the fresh weights of a run: a function of its configuration.
///
/// # Errors
/// The tokenizer's settings do not fit each other.
pub fn initialize(executor: &mut Executor, config: &RunConfig) -> Result<()> {
    executor.initialize(config.seed);
    let std = config.model.initializer_range as f32;
    let hidden = config.model.hidden_size;
    for index in 0..executor.specs().len() {
        let mut values = executor.param(index).to_vec();
        match executor.specs()[index].name.as_str() {
            WORD_EMBEDDINGS if config.model.token_init == "composed" => {
                let tokenizer = Tokenizer::new(config.tokenizer.clone())?;
                let mut bases = vec![0.0; 4 * tokenizer.k() * hidden];
                // A stream of its own: no parameter has this number.
                fill_normal(&mut bases, std / (tokenizer.k() as f32).sqrt(), config.seed, executor.specs().len());
                compose(&mut values, &bases, tokenizer.k(), hidden);
            }
            POSITION_EMBEDDINGS if config.model.position_init == "sinusoidal" => {
                sinusoids(&mut values, AMPLITUDE * std, hidden);
            }
            _ => continue,
        }
        executor.set_param(index, &values);
    }
    Ok(())
}

/// A k-mer's row becomes the sum of one vector for each of its bases, and a little of its own. `words` is `[5 + 4^k, hidden]`, filled with what is the rows' own;
/// `bases` is `[k, 4, hidden]`. Special tokens keep their rows.
fn compose(words: &mut [f32], bases: &[f32], k: usize, hidden: usize) {
    let kmers = words.chunks_exact_mut(hidden).skip(SPECIALS as usize);
    for (kmer, row) in kmers.enumerate() {
        row.iter_mut().for_each(|value| *value *= OWN);
        for offset in 0..k {
            let base = kmer >> (2 * (k - 1 - offset)) & 3;
            let vector = &bases[(4 * offset + base) * hidden..][..hidden];
            row.iter_mut().zip(vector).for_each(|(value, part)| *value += part);
        }
    }
}

/// Row p becomes sines and cosines of p at wavelengths that grow from 2 pi: so the row of p + n is one rotation of the row of p, whatever p is.
/// `positions` is `[positions, hidden]`; `rms` is the root mean square of its values.
fn sinusoids(positions: &mut [f32], rms: f32, hidden: usize) {
    let peak = f64::from(rms) * std::f64::consts::SQRT_2;
    for (position, row) in positions.chunks_exact_mut(hidden).enumerate() {
        for (column, value) in row.iter_mut().enumerate() {
            let frequency = LONGEST.powf(-((column & !1) as f64) / hidden as f64);
            let angle = position as f64 * frequency;
            *value = (peak * if column % 2 == 0 { angle.sin() } else { angle.cos() }) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::config;
    use crate::models::bert;
    use tatabox_engine::{Capacity, Mode, Precision};

    fn fresh(extra: &[&str]) -> (Executor, RunConfig) {
        let config = config(extra);
        let graph = bert::masked_lm(&config.bert().unwrap()).unwrap();
        let mut executor =
            Executor::new(graph, Capacity { tokens: 64, masked: 64, sequences: 0 }, Precision::F32, Mode::Evaluate)
                .unwrap();
        initialize(&mut executor, &config).unwrap();
        (executor, config)
    }

    fn table<'a>(executor: &'a Executor, name: &str) -> &'a [f32] {
        executor.param(executor.specs().iter().position(|spec| spec.name == name).unwrap())
    }

    fn rms(values: &[f32]) -> f64 {
        (values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn a_kmer_is_the_sum_of_its_bases_and_a_little_of_its_own() {
        let (executor, config) = fresh(&["tokenizer.k=4"]);
        let hidden = config.model.hidden_size;
        let words = table(&executor, WORD_EMBEDDINGS);
        let row = |kmer: usize| &words[(5 + kmer) * hidden..][..hidden];
        // AAAA, TAAA, AAAT, TAAT: what T in front adds does not depend on the last base, but for the rows' own part.
        let (plain, front, back, both) = (row(0), row(64), row(1), row(65));
        let rest: Vec<f32> = (0..hidden).map(|i| both[i] - front[i] - back[i] + plain[i]).collect();
        assert!(rms(&rest) < 0.02 * 0.2 * 2.0 * 1.3, "{}", rms(&rest));
        assert!(rms(&rest) > 0.02 * 0.2 * 2.0 * 0.7, "{}", rms(&rest));
        let kmers = &words[5 * hidden..];
        assert!((rms(kmers) / 0.02 - 1.02).abs() < 0.1, "{}", rms(kmers));
        assert!(words[..hidden].iter().all(|&value| value == 0.0), "[PAD] starts as zeros");
    }

    #[test]
    fn the_next_position_is_the_same_rotation_of_every_position() {
        let (executor, config) = fresh(&[]);
        let hidden = config.model.hidden_size;
        let positions = table(&executor, POSITION_EMBEDDINGS);
        assert!((rms(positions) / 0.04 - 1.0).abs() < 1e-3, "{}", rms(positions));
        let dot = |p: usize, q: usize| -> f64 {
            (0..hidden).map(|i| f64::from(positions[p * hidden + i]) * f64::from(positions[q * hidden + i])).sum()
        };
        // So the product of two rows knows their distance and nothing else.
        for (p, q) in [(0, 3), (100, 103), (505, 508)] {
            assert!((dot(p, q) / dot(7, 10) - 1.0).abs() < 1e-4);
        }
        assert!(dot(7, 8) > 1.02 * dot(7, 9) && dot(7, 9) > 1.02 * dot(7, 10));
    }

    #[test]
    fn bert_s_own_fresh_weights_are_the_engine_s() {
        let (executor, config) = fresh(&["model.token_init=normal", "model.position_init=normal"]);
        let graph = bert::masked_lm(&config.bert().unwrap()).unwrap();
        let mut plain =
            Executor::new(graph, Capacity { tokens: 64, masked: 64, sequences: 0 }, Precision::F32, Mode::Evaluate)
                .unwrap();
        plain.initialize(config.seed);
        assert!((0..plain.specs().len()).all(|index| plain.param(index) == executor.param(index)));
        let (composed, _) = fresh(&[]);
        assert_ne!(table(&composed, WORD_EMBEDDINGS), table(&plain, WORD_EMBEDDINGS));
    }
}

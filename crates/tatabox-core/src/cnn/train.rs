//! Training: batches in a drawn order, slopes summed in a fixed one.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::adam::Adam;
use super::network::{FEATURES, Pooled, Shape, WIDTH, back_to_filters, pool};
use super::objective::Objective;
use super::{Cnn, CnnFit, logits, sequences};
use crate::labelled::Example;
use crate::rng::{Purpose, SeededRng};

/// Examples whose slopes one task sums; fixed, so that the sum does not depend on the number of threads.
const GROUP: usize = 4;
/// Measurements of dev examples at most, evenly spread over the passes.
const MEASUREMENTS: u32 = 20;

pub(super) fn train(
    shape: Shape,
    objective: Objective,
    train: &[&Example],
    dev: &[&Example],
    fit: CnnFit,
    seed: u64,
    stop: &AtomicBool,
) -> Option<Cnn> {
    let batch = fit.batch.min(train.len()).max(1);
    let a_pass = train.len().div_ceil(batch).max(1) as u64;
    let steps = (u64::from(fit.epochs) * a_pass).max(fit.least_steps).min(fit.most_steps).max(1);
    let epochs = steps.div_ceil(a_pass) as u32;
    let between = epochs.div_ceil(MEASUREMENTS);
    let mut weights = fresh(shape, seed);
    let mut adam = Adam::new(weights.len());
    let mut order: Vec<usize> = Vec::new();
    let mut best: Option<(f64, Vec<f32>, u32)> = None;
    for step in 0..steps {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let (epoch, within) = ((step / a_pass) as u32, step % a_pass);
        if within == 0 {
            order = shuffled(train.len(), seed, epoch);
        }
        let start = within as usize * batch;
        let examples: Vec<&Example> =
            order[start..(start + batch).min(order.len())].iter().map(|&at| train[at]).collect();
        let gradient = gradient(shape, &objective, &weights, &examples, |at| kept(shape, seed, step, at));
        let rate = fit.learning_rate * (1.0 - step as f64 / steps as f64);
        adam.step(&mut weights, &gradient, rate, fit.weight_decay, |at| !shape.is_bias(at));
        let ends = within + 1 == a_pass || step + 1 == steps;
        if ends && !dev.is_empty() && ((epoch + 1) % between == 0 || step + 1 == steps) {
            let loss = mean_loss(shape, &objective, &weights, dev);
            if best.as_ref().is_none_or(|(least, _, _)| loss < *least) {
                best = Some((loss, weights.clone(), epoch + 1));
            }
        }
    }
    let (weights, best_epoch) = best.map_or((weights, epochs), |(_, weights, epoch)| (weights, epoch));
    Some(Cnn { shape, objective, weights, epochs, best_epoch })
}

/// Weights before training: filters of variance 2 / WIDTH (He et al. 2015: a window has WIDTH inputs that are 1), answers of variance 1 / features, no bias.
fn fresh(shape: Shape, seed: u64) -> Vec<f32> {
    let mut rng = SeededRng::new(seed, Purpose::Network, 0, 0);
    let reach = |variance: f64| (3.0 * variance).sqrt();
    let (filters, answers) = (reach(2.0 / WIDTH as f64), reach(1.0 / (shape.sequences * FEATURES) as f64));
    let mut draw = |at: usize| {
        let reach = if at < Shape::head() { filters } else { answers };
        let value = reach * (2.0 * rng.unit() - 1.0);
        if shape.is_bias(at) { 0.0 } else { value as f32 }
    };
    (0..shape.weights()).map(&mut draw).collect()
}

fn shuffled(examples: usize, seed: u64, epoch: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    SeededRng::new(seed, Purpose::Network, u64::from(epoch), 1).shuffle(&mut order);
    order
}

/// By what the features of an example of a step are multiplied: a quarter of them by 0, the others by 4/3 (dropout, Srivastava et al. 2014).
fn kept(shape: Shape, seed: u64, step: u64, at: usize) -> Vec<f32> {
    let mut rng = SeededRng::new(seed, Purpose::Network, step, 2 + at as u64);
    let mut factors = Vec::with_capacity(shape.sequences * FEATURES);
    for _ in 0..shape.sequences * FEATURES / 64 {
        // A bit is lost where both draws have it.
        let lost = rng.bits() & rng.bits();
        factors.extend((0..64).map(|bit| if lost >> bit & 1 == 1 { 0.0 } else { 4.0 / 3.0 }));
    }
    factors
}

/// The mean slopes of a batch; `kept` gives the factors of each example's features.
fn gradient(
    shape: Shape,
    objective: &Objective,
    weights: &[f32],
    examples: &[&Example],
    kept: impl Fn(usize) -> Vec<f32> + Sync,
) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = (examples.par_chunks(GROUP).enumerate())
        .map(|(group, examples)| {
            let mut part = vec![0.0; weights.len()];
            for (at, example) in examples.iter().enumerate() {
                let factors = kept(group * GROUP + at);
                let pooled: Vec<Pooled<f32>> = sequences(shape, example).map(|codes| pool(weights, codes)).collect();
                let mut features: Vec<f32> = pooled.iter().flat_map(|pooled| pooled.features).collect();
                features.iter_mut().zip(&factors).for_each(|(feature, factor)| *feature *= factor);
                let mut slopes = shape.logits(weights, &features);
                objective.loss(&mut slopes, &example.target);
                let mut back = shape.back_to_features(weights, &features, &slopes, &mut part);
                back.iter_mut().zip(&factors).for_each(|(slope, factor)| *slope *= factor);
                for ((codes, pooled), slopes) in sequences(shape, example).zip(&pooled).zip(back.chunks_exact(FEATURES))
                {
                    back_to_filters(pooled, codes, slopes, &mut part);
                }
            }
            part
        })
        .collect();
    let share = 1.0 / examples.len() as f32;
    let mut sum = vec![0.0; weights.len()];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += share * part);
    }
    sum
}

fn mean_loss(shape: Shape, objective: &Objective, weights: &[f32], examples: &[&Example]) -> f64 {
    let loss = |example: &&Example| objective.loss(&mut logits(shape, weights, example), &example.target);
    // Collected before it is summed: a parallel sum has no fixed order.
    let losses: Vec<f64> = examples.par_iter().map(loss).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

//! Heads over sequences and examples: classes, labels and numbers, pooling, token types, frozen parameters and low-rank updates.

use std::sync::Arc;

use crate::SIZES;
use crate::twin::Twin;
use crate::twin::check::{capacity, check, devices, executor};
use crate::twin::model::{KEY, Sizes, classifier, examples, weights};
use tatabox_engine::{AdamW, Isa, Objective, Precision};

fn weighted(outputs: usize) -> Option<Arc<[f32]>> {
    Some((0..outputs).map(|output| 0.5 + output as f32 / 3.0).collect())
}

fn objectives(outputs: usize) -> [Objective; 6] {
    [
        Objective::PLAIN,
        Objective::CrossEntropy { weights: weighted(outputs), smoothing: 0.0 },
        Objective::CrossEntropy { weights: weighted(outputs), smoothing: 0.2 },
        Objective::BinaryCrossEntropy { positive_weights: None },
        Objective::BinaryCrossEntropy { positive_weights: weighted(outputs) },
        Objective::SquaredError,
    ]
}

const ADAMW: AdamW =
    AdamW { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, max_grad_norm: None, step: 1 };

#[test]
fn every_objective_equals_f64_over_examples_of_one_sequence() {
    for objective in objectives(3) {
        let batch = examples(SIZES, &[9, 1, 5, 13], 1, 3);
        check(&format!("{objective:?}"), &classifier(SIZES, "mean", 3, objective), &batch, &devices());
    }
}

#[test]
fn one_output_equals_f64() {
    for objective in [Objective::BinaryCrossEntropy { positive_weights: None }, Objective::SquaredError] {
        let batch = examples(SIZES, &[4, 7, 2], 1, 1);
        check("one output", &classifier(SIZES, "mean", 1, objective), &batch, &devices());
    }
}

#[test]
fn every_pooling_equals_f64_over_examples_of_some_sequences() {
    for pooling in ["mean", "max", "attention"] {
        let batch = examples(SIZES, &[9, 1, 5, 13, 6, 3, 8], 3, 2);
        assert_eq!(batch.examples, [0, 3, 6, 7]);
        check(pooling, &classifier(Sizes { layers: 2, ..SIZES }, pooling, 2, Objective::PLAIN), &batch, &devices());
    }
}

/// A model with updates of a square matrix and of the last third of another.
fn adapted() -> Twin {
    let mut twin = classifier(Sizes { layers: 2, ..SIZES }, "mean", 2, Objective::PLAIN);
    let hidden = SIZES.hidden();
    let index = |name: &str| twin.graph.params().iter().position(|spec| spec.name == name).unwrap();
    let (qkv, attended) = (index("0.qkv.weight"), index("1.attended.weight"));
    twin.graph.set_rates(|spec| if spec.name.starts_with("head") { 1.0 } else { 0.0 });
    twin.low_rank(qkv, 2 * hidden..3 * hidden, 3, 6.0);
    twin.low_rank(attended, 0..hidden, 2, 2.0);
    twin
}

#[test]
fn low_rank_updates_equal_f64() {
    check("low rank", &adapted(), &examples(SIZES, &[9, 1, 5, 13], 1, 2), &devices());
}

#[test]
fn a_step_changes_what_learns_and_nothing_else() {
    let (twin, batch) = (adapted(), examples(SIZES, &[9, 1, 5], 1, 2));
    for precision in [Precision::F32, Precision::Bf16] {
        let weights = weights(&twin, 3);
        let mut executor = executor(&twin, &weights, capacity(&batch), precision, Isa::Portable);
        let before: Vec<Vec<f32>> = (0..weights.len()).map(|index| executor.effective(index).to_vec()).collect();
        executor.forward_backward(&batch, KEY, 1.0).unwrap();
        executor.optimizer_step(&ADAMW);
        for (index, spec) in executor.specs().to_vec().iter().enumerate() {
            let (param, effective) = (executor.param(index), executor.effective(index));
            assert_eq!(param != weights[index], spec.rate > 0.0, "{}", spec.name);
            let adapted = ["0.qkv.weight", "1.attended.weight"].contains(&spec.name.as_str());
            assert_eq!(effective != before[index], spec.rate > 0.0 || adapted, "{}", spec.name);
            assert_eq!(executor.moments(index).0.is_empty(), spec.rate == 0.0, "{}", spec.name);
        }
        // The merged matrix gives the same answers as a model that never had updates.
        let plain = classifier(Sizes { layers: 2, ..SIZES }, "mean", 2, Objective::PLAIN);
        let merged: Vec<Vec<f32>> =
            (0..plain.graph.params().len()).map(|index| executor.effective(index).to_vec()).collect();
        let mut other = crate::twin::check::executor(&plain, &merged, capacity(&batch), precision, Isa::Portable);
        assert_eq!(other.logits(&batch).unwrap(), executor.logits(&batch).unwrap());
    }
}

#[test]
fn a_rate_multiplies_the_learning_rate() {
    let mut twin = classifier(SIZES, "mean", 2, Objective::PLAIN);
    let batch = examples(SIZES, &[9, 1, 5], 1, 2);
    let weights = weights(&twin, 3);
    let moved = |twin: &Twin| {
        let mut executor = executor(twin, &weights, capacity(&batch), Precision::F32, Isa::Portable);
        executor.forward_backward(&batch, KEY, 1.0).unwrap();
        executor.optimizer_step(&ADAMW);
        let index = executor.specs().iter().position(|spec| spec.name == "0.inner.weight").unwrap();
        let step = executor.param(index).iter().zip(&weights[index]).map(|(new, old)| f64::from((new - old).abs()));
        step.sum::<f64>()
    };
    let whole = moved(&twin);
    twin.graph.set_rates(|_| 0.25);
    let ratio = moved(&twin) / whole;
    assert!((ratio - 0.25).abs() < 1e-3, "{ratio}");
}

#[test]
fn gradients_of_what_learns_are_the_same_whether_the_rest_is_frozen_or_not() {
    let batch = examples(SIZES, &[9, 1, 5, 20], 1, 2);
    let mut twin = classifier(Sizes { layers: 2, ..SIZES }, "mean", 2, Objective::PLAIN);
    let weights = weights(&twin, 3);
    let gradients = |twin: &Twin| {
        let mut executor = executor(twin, &weights, capacity(&batch), Precision::F32, Isa::Portable);
        executor.forward_backward(&batch, KEY, 1.0).unwrap();
        let learning = executor.specs().iter().enumerate().filter(|(_, spec)| spec.name.starts_with("1."));
        learning.map(|(index, _)| executor.gradient(index).to_vec()).collect::<Vec<_>>()
    };
    let all = gradients(&twin);
    twin.graph.set_rates(|spec| if spec.name.starts_with("1.") { 1.0 } else { 0.0 });
    assert!(all.iter().all(|gradient| gradient.iter().any(|value| *value != 0.0)));
    assert_eq!(gradients(&twin), all);
}

#[test]
fn answers_need_not_be_there_to_predict() {
    let batch = examples(SIZES, &[9, 1, 5], 1, 2);
    let twin = classifier(SIZES, "mean", 2, Objective::PLAIN);
    let mut executor = executor(&twin, &weights(&twin, 3), capacity(&batch), Precision::F32, Isa::Portable);
    let asked = executor.logits(&batch).unwrap();
    let unanswered = tatabox_engine::Batch { labels: vec![], targets: vec![], ..batch.clone() };
    assert_eq!(executor.logits(&unanswered).unwrap(), asked);
    assert!(executor.evaluate(&unanswered).is_err());
}

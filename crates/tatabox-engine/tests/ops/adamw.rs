//! AdamW against the same formulas in f64.

use crate::SIZES;
use crate::twin::check::{capacity, devices, executor};
use crate::twin::model::{KEY, Sizes, batch, bert, weights};
use tatabox_engine::{AdamW, Precision};

/// eps is large so that elements with next to no gradient do not blow rounding errors up.
const ADAMW: AdamW =
    AdamW { lr: 0.01, beta1: 0.9, beta2: 0.98, eps: 1e-3, weight_decay: 0.1, max_grad_norm: None, step: 1 };

/// `torch.optim.AdamW` after `clip_grad_norm_`, in f64, on all parameters.
struct Plain {
    weights: Vec<Vec<f64>>,
    moments: Vec<[Vec<f64>; 2]>,
}

impl Plain {
    fn step(&mut self, adamw: &AdamW, gradients: &[Vec<f32>], decays: &[bool]) -> f64 {
        let square = |values: &Vec<f32>| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let norm = gradients.iter().map(square).sum::<f64>().sqrt();
        let clip = adamw.max_grad_norm.map_or(1.0, |max| (f64::from(max) / (norm + 1e-6)).min(1.0));
        let (beta1, beta2, lr) = (f64::from(adamw.beta1), f64::from(adamw.beta2), f64::from(adamw.lr));
        let corrections = [1.0 - beta1.powi(adamw.step as i32), 1.0 - beta2.powi(adamw.step as i32)];
        for (param, gradient) in gradients.iter().enumerate() {
            let [first, second] = &mut self.moments[param];
            for (i, gradient) in gradient.iter().enumerate() {
                let g = f64::from(*gradient) * clip;
                first[i] = beta1 * first[i] + (1.0 - beta1) * g;
                second[i] = beta2 * second[i] + (1.0 - beta2) * g * g;
                let decay = if decays[param] { f64::from(adamw.weight_decay) } else { 0.0 };
                let root = (second[i] / corrections[1]).sqrt() + f64::from(adamw.eps);
                let weight = &mut self.weights[param][i];
                *weight = *weight * (1.0 - lr * decay) - lr * first[i] / corrections[0] / root;
            }
        }
        norm
    }
}

#[test]
fn adamw_equals_f64_over_steps_with_and_without_clipping() {
    // 150 x 131 elements: more than one task, and no multiple of a vector.
    let sizes = Sizes { vocabulary: 131, heads: 3, dim: 50, ..SIZES };
    let (twin, batch) = (bert(sizes), batch(sizes, &[9, 4], 2));
    let start = weights(&twin, 3);
    let decays: Vec<bool> = twin.graph.params().iter().map(|spec| spec.decay).collect();
    for isa in &devices() {
        let mut executor = executor(&twin, &start, capacity(&batch), Precision::F32, isa);
        let mut plain = Plain {
            weights: start.iter().map(|values| values.iter().map(|value| f64::from(*value)).collect()).collect(),
            moments: start.iter().map(|values| [(); 2].map(|()| vec![0.0; values.len()])).collect(),
        };
        for step in 1..=4 {
            let adamw = AdamW { max_grad_norm: (step % 2 == 0).then_some(1.0), step, ..ADAMW };
            executor.zero_gradients();
            executor.forward_backward(&batch, KEY, 1.0).unwrap();
            let gradients: Vec<Vec<f32>> = (0..start.len()).map(|index| executor.gradient(index).to_vec()).collect();
            let norm = executor.optimizer_step(&adamw);
            let expected = plain.step(&adamw, &gradients, &decays);
            assert!((f64::from(norm) / expected - 1.0).abs() < 1e-5, "{isa:?}: norm {norm} for {expected}");
            for (index, expected) in plain.weights.iter().enumerate() {
                for (element, (got, expected)) in executor.param(index).iter().zip(expected).enumerate() {
                    let name = &executor.specs()[index].name;
                    let far = (f64::from(*got) - expected).abs();
                    assert!(
                        far < 2e-6 * (1.0 + expected.abs()),
                        "{isa:?} step {step} {name}[{element}]: {got}, {expected}"
                    );
                }
            }
        }
    }
}

/// What the ops read in bf16 is made of the stepped weights, all of them.
#[test]
fn the_rounded_copy_follows_a_step() {
    let sizes = Sizes { vocabulary: 131, heads: 3, dim: 50, ..SIZES }; // More than one task, as above.
    let (twin, batch) = (bert(sizes), batch(sizes, &[9, 4], 2));
    let start = weights(&twin, 3);
    for device in &devices() {
        let new = |weights: &[Vec<f32>]| executor(&twin, weights, capacity(&batch), Precision::Bf16, device);
        let mut stepped = new(&start);
        let untouched = stepped.logits(&batch).unwrap();
        stepped.forward_backward(&batch, KEY, 1.0).unwrap();
        stepped.optimizer_step(&ADAMW);
        let weights: Vec<Vec<f32>> = (0..start.len()).map(|index| stepped.param(index).to_vec()).collect();
        let logits = stepped.logits(&batch).unwrap();
        assert_eq!(logits, new(&weights).logits(&batch).unwrap(), "{device:?}");
        assert_ne!(logits, untouched, "{device:?}");
    }
}

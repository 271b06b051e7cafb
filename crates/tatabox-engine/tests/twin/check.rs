//! Compares an executor with its twin: logits, losses with and without dropout, and the gradient of every parameter.

use super::Twin;
use super::emulated;
use super::model::{KEY, draw, weights};
use tatabox_engine::{Batch, Capacity, Device, Executor, Isa, Mode, Precision};

/// Room for this batch and no more.
pub fn capacity(batch: &Batch) -> Capacity {
    Capacity { tokens: batch.input_ids.len(), masked: batch.masked_rows.len(), sequences: batch.sequences() }
}

/// A training executor with these weights.
pub fn executor(
    twin: &Twin,
    weights: &[Vec<f32>],
    capacity: Capacity,
    precision: Precision,
    device: impl Into<Device>,
) -> Executor {
    let mut executor = Executor::on(&device.into(), twin.graph.clone(), capacity, precision, Mode::Train).unwrap();
    weights.iter().enumerate().for_each(|(index, values)| executor.set_param(index, values));
    executor
}

/// The devices of this machine: each instruction set (AMX only where the processor has it or a test emulates it), the emulated GPU, and the real one. With
/// TATABOX_TEST_ON=gpu in the environment, the real GPU alone.
pub fn devices() -> Vec<Device> {
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available() && !emulated::real_alone()).map(Device::Cpu);
    isas.chain(emulated::gpus().into_iter().map(Device::Cuda)).collect()
}

/// Derivatives of the twin's summed loss along sign vectors, by central differences in f64.
struct Slope {
    param: usize,
    direction: usize,
    value: f64,
}

/// +1 or -1.
fn sign(direction: usize, element: usize) -> f64 {
    if draw(direction * 1_000_003 + element, 2) == 0 { -1.0 } else { 1.0 }
}

fn slopes(twin: &Twin, params: &[Vec<f64>], batch: &Batch) -> Vec<Slope> {
    const STEP: f64 = 1e-5;
    let mut moved = params.to_vec();
    let mut slopes = Vec::new();
    for param in 0..params.len() {
        for direction in 0..2 {
            let mut loss = |step: f64| {
                for (element, value) in moved[param].iter_mut().enumerate() {
                    *value = params[param][element] + step * sign(direction, element);
                }
                twin.run(&moved, batch, Some(KEY)).1.iter().sum::<f64>()
            };
            let value = (loss(STEP) - loss(-STEP)) / (2.0 * STEP);
            slopes.push(Slope { param, direction, value });
        }
        moved[param].copy_from_slice(&params[param]);
    }
    slopes
}

/// The largest relative error that a precision may make: of single values, and of slopes against the gradient's norm. The ops are the same
/// code for both; bf16 keeps 8 bits, and in a model of a few columns nothing averages its roundings out (a slope was seen off by 11 % of the
/// norm), while a wrong kernel is off by the whole of it.
fn tolerance(precision: Precision) -> (f64, f64) {
    match precision {
        Precision::F32 => (2e-4, 1e-3),
        Precision::Bf16 => (0.1, 0.3),
    }
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Panics where an executor on one of `devices` and of either precision departs from the twin.
pub fn check<D: Clone + Into<Device>>(what: &str, twin: &Twin, batch: &Batch, devices: &[D]) {
    let weights = weights(twin, 3);
    let params: Vec<Vec<f64>> =
        weights.iter().map(|values| values.iter().map(|value| f64::from(*value)).collect()).collect();
    let (logits, losses) = twin.run(&params, batch, None);
    let dropped: f64 = twin.run(&params, batch, Some(KEY)).1.iter().sum();
    let slopes = slopes(twin, &params, batch);
    for device in devices {
        let isa: Device = device.clone().into();
        for precision in [Precision::F32, Precision::Bf16] {
            let what = format!("{what}, {isa:?}, {precision}, lengths from {:?}", batch.offsets);
            let (of_values, of_slopes) = tolerance(precision);
            let near = |got: f64, expected: f64, scale: f64| (got - expected).abs() <= of_values * (1.0 + scale);
            let mut executor = executor(twin, &weights, capacity(batch), precision, &isa);
            let largest = logits.iter().fold(0f64, |largest, value| largest.max(value.abs()));
            for (index, (got, expected)) in executor.logits(batch).unwrap().iter().zip(&logits).enumerate() {
                assert!(
                    near(f64::from(*got), *expected, largest),
                    "{what}: logit {index} is {got}, expected {expected}"
                );
            }
            let got = executor.evaluate(batch).unwrap();
            assert_eq!(got.len(), losses.len(), "{what}");
            for (row, (got, expected)) in got.iter().zip(&losses).enumerate() {
                assert!(near(f64::from(*got), *expected, largest), "{what}: loss {row} is {got}, expected {expected}");
            }
            // Loss scale 2: the gradients double, the loss does not. Twice without zeroing: the gradients add up.
            for _ in 0..2 {
                let got = executor.forward_backward(batch, KEY, 2.0).unwrap();
                let rows = losses.len() as f64;
                assert!(near(got, dropped, rows * largest), "{what}: loss with dropout {got}, expected {dropped}");
            }
            for slope in slopes.iter().filter(|slope| executor.specs()[slope.param].rate > 0.0) {
                let gradient = executor.gradient(slope.param);
                let along = |(element, value): (usize, &f32)| f64::from(*value) * sign(slope.direction, element);
                let got: f64 = gradient.iter().enumerate().map(along).sum::<f64>() / 4.0;
                let scale = length(gradient) / 4.0;
                assert!(
                    (got - slope.value).abs() <= of_slopes * scale + 1e-6,
                    "{what}: slope {} of `{}` is {got}, expected {}, norm {scale}",
                    slope.direction,
                    executor.specs()[slope.param].name,
                    slope.value,
                );
                let name = &executor.specs()[slope.param].name;
                // None is right where the reference has none: a sequence of one token whose only attention weight is dropped.
                assert!(slope.value.abs() < 1e-9 || scale > 0.0, "{what}: `{name}` gets no gradient");
            }
        }
    }
}

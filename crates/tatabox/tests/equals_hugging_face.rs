//! Equal to PyTorch + transformers: logits, loss, every gradient and ten AdamW steps of small BERTs, with every kernel that this machine runs, an emulated GPU's among them.
//!
//! The golden files are written by `tests/golden/make_golden.py`.

#[path = "../../tatabox-engine/tests/cuda/emulated/mod.rs"]
#[allow(dead_code, reason = "the tests of the engine use the rest")]
mod emulated;

use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use tatabox::config::BertConfig;
use tatabox::models::bert;
use tatabox::weights::{Head, Tensor, read_weights};
use tatabox_engine::{AdamW, Batch, Capacity, Device, Executor, Isa, Mode, Precision, StepKey};

const STEPS: usize = 10;

struct Golden {
    folder: PathBuf,
    bytes: Vec<u8>,
}

impl Golden {
    fn open(case: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case);
        Self { bytes: std::fs::read(folder.join("golden.safetensors")).unwrap(), folder }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("golden `{name}`"));
        view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).is_ok()
    }

    fn integers(&self, name: &str) -> Vec<i64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap();
        view.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    /// Query, key and value of the file as the one tensor of the engine.
    fn joined(&self, prefix: &str, name: &str) -> Vec<f32> {
        match name.split_once(".qkv.") {
            Some((layer, kind)) => ["query", "key", "value"]
                .iter()
                .flat_map(|part| self.floats(&format!("{prefix}{layer}.{part}.{kind}")))
                .collect(),
            None => self.floats(&format!("{prefix}{name}")),
        }
    }

    /// The padded batch without its padding, and the flat index of each labelled token in the padded one.
    fn batch(&self) -> (Batch, Vec<usize>) {
        let (ids, labels) = (self.integers("input_ids"), self.integers("labels"));
        let attended = self.integers("attention_mask");
        let longest = SafeTensors::deserialize(&self.bytes).unwrap().tensor("input_ids").unwrap().shape()[1];
        let (mut batch, mut labelled) = (Batch::default(), Vec::new());
        for (sequence, attended) in attended.chunks_exact(longest).enumerate() {
            let length = attended.iter().sum::<i64>() as usize;
            let row = sequence * longest..sequence * longest + length;
            let targets = row.clone().filter(|index| labels[*index] >= 0);
            labelled.extend(targets.clone());
            batch.push(
                ids[row.clone()].iter().map(|id| *id as u32),
                targets.map(|index| ((index - row.start) as u32, labels[index] as u32)),
            );
        }
        (batch, labelled)
    }

    fn executor(&self, precision: Precision, device: impl Into<Device>) -> Executor {
        let config = BertConfig::read(&self.folder.join("config.json")).unwrap();
        let graph = bert::masked_lm(&config).unwrap();
        let capacity = Capacity { tokens: 128, masked: 64, sequences: 0 };
        let mut executor = Executor::on(&device.into(), graph, capacity, precision, Mode::Train).unwrap();
        let specs = executor.specs().to_vec();
        let wanted: Vec<Tensor> =
            specs.iter().map(|spec| Tensor { name: &spec.name, shape: &spec.shape, values: &[] }).collect();
        let weights = read_weights(&self.folder.join("model.safetensors"), &wanted, Head::Required).unwrap();
        for (index, values) in weights.values.into_iter().enumerate() {
            executor.set_param(index, &values.unwrap());
        }
        executor
    }
}

fn machines() -> Vec<Device> {
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available() && !emulated::real_alone()).map(Device::Cpu);
    isas.chain(emulated::gpus().into_iter().map(Device::Cuda)).collect()
}

/// The largest difference, relative to the largest value.
fn distance(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(1e-6f32, |largest, value| largest.max(value.abs()));
    let difference = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs());
    difference.fold(0.0, |worst, value| if value.is_nan() { f32::INFINITY } else { f32::max(worst, value) }) / largest
}

#[test]
fn logits_loss_and_every_gradient_are_those_of_transformers_in_f32() {
    for case in ["bert-3mer", "bert-odd"] {
        let golden = Golden::open(case);
        let (batch, labelled) = golden.batch();
        for isa in &machines() {
            let mut executor = golden.executor(Precision::F32, isa);
            let all_logits = golden.floats("logits");
            let logits = executor.logits(&batch).unwrap();
            let vocabulary = logits.len() / labelled.len();
            let expected: Vec<f32> =
                labelled.iter().flat_map(|row| all_logits[row * vocabulary..][..vocabulary].to_vec()).collect();
            assert!(distance(&logits, &expected) < 1e-5, "{case} {isa:?} logits: {}", distance(&logits, &expected));

            let scale = 1.0 / labelled.len() as f32;
            let loss = executor.forward_backward(&batch, StepKey::default(), scale).unwrap() * f64::from(scale);
            assert!((loss / f64::from(golden.floats("loss")[0]) - 1.0).abs() < 1e-5, "{case} {isa:?} loss {loss}");
            let nats = executor.evaluate(&batch).unwrap();
            let mean = nats.iter().map(|nats| f64::from(*nats)).sum::<f64>() / nats.len() as f64;
            assert!((mean / loss - 1.0).abs() < 1e-6, "{case} {isa:?}: evaluation {mean}, training {loss}");

            // The gradient of a key's bias is zero but for rounding: compared on the scale of the whole qkv bias.
            for (index, spec) in executor.specs().to_vec().iter().enumerate() {
                let expected = golden.joined("grad.", &spec.name);
                let far = distance(executor.gradient(index), &expected);
                assert!(far < 2e-5, "{case} {isa:?} gradient of {}: {far}", spec.name);
            }
        }
    }
}

/// transformers' linear schedule with 3 warmup steps of 10.
fn learning_rate(step: usize) -> f32 {
    1e-3 * if step < 3 { step as f32 / 3.0 } else { (STEPS - step) as f32 / (STEPS - 3) as f32 }
}

fn ten_steps(executor: &mut Executor, batch: &Batch) -> (Vec<f32>, Vec<f32>) {
    let scale = 1.0 / batch.labels.len() as f32;
    let step = |step: usize| {
        executor.zero_gradients();
        let loss = executor.forward_backward(batch, StepKey::default(), scale).unwrap() as f32 * scale;
        let norm = executor.optimizer_step(&AdamW {
            lr: learning_rate(step),
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-6,
            weight_decay: 0.01,
            max_grad_norm: Some(1.0),
            step: step as u64 + 1,
        });
        (loss, norm)
    };
    (0..STEPS).map(step).unzip()
}

#[test]
fn ten_adamw_steps_are_those_of_pytorch_in_f32() {
    for case in ["bert-3mer", "bert-odd"] {
        let golden = Golden::open(case);
        let (batch, _) = golden.batch();
        for isa in &machines() {
            let mut executor = golden.executor(Precision::F32, isa);
            let (losses, norms) = ten_steps(&mut executor, &batch);
            assert!(distance(&losses, &golden.floats("step_losses")) < 2e-5, "{case} {isa:?}: {losses:?}");
            assert!(distance(&norms, &golden.floats("step_norms")) < 1e-4, "{case} {isa:?}: {norms:?}");
            for (index, spec) in executor.specs().to_vec().iter().enumerate() {
                if golden.has(&format!("final.{}", spec.name)) {
                    let far = distance(executor.param(index), &golden.joined("final.", &spec.name));
                    assert!(far < 2e-3, "{case} {isa:?} {} after ten steps: {far}", spec.name);
                }
            }
        }
    }
}

#[test]
fn bf16_stays_near_f32_over_ten_steps() {
    for case in ["bert-3mer", "bert-odd"] {
        let golden = Golden::open(case);
        let (batch, _) = golden.batch();
        for isa in &machines() {
            let mut executor = golden.executor(Precision::Bf16, isa);
            let (losses, _) = ten_steps(&mut executor, &batch);
            let far = distance(&losses, &golden.floats("step_losses"));
            assert!(far < 0.02, "{case} {isa:?}: {losses:?}");
            assert!(far > 0.0, "{case} {isa:?}: bf16 equals f32 to the last bit, so it is not bf16");
        }
    }
}

#[test]
fn sequences_do_not_see_their_batch_mates() {
    let golden = Golden::open("bert-3mer");
    let (batch, _) = golden.batch();
    let mut executor = golden.executor(Precision::F32, Isa::detect().unwrap());
    let together = executor.evaluate(&batch).unwrap();
    let mut alone = Vec::new();
    for pair in batch.offsets.windows(2) {
        let mut one = Batch::default();
        let rows = pair[0]..pair[1];
        let targets = batch.masked_rows.iter().zip(&batch.labels).filter(|(row, _)| rows.contains(row));
        let ids = &batch.input_ids[pair[0] as usize..pair[1] as usize];
        one.push(ids.iter().copied(), targets.map(|(row, label)| (row - pair[0], *label)));
        alone.extend(executor.evaluate(&one).unwrap());
    }
    assert_eq!(together, alone);
}

#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    let golden = Golden::open("bert-3mer");
    let (batch, _) = golden.batch();
    let with_threads = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut executor = golden.executor(Precision::Bf16, Isa::detect().unwrap());
            executor.forward_backward(&batch, StepKey { seed: 1, step: 2, micro_step: 3 }, 0.01).unwrap();
            (0..executor.specs().len()).map(|index| executor.gradient(index).to_vec()).collect::<Vec<_>>()
        })
    };
    let one = with_threads(1);
    assert_eq!(one, with_threads(2));
    assert_eq!(one, with_threads(5));
}

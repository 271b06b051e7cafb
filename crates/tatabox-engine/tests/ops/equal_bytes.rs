//! What must be equal to the last bit: runs, numbers of threads, executors that were used before, orders of sequences.

use crate::SIZES;
use crate::twin::check::{capacity, devices, executor};
use crate::twin::model::{KEY, Sizes, batch, bert, weights};
use tatabox_engine::{Batch, Capacity, Executor, Precision, StepKey};

const BOTH: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// The loss and all gradients of one pass, as bits.
fn pass(executor: &mut Executor, batch: &Batch, key: StepKey) -> (u64, Vec<Vec<u32>>) {
    executor.zero_gradients();
    let loss = executor.forward_backward(batch, key, 0.5).unwrap();
    let bits = |index: usize| executor.gradient(index).iter().map(|value| value.to_bits()).collect();
    (loss.to_bits(), (0..executor.specs().len()).map(bits).collect())
}

#[test]
fn a_step_key_gives_the_same_bytes_every_time_and_another_key_others() {
    let (twin, batch) = (bert(SIZES), batch(SIZES, &[30, 1, 140], 3));
    for isa in &devices() {
        for precision in BOTH {
            let mut executor = executor(&twin, &weights(&twin, 3), capacity(&batch), precision, isa);
            let first = pass(&mut executor, &batch, KEY);
            for _ in 0..9 {
                assert!(pass(&mut executor, &batch, KEY) == first, "{isa:?} {precision}");
            }
            for other in [
                StepKey { seed: KEY.seed + 1, ..KEY },
                StepKey { step: KEY.step + 1, ..KEY },
                StepKey { micro_step: KEY.micro_step + 1, ..KEY },
            ] {
                assert!(pass(&mut executor, &batch, other).0 != first.0, "{isa:?} {precision} {other:?}");
            }
        }
    }
}

#[test]
fn one_two_and_five_threads_give_the_same_bytes() {
    let sizes = Sizes { heads: 3, dim: 22, vocabulary: 300, inner: 130, ..SIZES };
    let (twin, batch) = (bert(sizes), batch(sizes, &[130, 3, 64, 65, 1], 3));
    for isa in &devices() {
        for precision in BOTH {
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    pass(&mut executor(&twin, &weights(&twin, 3), capacity(&batch), precision, isa), &batch, KEY)
                })
            };
            let one = with(1);
            assert!(with(2) == one && with(5) == one, "{isa:?} {precision}");
        }
    }
}

#[test]
fn nothing_of_a_large_batch_is_left_in_a_small_one() {
    let large = batch(SIZES, &[60, 150, 31], 2);
    let smalls = [batch(SIZES, &[3, 1], 2), batch(SIZES, &[1], 0), batch(SIZES, &[40, 17], 6)];
    let twin = bert(Sizes { layers: 2, ..SIZES });
    let weights = weights(&twin, 3);
    for isa in &devices() {
        for precision in BOTH {
            let capacity = capacity(&large);
            let mut used = executor(&twin, &weights, capacity, precision, isa);
            for small in &smalls {
                pass(&mut used, &large, KEY);
                let mut fresh = executor(&twin, &weights, capacity, precision, isa);
                assert!(pass(&mut used, small, KEY) == pass(&mut fresh, small, KEY), "{isa:?} {precision}");
                used.evaluate(&large).unwrap();
                assert_eq!(used.evaluate(small), fresh.evaluate(small), "{isa:?} {precision}");
                used.logits(&large).unwrap();
                assert_eq!(used.logits(small), fresh.logits(small), "{isa:?} {precision}");
            }
        }
    }
}

#[test]
fn the_order_of_sequences_changes_no_loss() {
    let lengths = [5usize, 1, 70, 16, 131];
    let forward = batch(SIZES, &lengths, 3);
    let (mut backward, mut expected_order) = (Batch::default(), Vec::new());
    for sequence in (0..lengths.len()).rev() {
        let rows = forward.offsets[sequence]..forward.offsets[sequence + 1];
        let guessed: Vec<usize> =
            (0..forward.labels.len()).filter(|index| rows.contains(&forward.masked_rows[*index])).collect();
        let target = |index: &usize| (forward.masked_rows[*index] - rows.start, forward.labels[*index]);
        let ids = &forward.input_ids[rows.start as usize..rows.end as usize];
        backward.push(ids.iter().copied(), guessed.iter().map(target).collect::<Vec<_>>());
        expected_order.extend(guessed);
    }
    let twin = bert(SIZES);
    for isa in &devices() {
        for precision in BOTH {
            let mut executor = executor(&twin, &weights(&twin, 3), capacity(&forward), precision, isa);
            let losses = executor.evaluate(&forward).unwrap();
            let expected: Vec<f32> = expected_order.iter().map(|index| losses[*index]).collect();
            assert_eq!(executor.evaluate(&backward).unwrap(), expected, "{isa:?} {precision}");
        }
    }
}

#[test]
fn room_that_is_not_used_changes_nothing() {
    let (twin, batch) = (bert(SIZES), batch(SIZES, &[20, 3], 3));
    let roomy = Capacity { tokens: 999, masked: 500, sequences: 70 };
    for isa in &devices() {
        for precision in BOTH {
            let of = |capacity| pass(&mut executor(&twin, &weights(&twin, 3), capacity, precision, isa), &batch, KEY);
            assert!(of(roomy) == of(capacity(&batch)), "{isa:?} {precision}");
        }
    }
}

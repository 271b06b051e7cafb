//! What is special about GPUs; the ops themselves are tested on them as on the processor, by `tests/ops`.

#[path = "../twin/mod.rs"]
mod twin;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use half::bf16;
use tatabox_engine::cuda::{Gpu, KernelCompiler, KernelSource, Places};
use tatabox_engine::{AdamW, Batch, Capacity, Device, Error, Executor, Isa, Mode, Objective, Precision, StepKey};
use twin::Twin;
use twin::check::{capacity, executor};
use twin::emulated::{self, skipped};
use twin::model::{KEY, Sizes, batch, bert, examples, weights};

const SIZES: Sizes = Sizes { vocabulary: 23, positions: 300, heads: 2, dim: 8, inner: 21, layers: 2, dropout: 0.2 };

/// NVRTC: this machine's, or PyPI's.
fn compiler() -> Option<KernelCompiler> {
    let cache = None;
    if let Ok(compiler) = KernelCompiler::open(&Places { cache: cache.clone(), ..Places::from_environment() }, None) {
        return Some(compiler);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda/nvrtc.py");
    // Without a network, pip would try again for minutes.
    let output = Command::new("python3").arg(script).env("PIP_RETRIES", "1").env("PIP_DEFAULT_TIMEOUT", "15").output();
    let why = match output {
        Ok(output) if output.status.success() => {
            let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
            return Some(KernelCompiler::open(&Places { libraries: vec![folder], cache }, None).unwrap());
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_string(),
        Err(error) => format!("python3 does not start: {error}"),
    };
    skipped(&format!("the kernels are not compiled for GPUs, there is no NVRTC: {why}"));
    None
}

#[test]
fn every_kernel_compiles_for_three_generations_of_cards() {
    let Some(compiler) = compiler() else { return };
    let mut sources = vec![KernelSource::Rows];
    sources.extend([16, 32, 64, 128].map(KernelSource::Attention));
    for capability in [80, 90, 100] {
        for precision in [Precision::F32, Precision::Bf16] {
            for &source in &sources {
                // The heads of published models on all; the others once.
                if capability != 90 && matches!(source, KernelSource::Attention(head) if head != 64) {
                    continue;
                }
                let image = compiler.compile(source, precision, capability).unwrap_or_else(|error| panic!("{error}"));
                assert!(image.starts_with(b"\x7fELF"), "{source:?} {precision} {capability}: no machine code");
            }
        }
    }
}

/// A step of AdamW.
fn adamw(step: u64) -> AdamW {
    AdamW { lr: 0.01, beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.1, max_grad_norm: Some(1.0), step }
}

/// Losses of some steps; batches differ in their lengths, so that launches are recorded, repeated, and made anew.
fn train(executor: &mut Executor, steps: std::ops::RangeInclusive<u64>) -> Vec<f64> {
    let of_step = |step: u64| {
        let lengths = [[9usize, 4, 17], [9, 4, 17], [30, 1, 2]][step as usize % 3];
        batch(SIZES, &lengths, 2)
    };
    steps
        .map(|step| {
            let batch = of_step(step);
            executor.zero_gradients();
            let scale = 1.0 / batch.labels.len() as f32;
            let loss = executor.forward_backward(&batch, StepKey { step, ..KEY }, scale).unwrap();
            executor.optimizer_step(&adamw(step));
            loss * f64::from(scale)
        })
        .collect()
}

const ROOM: Capacity = Capacity { tokens: 40, masked: 40, sequences: 3 };

fn on(device: &Device, precision: Precision) -> Executor {
    let twin = bert(SIZES);
    executor(&twin, &weights(&twin, 3), ROOM, precision, device)
}

#[test]
fn twenty_steps_lose_the_same_on_cpu_and_gpu() {
    for gpu in emulated::gpus() {
        let cpu = train(&mut on(&Isa::Portable.into(), Precision::F32), 1..=20);
        let there = train(&mut on(&Device::Cuda(gpu.clone()), Precision::F32), 1..=20);
        for (step, (ours, theirs)) in cpu.iter().zip(&there).enumerate() {
            assert!((ours - theirs).abs() < 1e-4 * ours.abs(), "step {step}: {ours} on the CPU, {theirs} on {gpu:?}");
        }
        assert!(cpu[19] < cpu[1], "{cpu:?}");
    }
}

#[test]
fn a_run_goes_on_where_it_stopped_on_the_same_device_and_on_another() {
    let copy = |from: &Executor, to: &mut Executor| {
        for index in 0..from.specs().len() {
            to.set_param(index, from.param(index));
            let (first, second) = from.moments(index);
            to.set_moments(index, first, second);
        }
    };
    for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut whole = on(&gpu, precision);
            let all = train(&mut whole, 1..=6);
            let mut first = on(&gpu, precision);
            train(&mut first, 1..=3);
            let mut second = on(&gpu, precision);
            copy(&first, &mut second);
            assert_eq!(train(&mut second, 4..=6), all[3..], "{gpu:?} {precision}");
            assert!((0..whole.specs().len()).all(|index| whole.param(index) == second.param(index)));
            let mut elsewhere = on(&Isa::Portable.into(), precision);
            copy(&first, &mut elsewhere);
            let tolerance = if precision == Precision::F32 { 1e-4 } else { 0.05 };
            for (ours, theirs) in train(&mut elsewhere, 4..=6).iter().zip(&all[3..]) {
                assert!((ours - theirs).abs() < tolerance * ours.abs(), "{precision}: {ours} {theirs}");
            }
        }
    }
}

#[test]
fn ten_runs_have_the_same_bytes() {
    for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
        for precision in [Precision::F32, Precision::Bf16] {
            let run = || {
                let mut executor = on(&gpu, precision);
                let losses = train(&mut executor, 1..=3);
                let weights: Vec<Vec<f32>> =
                    (0..executor.specs().len()).map(|index| executor.param(index).to_vec()).collect();
                (losses, weights)
            };
            let first = run();
            (1..10).for_each(|_| assert!(run() == first, "{gpu:?} {precision}"));
        }
    }
}

#[test]
fn batches_that_are_prepared_change_no_byte() {
    let batches = [[9usize, 4, 17], [9, 4, 17], [30, 1, 2], [5, 9, 9]].map(|lengths| batch(SIZES, &lengths, 2));
    let scale = |batch: &Batch| 1.0 / batch.labels.len() as f32;
    let run = |gpu: &Device, between: &mut dyn FnMut(&mut Executor, u64)| {
        let mut executor = on(gpu, Precision::F32);
        let losses: Vec<f64> = (0..8)
            .map(|step: u64| {
                let batch = &batches[step as usize % 4];
                executor.zero_gradients();
                let loss = executor.forward_backward(batch, StepKey { step, ..KEY }, scale(batch)).unwrap();
                between(&mut executor, step + 1);
                executor.optimizer_step(&adamw(step + 1));
                loss
            })
            .collect();
        let weights: Vec<Vec<f32>> = (0..executor.specs().len()).map(|index| executor.param(index).to_vec()).collect();
        (losses, weights)
    };
    for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
        let prepare = |executor: &mut Executor, step: u64, of: usize| {
            executor.prepare(&batches[of % 4], StepKey { step, ..KEY }, scale(&batches[step as usize % 4])).unwrap();
        };
        let plain = run(&gpu, &mut |_, _| ());
        assert!(run(&gpu, &mut |executor, step| prepare(executor, step, step as usize)) == plain, "{gpu:?}");
        // Another batch than comes, another step, and something in between: it is made anew.
        assert!(run(&gpu, &mut |executor, step| prepare(executor, step, step as usize + 1)) == plain, "{gpu:?}");
        assert!(run(&gpu, &mut |executor, step| prepare(executor, step + 4, step as usize)) == plain, "{gpu:?}");
        let evaluated = run(&gpu, &mut |executor, step| {
            prepare(executor, step, step as usize);
            executor.evaluate(&batches[2]).unwrap();
        });
        assert!(evaluated == plain, "{gpu:?}");
    }
}

#[test]
fn an_evaluating_executor_equals_the_training_one_without_its_gradients() {
    for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
        let (twin, batch) = (bert(SIZES), batch(SIZES, &[70, 1, 30], 3));
        let weights = weights(&twin, 3);
        let mut training = executor(&twin, &weights, capacity(&batch), Precision::Bf16, &gpu);
        let mut evaluating =
            Executor::on(&gpu, twin.graph.clone(), capacity(&batch), Precision::Bf16, Mode::Evaluate).unwrap();
        weights.iter().enumerate().for_each(|(index, values)| evaluating.set_param(index, values));
        for _ in 0..3 {
            assert_eq!(training.evaluate(&batch), evaluating.evaluate(&batch));
            assert_eq!(training.logits(&batch), evaluating.logits(&batch));
        }
    }
}

#[test]
fn a_profile_has_the_time_of_every_op_and_changes_no_number() {
    for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
        let batch = batch(SIZES, &[9, 4, 17], 2);
        let mut executor = on(&gpu, Precision::F32);
        let plain = executor.forward_backward(&batch, KEY, 1.0).unwrap();
        let gradient = executor.gradient(0).to_vec();
        assert!(executor.profile().iter().all(|op| op.forward_s == 0.0));
        executor.set_profiling(true);
        executor.reset_profile();
        executor.zero_gradients();
        assert_eq!(executor.forward_backward(&batch, KEY, 1.0).unwrap(), plain);
        assert_eq!(executor.gradient(0), gradient);
        executor.optimizer_step(&adamw(1));
        let profile = executor.profile();
        for op in ["embeddings", "linear", "attention", "adamw"] {
            let time = profile.iter().find(|time| time.op == op).unwrap_or_else(|| panic!("{op}: {profile:?}"));
            assert!(time.forward_s > 0.0, "{time:?}");
        }
    }
}

/// The same models, as they predict: each call that answers has its time, forward alone, and the operations of the processor's profile.
#[test]
fn a_profile_has_the_time_of_predictions() {
    for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
        let (graph, batch) = (bert(SIZES).graph, batch(SIZES, &[9, 4, 17], 2));
        let evaluating =
            |device: &Device| Executor::on(device, graph.clone(), ROOM, Precision::F32, Mode::Evaluate).unwrap();
        let (mut there, mut here) = (evaluating(&gpu), evaluating(&Isa::Portable.into()));
        let (plain, logits) = (there.evaluate(&batch).unwrap(), there.logits(&batch).unwrap());
        here.evaluate(&batch).unwrap();
        there.set_profiling(true);
        for which in ["evaluate", "logits"] {
            there.reset_profile();
            match which {
                "evaluate" => assert_eq!(there.evaluate(&batch).unwrap(), plain),
                _ => assert_eq!(there.logits(&batch).unwrap(), logits),
            }
            for op in here.profile() {
                let profile = there.profile();
                let time =
                    profile.iter().find(|time| time.op == op.op).unwrap_or_else(|| panic!("{op:?}: {profile:?}"));
                assert!(time.forward_s > 0.0 && time.backward_s == 0.0, "{which}: {time:?}");
                assert_eq!(time.matrix_flops, op.matrix_flops, "{which}: {}", op.op);
            }
        }
    }
}

/// A word to the emulated card, or a count of it; of this thread alone.
#[expect(unsafe_code, reason = "the emulated card is a library of C++")]
fn card(word: &str) -> u64 {
    type Word = unsafe extern "C" fn() -> u64;
    // SAFETY: functions of `emulated/driver.cpp`, which is loaded already and stays so.
    unsafe {
        let library = libloading::Library::new(emulated::folder().join("libcuda.so.1")).unwrap();
        library.get::<Word>(format!("emulated_{word}").as_bytes()).unwrap()()
    }
}

#[test]
fn a_bias_that_no_algorithm_adds_is_there_all_the_same() {
    // Rows of 21 numbers, odd and no multiple of 8; of 20, which bf16 alone minds; and the head's f32 bias on bf16.
    let gpus: Vec<Device> = emulated::emulated().into_iter().map(Device::Cuda).collect();
    for inner in [21, 20] {
        let sizes = Sizes { inner, layers: 1, ..SIZES };
        twin::check::check(&format!("a bias of {inner}"), &bert(sizes), &batch(sizes, &[9, 4], 3), &gpus);
    }
}

#[test]
fn a_product_without_any_algorithm_is_an_error_that_names_its_sizes() {
    for gpu in emulated::emulated().into_iter().map(Device::Cuda) {
        let sizes = Sizes { inner: 1009, layers: 1, ..SIZES };
        let mut executor = Executor::on(&gpu, bert(sizes).graph, ROOM, Precision::Bf16, Mode::Evaluate).unwrap();
        executor.initialize(3);
        let error = executor.evaluate(&batch(sizes, &[9, 7], 3)).unwrap_err();
        let expected = "cuBLASLt multiplies no [16, 1009] by [1009, 16] (bf16 to bf16, with a bias)";
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn sizes_that_refuse_the_algorithm_of_their_like_are_decided_once() {
    for gpu in emulated::emulated().into_iter().map(Device::Cuda) {
        // The merged matrices are products of depth 13: 33 and 34 rows go by one algorithm, which the emulated card has for no two of them.
        let mut twin = bert(SIZES);
        let updated: Vec<usize> = ["0.qkv.weight", "1.qkv.weight"]
            .map(|name| twin.graph.params().iter().position(|spec| spec.name == name).unwrap())
            .to_vec();
        twin.low_rank(updated[0], 0..33, 13, 2.0);
        twin.low_rank(updated[1], 0..34, 13, 2.0);
        let weights = weights(&twin, 3);
        let mut there = executor(&twin, &weights, ROOM, Precision::F32, &gpu);
        let here = executor(&twin, &weights, ROOM, Precision::F32, Isa::Portable);
        let asked = card("asked");
        (0..3).for_each(|_| there.set_param(updated[0], &weights[updated[0]]));
        assert_eq!(card("asked"), asked, "algorithms are measured again");
        for index in updated {
            let pairs = there.effective(index).iter().zip(here.effective(index));
            assert!(pairs.clone().all(|(there, here)| (there - here).abs() < 1e-4), "{index}");
        }
    }
}

#[test]
fn a_card_that_fails_is_an_error_and_no_panic() {
    for gpu in emulated::emulated().into_iter().map(Device::Cuda) {
        let batch = batch(SIZES, &[9, 4, 17], 2);
        for ask in 0..4 {
            let mut executor = on(&gpu, Precision::F32);
            executor.forward_backward(&batch, KEY, 1.0).unwrap();
            card("break");
            // Nothing that could be taken for weights.
            let len = executor.specs()[0].len();
            let read = executor.param(0).to_vec();
            card("mend");
            assert!(read.len() == len && read.iter().all(|value| value.is_nan()), "{read:?}");
            let error = match ask {
                0 => executor.finish().unwrap_err(),
                1 => executor.forward_backward(&batch, KEY, 1.0).unwrap_err(),
                2 => executor.check().unwrap_err(),
                _ => executor.evaluate(&batch).unwrap_err(),
            };
            assert!(error.to_string().contains("copying from the GPU failed"), "{error}");
            // Said once; and what was not read is no more kept than any other number.
            executor.finish().unwrap();
            executor.zero_gradients();
            assert!(executor.param(0).iter().all(|value| value.is_finite()));
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a file of this test alone")]
fn a_damaged_kernel_in_the_cache_is_compiled_again() {
    let Some(places) = emulated::places() else { return };
    let cache = emulated::folder().join("damaged");
    let _ = std::fs::remove_dir_all(&cache);
    let compiler = KernelCompiler::open(&Places { cache: Some(cache.clone()), ..places }, None).unwrap();
    let compile = || compiler.compile(KernelSource::Attention(16), Precision::F32, 80).unwrap();
    let image = compile();
    let file = std::fs::read_dir(cache.join("kernels")).unwrap().next().unwrap().unwrap().path();
    let written = std::fs::read(&file).unwrap();
    std::fs::write(&file, &written[..written.len() / 2]).unwrap();
    assert_eq!(compile().len(), image.len());
    assert_eq!(std::fs::read(&file).unwrap().len(), written.len());
}

#[test]
fn an_example_of_any_number_of_windows_is_pooled_as_on_the_processor() {
    // 8 bytes a window were more than a block's shared memory from 6,145 windows on.
    let windows = 6200;
    let sizes = Sizes { positions: 1, dim: 4, ..SIZES };
    for pooling in ["mean", "attention"] {
        let mut twin = Twin::default();
        let hidden = sizes.hidden();
        let tables = [("word", sizes.vocabulary), ("position", 1), ("token_type", 2)];
        let tables = tables.map(|(name, rows)| twin.matrix(name, rows, hidden));
        let norm = twin.norm_params("embeddings", hidden);
        let x = twin.embeddings(tables, norm, hidden, 0.0);
        let x = twin.first_rows(x);
        let x = twin.pool(x, pooling);
        twin.loss(x, 2, Objective::PLAIN);
        let (batch, weights) = (examples(sizes, &vec![1; windows], windows, 2), weights(&twin, 3));
        let run = |device: &Device| {
            let mut executor = executor(&twin, &weights, capacity(&batch), Precision::F32, device);
            let losses = executor.evaluate(&batch).unwrap();
            executor.forward_backward(&batch, KEY, 1.0).unwrap();
            let gradients: Vec<f32> = (0..weights.len()).flat_map(|index| executor.gradient(index).to_vec()).collect();
            (losses, gradients)
        };
        let here = run(&Isa::Portable.into());
        for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
            let there = run(&gpu);
            for (ours, theirs) in here.0.iter().chain(&here.1).zip(there.0.iter().chain(&there.1)) {
                assert!((ours - theirs).abs() < 1e-4 * (1.0 + ours.abs()), "{pooling}: {ours} on the CPU, {theirs}");
            }
        }
    }
}

#[test]
fn memory_is_taken_when_an_executor_is_made_and_as_planned() {
    let Some(places) = emulated::places() else { return };
    // Kernels are there, but no product has been measured yet.
    let cache = emulated::folder().join("unmeasured");
    let _ = std::fs::remove_dir_all(&cache);
    std::fs::create_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink(places.cache.as_ref().unwrap().join("kernels"), cache.join("kernels")).unwrap();
    let gpu = Gpu::open(0, &Places { cache: Some(cache), ..places }).unwrap();
    let (device, graph, room) = (Device::Cuda(gpu), bert(SIZES).graph, Capacity { tokens: 4096, ..ROOM });
    let planned = device.memory(&graph, &room, Precision::F32, Mode::Train).unwrap().total() as u64;
    let before = card("taken");
    let mut executor = Executor::on(&device, graph, room, Precision::F32, Mode::Train).unwrap();
    executor.initialize(3);
    let taken = card("taken") - before;
    assert!(taken >= planned && taken < planned + planned / 100, "{taken} bytes are taken, {planned} were planned");
    executor.forward_backward(&batch(SIZES, &[9, 4, 17], 2), KEY, 1.0).unwrap();
    executor.finish().unwrap();
    assert_eq!(card("taken"), before + taken, "a step takes memory");
}

#[test]
fn what_does_not_fit_the_card_is_an_error_that_says_how_much() {
    for gpu in emulated::emulated().into_iter().map(Device::Cuda) {
        let room = Capacity { tokens: 1 << 26, masked: 1 << 20, sequences: 0 };
        let Err(error) = Executor::on(&gpu, bert(SIZES).graph, room, Precision::F32, Mode::Train) else {
            panic!("there is room for everything");
        };
        assert!(matches!(error, Error::GpuMemory { needed, .. } if needed > 1 << 30), "{error}");
        assert!(error.to_string().starts_with("the GPU has no room for activations: "), "{error}");
        // The card is as it was.
        on(&gpu, Precision::F32).forward_backward(&batch(SIZES, &[5], 1), KEY, 1.0).unwrap();
    }
}

#[test]
fn a_card_that_is_not_there_is_an_error_with_a_hint() {
    let Some(places) = emulated::places() else { return };
    let error = Gpu::open(3, &places).unwrap_err();
    assert_eq!(error.to_string(), "there is no GPU 3: the driver shows 1");
    let missing = Places { libraries: vec![PathBuf::from("/nowhere")], cache: None };
    if let Err(Error::Cuda { what, hint }) = Gpu::open(0, &missing) {
        assert!(what.contains("was not found") && !hint.is_empty(), "{what}: {hint}");
    }
}

#[test]
fn heads_of_any_width_and_sequences_of_any_length_equal_f64() {
    let gpus: Vec<Device> = emulated::gpus().into_iter().map(Device::Cuda).collect();
    for (dim, lengths) in [(22, &[65usize, 1][..]), (96, &[33]), (128, &[70, 3])] {
        let sizes = Sizes { heads: 1, dim, vocabulary: 9, layers: 1, ..SIZES };
        twin::check::check(&format!("heads of {dim}"), &bert(sizes), &batch(sizes, lengths, 3), &gpus);
    }
}

#[test]
fn rows_that_no_reader_wrote_are_never_read() {
    // Memory of the emulated card begins as NaN: a number that is read before it is written shows in the loss.
    for gpu in emulated::emulated().into_iter().map(Device::Cuda) {
        for batch in [batch(SIZES, &[1], 1), batch(SIZES, &[7, 1, 30], 0), Batch::default()] {
            let mut executor = on(&gpu, Precision::Bf16);
            match executor.forward_backward(&batch, KEY, 1.0) {
                Ok(loss) => assert!(loss.is_finite() && executor.optimizer_step(&adamw(1)).is_finite()),
                Err(error) => assert!(batch.input_ids.is_empty(), "{error}"),
            }
        }
    }
}

#[test]
fn bf16_on_the_card_rounds_as_bf16_on_the_processor() {
    // Weights of one layer, learning rate 0: what is read back is what was written, and the products see its nearest bf16.
    for gpu in emulated::gpus().into_iter().map(Device::Cuda) {
        let (twin, batch) = (bert(Sizes { dropout: 0.0, layers: 1, ..SIZES }), batch(SIZES, &[12], 2));
        let plain = weights(&twin, 3);
        let matrix = |index: usize| twin.graph.params()[index].shape.len() > 1;
        let rounded: Vec<Vec<f32>> = plain
            .iter()
            .enumerate()
            .map(|(index, values)| match matrix(index) && index > 2 {
                true => values.iter().map(|value| bf16::from_f32(*value).to_f32()).collect(),
                false => values.clone(),
            })
            .collect();
        let loss = |weights: &[Vec<f32>]| {
            executor(&twin, weights, capacity(&batch), Precision::Bf16, &gpu).evaluate(&batch).unwrap()
        };
        assert_eq!(loss(&plain), loss(&rounded));
    }
}

#[test]
fn two_executors_on_one_card_do_not_meet() {
    for gpu in emulated::gpus() {
        let of = |gpu: Arc<Gpu>| on(&Device::Cuda(gpu), Precision::F32);
        let (mut one, mut other) = (of(gpu.clone()), of(gpu.clone()));
        let alone = train(&mut of(gpu), 1..=4);
        let mut both = Vec::new();
        for step in 1..=4 {
            both.push(train(&mut one, step..=step)[0]);
            train(&mut other, step..=step);
        }
        assert_eq!(both, alone);
    }
}

#[test]
fn an_executor_goes_on_and_ends_on_another_thread() {
    for gpu in emulated::gpus() {
        let alone = train(&mut on(&Device::Cuda(gpu.clone()), Precision::Bf16), 1..=6);
        let mut executor = on(&Device::Cuda(gpu), Precision::Bf16);
        let mut losses = train(&mut executor, 1..=3);
        let elsewhere = std::thread::spawn(move || (train(&mut executor, 4..=6), executor)).join().unwrap();
        losses.extend(elsewhere.0);
        assert_eq!(losses, alone);
        std::thread::spawn(move || drop(elsewhere.1)).join().unwrap();
    }
}

#[test]
fn a_card_may_end_on_another_thread() {
    let places = if emulated::real_alone() { Some(Places::from_environment()) } else { emulated::places() };
    let Some(places) = places else { return };
    let gpu = Gpu::open(0, &places).unwrap();
    train(&mut on(&Device::Cuda(gpu.clone()), Precision::F32), 1..=2);
    std::thread::spawn(move || drop(gpu)).join().unwrap();
}

#[test]
fn what_is_dropped_in_the_middle_of_its_work_leaves_the_card_as_it_was() {
    for gpu in emulated::gpus() {
        let device = Device::Cuda(gpu.clone());
        let free = gpu.free_bytes().unwrap();
        let mut executor = on(&device, Precision::Bf16);
        train(&mut executor, 1..=2);
        executor.zero_gradients();
        drop(executor);
        assert_eq!(gpu.free_bytes().unwrap(), free, "{gpu:?}");
    }
}

/// A driver of the engine's functions that do nothing; in C, since what uses the library of C++ is never unloaded. None without a compiler.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "a file of this test alone")]
fn idle_driver() -> Option<PathBuf> {
    let folder = emulated::folder().join("idle");
    std::fs::create_dir_all(&folder).unwrap();
    let names = include_str!("../../src/cuda/driver.rs").split("= \"cu").skip(1);
    let functions = names.map(|rest| rest.split('"').next().unwrap()).map(|name| match name {
        "DriverGetVersion" => "int cuDriverGetVersion(int* version) { *version = 13000; return 0; }\n".to_string(),
        _ => format!("int cu{name}(void) {{ return 0; }}\n"),
    });
    std::fs::write(folder.join("idle.c"), functions.collect::<String>()).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let arguments = ["-shared", "-fPIC", "-o", "libcuda.so.1", "idle.c"];
    let output = Command::new(&compiler).args(arguments).current_dir(&folder).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

/// NVIDIA's libraries have threads of their own and do not survive it: `tatabox devices` opens every card and drops it.
#[test]
#[cfg(target_os = "linux")]
fn a_driver_that_was_opened_stays_loaded() {
    let Some(folder) = idle_driver() else { return skipped("a driver to unload, there is no C compiler") };
    let file = folder.join("libcuda.so.1");
    let places = Places { libraries: vec![folder], cache: None };
    assert_eq!(tatabox_engine::cuda::cards(&places), Ok(vec![]));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains(file.to_str().unwrap()), "it was unloaded");
}

//! The AMX path on any x86-64 processor with AVX-512 that runs Linux: where it has no tiles, they are emulated. Where it has, the real ones run.
//!
//! A program without a test harness, because the environment variable must be set before any thread starts.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod emulator;
#[path = "../twin/mod.rs"]
mod twin;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn main() {
    println!("skipped: AMX is of x86-64, and its emulation of Linux");
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn main() {
    tiles::main();
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles {
    use crate::emulator;
    use crate::twin::check::{capacity, check, executor};
    use crate::twin::model::{KEY, Sizes, batch, bert, draw, weights};
    use half::bf16;
    use std::sync::atomic::Ordering::Relaxed;
    use tatabox_engine::kernels::epilogue::Store;
    use tatabox_engine::kernels::gemm::Gemm;
    use tatabox_engine::kernels::pack::View;
    use tatabox_engine::philox::fill_normal;
    use tatabox_engine::{Isa, Precision};

    pub fn main() {
        if !cfg!(debug_assertions) {
            println!("skipped: a release build does not look for emulated tiles");
            return;
        }
        // Set by hand it has tiles emulated where there are real ones, too: the system lends these to who asks, and nobody then does.
        let is_real = processor_has_tiles() && std::env::var_os("TATABOX_AMX_EMULATED").is_none();
        if !is_real {
            emulator::install(processor_has_tiles());
            // SAFETY: no other thread runs yet.
            #[allow(unsafe_code)] // The process's own environment, before its first thread.
            unsafe {
                std::env::set_var("TATABOX_AMX_EMULATED", "1");
            }
        }
        if !Isa::Amx.is_available() {
            println!("skipped: no AVX-512, or tiles that the system does not lend");
            return;
        }
        println!("tiles are {}", if is_real { "the processor's own" } else { "emulated" });
        let tests: [(&str, fn()); 5] = [
            ("products_of_any_size_and_layout_equal_f64", products_of_any_size_and_layout_equal_f64),
            ("sums_beyond_what_bf16_holds_stay_exact", sums_beyond_what_bf16_holds_stay_exact),
            ("every_thread_of_any_pool_multiplies", every_thread_of_any_pool_multiplies),
            ("a_whole_model_equals_f64", a_whole_model_equals_f64),
            ("losses_and_gradients_are_near_those_of_other_paths", losses_and_gradients_are_near_those_of_other_paths),
        ];
        for (name, test) in tests {
            let before = emulator::PRODUCTS.load(Relaxed);
            test();
            let products = emulator::PRODUCTS.load(Relaxed) - before;
            assert!(is_real != (products > 0), "{name}: {products} tile products were emulated");
            println!("test {name} ... ok ({products} tile products emulated)");
        }
    }

    fn processor_has_tiles() -> bool {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        // Intel SDM: leaf 7, EDX bit 22 is AMX-BF16, bit 24 AMX-TILE.
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx >> 22 & 0b101 == 0b101
    }

    fn numbers(count: usize, seed: u64) -> Vec<bf16> {
        let mut values = vec![0f32; count];
        fill_normal(&mut values, 1.0, seed, 0);
        values.into_iter().map(bf16::from_f32).collect()
    }

    fn transposed(values: &[bf16], rows: usize, columns: usize) -> Vec<bf16> {
        (0..rows * columns).map(|index| values[index % rows * columns + index / rows]).collect()
    }

    const GAP: usize = 3;

    /// Rows `GAP` further apart, with what must not be read between them.
    fn spread(values: &[bf16], columns: usize) -> Vec<bf16> {
        let gap = [bf16::NAN; GAP];
        values.chunks(columns).flat_map(|row| row.iter().chain(&gap)).copied().collect()
    }

    /// A `[m, depth]` times B `[depth, n]` in all layouts, on this thread and on all.
    fn product_equals_f64(m: usize, n: usize, depth: usize) {
        let (a, b) = (numbers(m * depth, 1), numbers(depth * n, 2));
        let (at, bt) = (transposed(&a, m, depth), transposed(&b, depth, n));
        let mut expected = vec![0f64; m * n];
        for i in 0..m {
            for k in 0..depth {
                for j in 0..n {
                    expected[i * n + j] += a[i * depth + k].to_f64() * b[k * n + j].to_f64();
                }
            }
        }
        let far = spread(&a, depth);
        for a in
            [View::new(&a, m, depth, depth), View::new(&far, m, depth, depth + GAP), View::new(&at, depth, m, m).t()]
        {
            for b in [View::new(&b, depth, n, n), View::new(&bt, n, depth, depth).t()] {
                for parallel in [false, true] {
                    // Two more columns than C has, which must stay as they are.
                    let mut c = vec![f32::NAN; m * (n + 2)];
                    let (gemm, store) = (Gemm::new::<bf16>(Isa::Amx), Store::new(&mut c, n, n + 2));
                    if parallel {
                        gemm.parallel(a, b, store)
                    } else {
                        gemm.serial(a, b, store)
                    }
                    for (row, (got, expected)) in c.chunks(n + 2).zip(expected.chunks(n)).enumerate() {
                        assert!(got[n].is_nan() && got[n + 1].is_nan(), "{m}x{depth}x{n}: beyond row {row}");
                        for (column, (got, expected)) in got.iter().zip(expected).enumerate() {
                            let far = (f64::from(*got) - expected).abs();
                            assert!(
                                far < 1e-5 * (1.0 + depth as f64),
                                "{m}x{depth}x{n}: [{row}, {column}] {got}, {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    fn products_of_any_size_and_layout_equal_f64() {
        let edges = [
            (1, 1, 1),
            (1, 70, 33),
            (70, 1, 31),
            (32, 32, 32),
            (33, 31, 64),
            (69, 70, 64),
            (16, 48, 2),
            (600, 5, 40),
            (600, 40, 96),
            (3, 300, 97),
            (35, 700, 420),
        ];
        let drawn =
            (0..12).map(|index| (1 + draw(3 * index, 90), 1 + draw(3 * index + 1, 90), 1 + draw(3 * index + 2, 130)));
        edges.into_iter().chain(drawn).for_each(|(m, n, depth)| product_equals_f64(m, n, depth));
    }

    /// 257 ones: a sum that f32 holds and bf16 does not; and a tiny product beside a large one.
    fn sums_beyond_what_bf16_holds_stay_exact() {
        let ones = vec![bf16::ONE; 257];
        let mut c = [0f32];
        Gemm::new::<bf16>(Isa::Amx).serial(
            View::new(&ones, 1, 257, 257),
            View::new(&ones, 257, 1, 1),
            Store::new(&mut c, 1, 1),
        );
        assert_eq!(c, [257.0]);
        let tiny = [bf16::from_f32(1e-20), bf16::ONE];
        Gemm::new::<bf16>(Isa::Amx).serial(
            View::new(&tiny, 1, 2, 2),
            View::new(&tiny, 2, 1, 1),
            Store::new(&mut c, 1, 1),
        );
        assert_eq!(c, [1.0]);
    }

    fn every_thread_of_any_pool_multiplies() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.broadcast(|_| product_equals_f64(17, 35, 40));
            std::thread::scope(|scope| {
                scope.spawn(|| product_equals_f64(17, 35, 40));
            });
        }
    }

    const SIZES: Sizes =
        Sizes { vocabulary: 41, positions: 150, heads: 2, dim: 32, inner: 70, layers: 2, dropout: 0.1 };

    fn a_whole_model_equals_f64() {
        check("bert on tiles", &bert(SIZES), &batch(SIZES, &[13, 1, 64], 3), &[Isa::Amx]);
    }

    /// Loss and gradients of one pass.
    fn pass(isa: Isa) -> (f64, Vec<Vec<f32>>) {
        let (twin, batch) = (bert(SIZES), batch(SIZES, &[90, 1, 35, 64], 4));
        let mut executor = executor(&twin, &weights(&twin, 3), capacity(&batch), Precision::Bf16, isa);
        let loss = executor.forward_backward(&batch, KEY, 1.0).unwrap();
        (loss, (0..executor.specs().len()).map(|index| executor.gradient(index).to_vec()).collect())
    }

    fn losses_and_gradients_are_near_those_of_other_paths() {
        let (loss, gradients) = pass(Isa::Amx);
        assert_eq!(pass(Isa::Amx), (loss, gradients.clone()), "the same bytes again");
        for other in [Isa::Portable, Isa::Avx2, Isa::Avx512] {
            let (other_loss, other_gradients) = pass(other);
            assert!((loss / other_loss - 1.0).abs() < 5e-3, "{other:?}: loss {loss}, {other_loss}");
            for (index, (got, expected)) in gradients.iter().zip(&other_gradients).enumerate() {
                let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                for (element, (got, expected)) in got.iter().zip(expected).enumerate() {
                    assert!(
                        (got - expected).abs() <= 2e-2 * largest,
                        "{other:?} parameter {index}[{element}]: {got}, {expected}"
                    );
                }
            }
        }
    }
}

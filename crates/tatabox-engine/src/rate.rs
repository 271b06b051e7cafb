//! How fast this machine multiplies matrices: what the speed of a training step is compared with.

use crate::element::{Element, Precision};
use crate::isa::Isa;
use crate::kernels::epilogue::Store;
use crate::kernels::gemm::Gemm;
use crate::kernels::pack::View;
use half::bf16;
use std::time::{Duration, Instant};

/// Floating-point operations a second of the best of several large products on all threads of the current pool, with the kernels of `isa`.
pub fn matrix_rate(precision: Precision, isa: Isa) -> f64 {
    match precision {
        Precision::F32 => measure::<f32>(isa),
        Precision::Bf16 => measure::<bf16>(isa),
    }
}

fn measure<E: Element>(isa: Isa) -> f64 {
    const ROWS: usize = 2048;
    const SIDE: usize = 768;
    const LONG_ENOUGH: Duration = Duration::from_millis(300);
    let gemm = Gemm::new::<E>(isa);
    let a = vec![E::from_f32(1.0); ROWS * SIDE];
    let b = vec![E::from_f32(0.01); SIDE * SIDE];
    let mut c = vec![E::default(); ROWS * SIDE];
    let (mut best, start) = (f64::INFINITY, Instant::now());
    while start.elapsed() < LONG_ENOUGH {
        let start = Instant::now();
        gemm.parallel(View::new(&a, ROWS, SIDE, SIDE), View::new(&b, SIDE, SIDE, SIDE), Store::new(&mut c, SIDE, SIDE));
        best = best.min(start.elapsed().as_secs_f64());
    }
    Gemm::flops(ROWS, SIDE, SIDE) as f64 / best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_positive_number_for_every_kernel() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            assert!(matrix_rate(Precision::Bf16, isa) > 1e6);
        }
    }
}

//! Elementary functions without branches or calls, so that loops over them become vector code.

/// `a * b + c`, rounded once where the processor has an instruction for it.
#[inline(always)]
fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial by Horner's rule, the highest power first.
#[inline(always)]
fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = coefficients[0];
    for power in 1..N {
        value = fused::<FMA>(value, x, coefficients[power]);
    }
    value
}

/// e^x, relative error below 2e-7; 0 below -87.3, finite above 88.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // Cody and Waite: x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 split in two so that n ln 2 is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // Minimax polynomial of Cephes' expf (S. Moshier), of (e^r - 1 - r) / r^2.
    const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1];
    let clamped = x.clamp(-87.3, 88.0);
    let shifted = fused::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fused::<FMA>(n, -LN2_LOW, fused::<FMA>(n, -LN2_HIGH, clamped));
    let p = fused::<FMA>(polynomial::<FMA, 6>(r, POLYNOMIAL), r * r, r) + 1.0;
    // 2^n by its bits; the low bits of `shifted` are n. A conversion of n to an integer would saturate, and not become vector code.
    let power = f32::from_bits((shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    let value = p * power;
    if x < -87.3 { 0.0 } else { value }
}

/// The error function, absolute error below 2e-7 (rational approximation of Eigen's `generic_fast_erf_float`).
#[inline(always)]
pub fn erf<const FMA: bool>(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_5e-5,
        -7.349_906_5e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const BELOW: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    x * polynomial::<FMA, 7>(s, ABOVE) / polynomial::<FMA, 5>(s, BELOW)
}

/// The exact GELU: x times the normal distribution function of x (Hendrycks and Gimpel 2016; Hugging Face's `gelu`).
#[inline(always)]
pub fn gelu<const FMA: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The derivative of [`gelu`].
#[inline(always)]
pub fn gelu_derivative<const FMA: bool>(x: f32) -> f32 {
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    0.5 * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2)) + x * INV_SQRT_TAU * exp::<FMA>(-0.5 * x * x)
}

/// Numbers that a sum keeps apart until its end: enough for any vector width, and the same order on all.
pub const LANES: usize = 16;

/// A sum over the elements of slices of one length, in an order that only the length decides.
#[inline(always)]
pub fn sum<T: Copy, const N: usize>(slices: [&[T]; N], value: impl Fn([T; N]) -> f32) -> f32 {
    let len = slices[0].len();
    let slices = slices.map(|slice| slice[..len].as_chunks::<LANES>());
    // Blocks of a length that the compiler knows: an index into the slices themselves would be checked, one by one.
    let whole = slices[0].0.len();
    let (blocks, ends) = (slices.map(|(blocks, _)| &blocks[..whole]), slices.map(|(_, end)| end));
    let mut lanes = [0f32; LANES];
    for block in 0..whole {
        for lane in 0..LANES {
            lanes[lane] += value(blocks.map(|blocks| blocks[block][lane]));
        }
    }
    let mut rest = [0f32; LANES];
    for lane in 0..len % LANES {
        rest[lane] = value(ends.map(|end| end[lane]));
    }
    fold(&lanes, &rest)
}

/// The end of [`sum`]. Not inlined: seen together with it, the loop above becomes scalar code.
#[inline(never)]
fn fold(lanes: &[f32; LANES], rest: &[f32; LANES]) -> f32 {
    let mut lanes = *lanes;
    for lane in 0..LANES {
        lanes[lane] += rest[lane];
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

/// The largest of a slice; minus infinity for none.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    rest.iter().chain(&lanes).fold(f32::NEG_INFINITY, |largest, value| largest.max(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_two_units_in_ten_million() {
        for exp in [exp::<true>, exp::<false>] {
            for step in -870..880 {
                let x = step as f32 / 10.0 + 0.037;
                let expected = f64::from(x).exp();
                assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2e-7, "exp({x}) = {}", exp(x));
            }
            assert_eq!(exp(-100.0), 0.0);
            assert_eq!(exp(0.0), 1.0);
        }
    }

    /// erf by its Maclaurin series in f64, exact enough for |x| < 4.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut total) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            total += term / f64::from(2 * n + 1);
        }
        total * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn gelu_and_its_derivative_follow_the_error_function() {
        for step in -500..=500 {
            let x = f64::from(step) / 100.0;
            let cdf = 0.5 * (1.0 + erf_series(x / std::f64::consts::SQRT_2));
            let pdf = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            for gelu in [gelu::<true>, gelu::<false>] {
                assert!((f64::from(gelu(x as f32)) - x * cdf).abs() < 1e-6, "gelu({x})");
            }
            for derivative in [gelu_derivative::<true>, gelu_derivative::<false>] {
                assert!((f64::from(derivative(x as f32)) - (cdf + x * pdf)).abs() < 1e-6, "gelu'({x})");
            }
        }
    }

    #[test]
    fn gelu_far_out_is_its_argument_or_nothing() {
        for gelu in [gelu::<true>, gelu::<false>] {
            for x in [6.0, 10.0, 30.0, 1e4] {
                assert!((gelu(x) - x).abs() <= 1e-6 * x && gelu(-x).abs() <= 1e-6 * x, "gelu({x})");
            }
            assert!(gelu(f32::NAN).is_nan());
        }
        for derivative in [gelu_derivative::<true>, gelu_derivative::<false>] {
            for x in [6.0, 10.0, 30.0, 1e4] {
                assert!((derivative(x) - 1.0).abs() <= 1e-6 && derivative(-x).abs() <= 1e-6, "gelu'({x})");
            }
        }
    }

    #[test]
    fn sum_and_max_take_every_element() {
        for len in 0..70 {
            let values: Vec<f32> = (0..len).map(|index| ((index * 37) % 71) as f32).collect();
            assert_eq!(sum([&values], |[value]| value), values.iter().sum::<f32>());
            let squares = values.iter().map(|value| value * value).sum::<f32>();
            assert_eq!(sum([&values, &values], |[one, other]| one * other), squares);
            assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}

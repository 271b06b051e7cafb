//! Numbers as they are shown.

use serde::Serializer;

use super::Number;

/// Writes the value alone: decimals are a matter of what is shown.
pub(super) fn serialize<S: Serializer>(number: &Number, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(number.value)
}

/// A number with this many decimals and a comma between thousands.
pub(super) fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text.as_str()), |unsigned| ("−", unsigned));
    let (whole, fraction) =
        unsigned.split_once('.').map_or((unsigned, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = whole.chars().chain(fraction.chars()).all(|digit| digit == '0' || digit == '.');
    format!("{}{grouped}{fraction}", if is_zero { "" } else { sign })
}

/// A number with as many digits as a reader of a curve wants: about five, exponents only where needed.
pub(super) fn plain(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "–".into()
    } else if value.fract() == 0.0 && size < 1e15 {
        grouped(value, 0)
    } else if (1e-3..1e6).contains(&size) {
        let decimals = (4 - size.log10().floor() as i32).clamp(0, 6) as usize;
        grouped(value, decimals)
    } else {
        format!("{value:.3e}").replace('-', "−")
    }
}

/// Decimals that show the largest of these numbers with about five digits; none where all are whole.
pub(super) fn decimals(values: impl Iterator<Item = f64> + Clone) -> usize {
    let finite = values.filter(|value| value.is_finite());
    let largest = finite.clone().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let whole = finite.clone().all(|value| value.fract() == 0.0);
    if whole { 0 } else { (4 - largest.log10().floor() as i32).clamp(0, 12) as usize }
}

/// A number at a mark of an axis whose marks are `step` apart and whose largest size is `largest`: short, different from its
/// neighbours, and of the same unit.
pub(super) fn mark(value: f64, step: f64, largest: f64) -> String {
    if value == 0.0 || value.abs() < step * 1e-6 {
        return "0".into();
    }
    let (scale, unit) = match largest.max(step) {
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e4 => (1e3, "k"),
        size if size < 1e-3 => return format!("{value:.1e}").replace('-', "−"),
        _ => (1.0, ""),
    };
    let decimals = (-(step / scale).log10()).ceil().clamp(0.0, 6.0) as usize;
    let text = grouped(value / scale, decimals);
    format!("{}{unit}", if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        assert_eq!(grouped(1_234_567.891, 2), "1,234,567.89");
        assert_eq!(grouped(-999.0, 0), "−999");
        assert_eq!(grouped(-0.001, 2), "0.00");
        assert_eq!(plain(8.315_66), "8.3157");
        assert_eq!(plain(0.000_4), "4.000e−4");
        assert_eq!(plain(12_000.0), "12,000");
        assert_eq!(plain(f64::NAN), "–");
        assert_eq!(decimals([8.0, 3.05].into_iter()), 4);
        assert_eq!(decimals([1_000.0, f64::NAN].into_iter()), 0);
        assert_eq!(decimals([4e-4, 0.0].into_iter()), 8);
        assert_eq!(mark(20_000.0, 5_000.0, 20_000.0), "20k");
        assert_eq!(mark(5_000.0, 5_000.0, 20_000.0), "5k");
        assert_eq!(mark(2_500_000.0, 500_000.0, 3e6), "2.5M");
        assert_eq!(mark(6.2, 0.2, 8.1), "6.2");
        assert_eq!(mark(400.0, 100.0, 500.0), "400");
        assert_eq!(mark(0.000_2, 0.000_1, 0.000_5), "2.0e−4");
        assert_eq!(mark(-1e-18, 0.5, 2.0), "0");
    }
}

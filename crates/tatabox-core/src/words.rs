//! Numbers as words say them.

/// A comma between thousands: `1,234,567`.
///
/// # Examples
/// ```
/// use tatabox_core::words::count;
/// assert_eq!([count(0), count(999), count(1_234_567)], ["0", "999", "1,234,567"]);
/// ```
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and what is counted, `one` of which there may be one: `1 seed`, `2,000 seeds`.
///
/// # Examples
/// ```
/// use tatabox_core::words::counted;
/// assert_eq!([counted(1, "time"), counted(2_000, "time")], ["1 time", "2,000 times"]);
/// ```
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

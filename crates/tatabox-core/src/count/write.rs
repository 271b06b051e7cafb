//! Counts as a table that people and programs read: header `kmer<TAB>count`, then every k-mer of every length that was counted, the ones that do not occur
//! included, the short lengths first, in the order of their numbers.

use std::path::Path;

use super::{KmerCounts, kmer};
use crate::error::Result;
use crate::io::whole;

/// The first line of a table of counts.
pub(super) const HEADER: &str = "kmer\tcount";

/// Bytes that are written at once.
const ENOUGH: usize = 1 << 16;

impl KmerCounts {
    /// Writes the table whole, or leaves what was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        whole::write(path, |out| {
            writeln!(out, "{HEADER}")?;
            let mut lines = Vec::new();
            for k in self.lengths() {
                for (number, &count) in self.of(k).unwrap_or_default().iter().enumerate() {
                    lines.extend(kmer::letters(number, k));
                    lines.push(b'\t');
                    push_digits(&mut lines, count);
                    lines.push(b'\n');
                    if lines.len() > ENOUGH {
                        out.write_all(&lines)?;
                        lines.clear();
                    }
                }
            }
            out.write_all(&lines)?;
            Ok(())
        })
    }
}

/// A number in decimal. There are 1.4 million of them in a table of all lengths, and the formatting of `std` takes longer than counting does.
fn push_digits(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for number in [0, 7, 10, 99, 100, 1_234_567_890, u64::MAX] {
            let mut out = b"x".to_vec();
            push_digits(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{number}"));
        }
    }
}

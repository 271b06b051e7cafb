//! A DNA sequence as base codes, and what its letters were.
//!
//! A base is a code in `0..=3`, in the order of DNABERT's vocabulary: A, T, C, G. Everything else is [`UNKNOWN`]. In this order the
//! complement of a base is its code with the lowest bit flipped.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The code of a base that is not known: N, and every IUPAC code that stands for more than one base.
pub const UNKNOWN: u8 = 4;

/// Capital letters by code.
pub const LETTERS: [u8; 5] = *b"ATCGN";

/// What a byte of sequence text is: a base in the two lowest bits (in UCSC's order T, C, A, G, as .2bit files store it), and flags.
pub(crate) mod class {
    /// The base; 0 where it is unknown, as UCSC's programs write it.
    pub const BASE: u8 = 3;
    /// Not one of A, C, G, T, U.
    pub const UNKNOWN: u8 = 4;
    /// Lower case: a soft-masked repeat.
    pub const LOWER: u8 = 8;
    /// A space, tab or carriage return between bases.
    pub const SPACE: u8 = 16;
    /// No IUPAC nucleotide.
    pub const BAD: u8 = 32;

    /// The class of each byte.
    pub static OF: [u8; 256] = table();

    const fn table() -> [u8; 256] {
        let mut of = [BAD; 256];
        let bases = *b"TCAG";
        let unknown = *b"NRYSWKMBDHV";
        let mut i = 0;
        while i < bases.len() {
            of[bases[i] as usize] = i as u8;
            of[bases[i].to_ascii_lowercase() as usize] = i as u8 | LOWER;
            i += 1;
        }
        of[b'U' as usize] = of[b'T' as usize];
        of[b'u' as usize] = of[b't' as usize];
        i = 0;
        while i < unknown.len() {
            of[unknown[i] as usize] = UNKNOWN;
            of[unknown[i].to_ascii_lowercase() as usize] = UNKNOWN | LOWER;
            i += 1;
        }
        of[b' ' as usize] = SPACE;
        of[b'\t' as usize] = SPACE;
        of[b'\r' as usize] = SPACE;
        of[b'\n' as usize] = SPACE;
        of
    }
}

/// Base codes by the base of a .2bit file: T, C, A, G.
pub(crate) const CODE_OF_TWOBIT: [u8; 4] = [1, 2, 0, 3];

/// What the letters of a sequence were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// All letters.
    pub bases: u64,
    /// Letters N.
    pub n: u64,
    /// The other IUPAC codes by their capital letter; they are read as N.
    pub other: BTreeMap<char, u64>,
    /// Letters in lower case.
    pub soft_masked: u64,
    /// Letters C and G.
    pub gc: u64,
}

impl Composition {
    /// Bases whose letter is A, C, G, T or U.
    pub fn known(&self) -> u64 {
        self.bases - self.n - self.other.values().sum::<u64>()
    }

    /// Adds what another stretch is made of.
    pub fn add(&mut self, more: &Composition) {
        self.bases += more.bases;
        self.n += more.n;
        self.soft_masked += more.soft_masked;
        self.gc += more.gc;
        more.other.iter().for_each(|(&letter, &count)| *self.other.entry(letter).or_default() += count);
    }

    /// Counts one letter whose class has the flag `UNKNOWN`.
    pub(crate) fn count_unknown(&mut self, letter: u8) {
        match letter.to_ascii_uppercase() {
            b'N' => self.n += 1,
            other => *self.other.entry(char::from(other)).or_default() += 1,
        }
    }
}

/// A sequence of base codes, 0..=3 for A, T, C, G and [`UNKNOWN`] for anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The codes, `[bases]`.
    pub codes: Vec<u8>,
}

impl Sequence {
    /// Reads sequence text in any case, with U for T and with IUPAC codes; white space is skipped.
    ///
    /// # Errors
    /// A letter that is no IUPAC nucleotide, with its place.
    ///
    /// ```
    /// use tatabox_core::seq::Sequence;
    /// let (sequence, composition) = Sequence::parse(b"ACgUnR")?;
    /// assert_eq!(sequence.codes, [0, 2, 3, 1, 4, 4]);
    /// assert_eq!((composition.n, composition.other[&'R'], composition.soft_masked), (1, 1, 2));
    /// assert_eq!(sequence.to_string(), "ACGTNN");
    /// # Ok::<(), tatabox_core::Error>(())
    /// ```
    pub fn parse(text: &[u8]) -> Result<(Sequence, Composition)> {
        let mut codes = Vec::with_capacity(text.len());
        let mut composition = Composition::default();
        for (at, &letter) in text.iter().enumerate() {
            let of = class::OF[usize::from(letter)];
            if of & class::BAD != 0 {
                return Err(Error::Data {
                    what: format!("{} at position {} of the sequence is no IUPAC nucleotide", show(letter), at + 1),
                    hint: hint_for(letter).into(),
                });
            }
            if of & class::SPACE != 0 {
                continue;
            }
            composition.bases += 1;
            composition.soft_masked += u64::from(of & class::LOWER != 0);
            if of & class::UNKNOWN != 0 {
                composition.count_unknown(letter);
                codes.push(UNKNOWN);
            } else {
                // C and G have the odd codes of a .2bit file.
                composition.gc += u64::from(of & 1);
                codes.push(CODE_OF_TWOBIT[usize::from(of & class::BASE)]);
            }
        }
        Ok((Sequence { codes }, composition))
    }

    /// The other strand, read in its own direction.
    pub fn reverse_complement(&self) -> Sequence {
        let mut codes = self.codes.clone();
        reverse_complement(&mut codes);
        Sequence { codes }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.codes.iter().map(|&code| char::from(LETTERS[usize::from(code.min(UNKNOWN))])).collect();
        f.write_str(&text)
    }
}

/// Turns base codes into those of the other strand, in place.
pub fn reverse_complement(codes: &mut [u8]) {
    codes.reverse();
    // Flips the lowest bit of 0..=3 and leaves UNKNOWN as it is.
    codes.iter_mut().for_each(|code| *code ^= (*code >> 2) ^ 1);
}

/// A byte of text as an error shows it: `E`, or byte 0x00.
pub(crate) fn show(letter: u8) -> String {
    if letter.is_ascii_graphic() { format!("`{}`", char::from(letter)) } else { format!("byte 0x{letter:02x}") }
}

/// What to do about a letter that is no nucleotide.
pub(crate) fn hint_for(letter: u8) -> &'static str {
    match letter.to_ascii_uppercase() {
        b'E' | b'F' | b'I' | b'L' | b'P' | b'Q' | b'J' | b'O' | b'Z' | b'*' => {
            "this looks like protein; give the genome's nucleotide FASTA"
        }
        b'X' => "if this is a masked base write N; if it is protein give the genome's nucleotide FASTA",
        b'-' | b'.' => "this looks like an alignment; give the sequences without gaps",
        b'>' => "a record must start on a line of its own; check the file's line ends",
        _ => "only the letters of nucleotides may follow a header line; check that the file is whole",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn flips_each_base_to_its_partner_and_keeps_unknown_ones() {
        let (sequence, _) = Sequence::parse(b"AACGTN").unwrap();
        assert_eq!(sequence.reverse_complement().to_string(), "NACGTT");
    }

    #[test]
    fn counts_every_letter_by_kind() {
        let (_, composition) = Sequence::parse(b"ACGTacgtnNrRYu \r\n").unwrap();
        let other = BTreeMap::from([('R', 2), ('Y', 1)]);
        assert_eq!(composition, Composition { bases: 14, n: 2, other, soft_masked: 7, gc: 4 });
        assert_eq!(composition.known(), 9);
    }

    #[test]
    fn names_a_letter_of_protein_and_its_place() {
        let error = Sequence::parse(b"MKVLA").unwrap_err();
        assert_eq!(error.to_string(), "`L` at position 4 of the sequence is no IUPAC nucleotide");
        assert!(error.hint().unwrap().contains("protein"));
    }

    proptest! {
        #[test]
        fn reverse_complement_undoes_itself(codes in proptest::collection::vec(0u8..5, 0..200)) {
            let sequence = Sequence { codes };
            prop_assert_eq!(sequence.reverse_complement().reverse_complement(), sequence);
        }
    }
}

//! Writing .2bit, one contig after another.
//!
//! The index comes first in the file but is known last, so records and index are made apart: [`TwoBitWriter`] writes the records to a
//! stream of its own and then gives the head that belongs before them.

use std::io::{self, Write};

use super::{SIGNATURE, read::count_gc};
use crate::seq::{Composition, class};

/// Codes are packed when so many wait.
const WAITING: usize = 1 << 15;

/// A letter that is no IUPAC nucleotide: the letter, and its place in the text that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLetter {
    /// The byte.
    pub letter: u8,
    /// 0-based place in the text.
    pub at: usize,
}

/// A contig in the making.
#[derive(Debug, Default)]
pub struct ContigWriter {
    name: String,
    packed: Vec<u8>,
    /// Classes of the letters that are not packed yet.
    waiting: Vec<u8>,
    n: Runs,
    masked: Runs,
    composition: Composition,
}

#[derive(Debug, Default)]
struct Runs {
    starts: Vec<u32>,
    sizes: Vec<u32>,
}

impl Runs {
    fn add(&mut self, start: u64, size: usize) {
        match (self.starts.last(), self.sizes.last_mut()) {
            (Some(&last), Some(length)) if u64::from(last) + u64::from(*length) == start => *length += size as u32,
            _ => {
                self.starts.push(start as u32);
                self.sizes.push(size as u32);
            }
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&(self.starts.len() as u32).to_le_bytes())?;
        let numbers: Vec<u8> = self.starts.iter().chain(&self.sizes).flat_map(|n| n.to_le_bytes()).collect();
        out.write_all(&numbers)
    }
}

impl ContigWriter {
    /// The longest contig that the format can hold, in bases.
    pub const LONGEST: u64 = u32::MAX as u64;

    /// An empty contig.
    pub fn new(name: String) -> ContigWriter {
        ContigWriter { name, ..ContigWriter::default() }
    }

    /// The contig's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bases so far.
    pub fn bases(&self) -> u64 {
        self.composition.bases
    }

    /// Adds text: letters in any case, U for T, IUPAC codes (kept as N, counted by letter); white space is skipped.
    ///
    /// # Errors
    /// A letter that is no IUPAC nucleotide; the contig is of no use afterwards.
    pub fn push(&mut self, text: &[u8]) -> Result<(), BadLetter> {
        let from = self.waiting.len();
        // What any letter of the text has, and what all have: most lines are of one kind, and need no second look.
        let (mut any, mut all) = (0, 0xff);
        self.waiting.extend(text.iter().map(|&letter| {
            let of = class::OF[usize::from(letter)];
            any |= of;
            all &= of;
            of
        }));
        if any & (class::UNKNOWN | class::SPACE | class::BAD) == 0 && (any ^ all) & class::LOWER == 0 {
            if any & class::LOWER != 0 {
                self.masked.add(self.composition.bases, text.len());
                self.composition.soft_masked += text.len() as u64;
            }
            self.composition.bases += text.len() as u64;
        } else {
            self.sort(text, from)?;
        }
        if self.waiting.len() >= WAITING {
            self.pack(self.waiting.len() / 4 * 4);
        }
        Ok(())
    }

    /// Finds the runs in a text of several kinds of letters.
    fn sort(&mut self, text: &[u8], from: usize) -> Result<(), BadLetter> {
        let mut kept = from;
        let mut at = 0;
        while at < text.len() {
            let of = self.waiting[from + at];
            let kind = of & !class::BASE;
            let run = self.waiting[from + at..].iter().take_while(|&&next| next & !class::BASE == kind).count();
            if kind & class::BAD != 0 {
                return Err(BadLetter { letter: text[at], at });
            }
            if kind & class::SPACE == 0 {
                if kind & class::UNKNOWN != 0 {
                    self.n.add(self.composition.bases, run);
                    text[at..at + run].iter().for_each(|&letter| self.composition.count_unknown(letter));
                }
                if kind & class::LOWER != 0 {
                    self.masked.add(self.composition.bases, run);
                    self.composition.soft_masked += run as u64;
                }
                self.composition.bases += run as u64;
                self.waiting.copy_within(from + at..from + at + run, kept);
                kept += run;
            }
            at += run;
        }
        self.waiting.truncate(kept);
        Ok(())
    }

    /// Packs the first `count` waiting bases, a multiple of four.
    fn pack(&mut self, count: usize) {
        let (fours, _) = self.waiting[..count].as_chunks::<4>();
        self.packed.extend(fours.iter().map(|&four| {
            // One product moves the four pairs of bits side by side into the top byte; no two of its terms meet.
            let pairs = u32::from_le_bytes(four) & 0x0303_0303;
            (pairs.wrapping_mul(0x4010_0401) >> 24) as u8
        }));
        self.waiting.copy_within(count.., 0);
        self.waiting.truncate(self.waiting.len() - count);
    }

    /// Packs the rest and says what the contig is made of.
    pub fn finish(&mut self) -> Composition {
        // UCSC fills the last byte with T, which is 0.
        let whole = self.waiting.len().next_multiple_of(4);
        self.waiting.resize(whole, 0);
        self.pack(whole);
        // Unknown bases are packed as T, so they do not count here.
        self.composition.gc = count_gc(&self.packed);
        self.composition.clone()
    }
}

/// Writes the records of a .2bit file and keeps its index.
pub struct TwoBitWriter<W> {
    records: W,
    written: u64,
    /// Names, and where their records start in the stream of records.
    index: Vec<(String, u64)>,
}

impl<W: Write> TwoBitWriter<W> {
    /// Starts a file whose records go to `records`.
    pub fn new(records: W) -> Self {
        TwoBitWriter { records, written: 0, index: Vec::new() }
    }

    /// Writes the record of a finished contig, whose name has at most 255 bytes and whose length is at most [`ContigWriter::LONGEST`].
    ///
    /// # Errors
    /// The stream cannot be written.
    pub fn write(&mut self, contig: &ContigWriter) -> io::Result<()> {
        let out = &mut self.records;
        out.write_all(&(contig.composition.bases as u32).to_le_bytes())?;
        contig.n.write(out)?;
        contig.masked.write(out)?;
        out.write_all(&[0; 4])?;
        out.write_all(&contig.packed)?;
        let blocks = contig.n.starts.len() + contig.masked.starts.len();
        self.index.push((contig.name.clone(), self.written));
        self.written += (16 + 8 * blocks + contig.packed.len()) as u64;
        Ok(())
    }

    /// The head that belongs before the records (version 1 where 32 bits do not reach their offsets), and the stream of records.
    pub fn finish(self) -> (Vec<u8>, W) {
        let needs_wide = self.head(0).len() as u64 + self.written > u64::from(u32::MAX);
        (self.head(u32::from(needs_wide)), self.records)
    }

    fn head(&self, version: u32) -> Vec<u8> {
        let offset_bytes = if version == 0 { 4 } else { 8 };
        let length = 16 + self.index.iter().map(|(name, _)| 1 + name.len() + offset_bytes).sum::<usize>();
        let mut head = Vec::with_capacity(length);
        for number in [SIGNATURE, version, self.index.len() as u32, 0] {
            head.extend(number.to_le_bytes());
        }
        for (name, start) in &self.index {
            head.push(name.len() as u8);
            head.extend(name.as_bytes());
            head.extend(&(start + length as u64).to_le_bytes()[..offset_bytes]);
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::twobit::TwoBit;
    use crate::seq::Sequence;
    use proptest::prelude::*;
    use std::path::Path;

    fn contig(name: &str, lines: &[&[u8]]) -> ContigWriter {
        let mut contig = ContigWriter::new(name.into());
        lines.iter().for_each(|line| contig.push(line).unwrap());
        contig.finish();
        contig
    }

    fn file(contigs: &[ContigWriter], version: u32) -> Vec<u8> {
        let mut writer = TwoBitWriter::new(Vec::new());
        contigs.iter().for_each(|contig| writer.write(contig).unwrap());
        let mut bytes = writer.head(version);
        bytes.extend(writer.records);
        bytes
    }

    fn open(bytes: Vec<u8>) -> crate::Result<TwoBit> {
        TwoBit::from_bytes(Path::new("g.2bit"), bytes)
    }

    fn codes(genome: &TwoBit, contig: usize) -> Vec<u8> {
        let mut out = Vec::new();
        genome.read(contig, 0..genome.bases(contig), &mut out);
        out
    }

    fn two() -> Vec<ContigWriter> {
        vec![contig("chr1", &[b"NNacgtAC", b"GTN"]), contig("chr2", &[b"TTTTGCGCAaR"])]
    }

    /// The same file as a machine of the other byte order writes it.
    fn swapped() -> Vec<u8> {
        let mut bytes = Vec::new();
        // One contig `a`: 5 bases, an N block at 1 of 2 bases, a masked block at 4 of 1.
        for number in [SIGNATURE, 0, 1, 0] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend([1, b'a']);
        for number in [22u32, 5, 1, 1, 2, 1, 4, 1, 0] {
            bytes.extend(number.to_be_bytes());
        }
        // A, T, T, G, then C.
        bytes.extend([0b10_00_00_11, 0b01_00_00_00]);
        bytes
    }

    #[test]
    fn writes_the_bytes_that_the_format_asks_for() {
        let bytes = file(&[contig("a", &[b"ANNGc"])], 0);
        let mut expected: Vec<u8> = Vec::new();
        [SIGNATURE, 0, 1, 0].iter().for_each(|number| expected.extend(number.to_le_bytes()));
        expected.extend([1, b'a']);
        [22u32, 5, 1, 1, 2, 1, 4, 1, 0].iter().for_each(|number| expected.extend(number.to_le_bytes()));
        expected.extend([0b10_00_00_11, 0b01_00_00_00]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn reads_both_byte_orders_and_both_versions() {
        let genome = open(swapped()).unwrap();
        assert_eq!(codes(&genome, 0), [0, 4, 4, 3, 2]);
        assert!(genome.masked(0, 0..5).eq(std::iter::once(4..5)));
        for version in [0, 1] {
            let genome = open(file(&two(), version)).unwrap();
            assert_eq!((genome.name(0), genome.bases(0), genome.name(1), genome.bases(1)), ("chr1", 11, "chr2", 11));
            assert_eq!(codes(&genome, 0), Sequence::parse(b"NNACGTACGTN").unwrap().0.codes);
            assert_eq!(codes(&genome, 1), Sequence::parse(b"TTTTGCGCAAN").unwrap().0.codes);
            assert_eq!(genome.gc(1, 3..8), 4);
        }
    }

    #[test]
    fn refuses_a_file_cut_at_any_byte() {
        for version in [0, 1] {
            let whole = file(&two(), version);
            for length in 0..whole.len() {
                let error = open(whole[..length].to_vec()).err().expect("a torn file is refused");
                assert!(error.to_string().contains("at byte"), "{error}");
            }
        }
    }

    #[test]
    fn never_panics_on_a_file_with_any_byte_changed() {
        let whole = file(&two(), 0);
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Ok(genome) = open(bytes) {
                    for contig in 0..genome.contigs() {
                        codes(&genome, contig);
                        genome.masked(contig, 0..genome.bases(contig)).for_each(drop);
                    }
                }
            }
        }
    }

    #[test]
    fn refuses_fields_that_lie() {
        // Offsets of fields in the file of `swapped`.
        let lie = |at: usize, value: u32| {
            let mut bytes = swapped();
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            open(bytes).err().expect("a lie is refused").to_string()
        };
        assert!(lie(4, 2).contains("got version 2"));
        assert!(lie(8, 0).contains("expected at least one contig"));
        assert!(lie(12, 7).contains("reserved"));
        assert!(lie(18, 4000).contains("expected contig `a` at byte 4000"));
        assert!(lie(22, 0).contains("at least one base"));
        assert!(lie(22, 90).contains("the 90 bases of contig `a`"));
        assert!(lie(26, u32::MAX).contains("4294967295 N blocks"));
        assert!(lie(30, 4).contains("N blocks within the 5 bases of contig `a`, got one to 6"));
        assert!(lie(34, 0).contains("N blocks of at least one base"));
        assert!(lie(42, u32::MAX).contains("masked blocks within"));
    }

    #[test]
    fn refuses_blocks_and_records_that_overlap() {
        let mut bytes = file(&[contig("a", &[b"NACNA"])], 0);
        // The second N block starts at 0 as the first does.
        bytes[22 + 12..22 + 16].copy_from_slice(&0u32.to_le_bytes());
        assert!(open(bytes).err().unwrap().to_string().contains("N blocks of contig `a` in order and apart"));

        let mut bytes = file(&two(), 0);
        let first: [u8; 4] = bytes[21..25].try_into().unwrap();
        bytes[30..34].copy_from_slice(&first);
        let error = open(bytes).err().unwrap().to_string();
        assert!(error.contains("the record of contig `chr2` apart from the others"), "{error}");
    }

    #[test]
    fn refuses_two_contigs_of_one_name() {
        let error = open(file(&[contig("a", &[b"AC"]), contig("a", &[b"GT"])], 0)).err().unwrap();
        assert!(error.to_string().contains("got `a` again"));
    }

    #[test]
    fn takes_wide_offsets_where_narrow_ones_do_not_reach() {
        let mut writer = TwoBitWriter::new(Vec::new());
        writer.index = vec![("a".into(), 0), ("b".into(), 1 << 33)];
        writer.written = (1 << 33) + 100;
        let (head, _) = writer.finish();
        assert_eq!(head[4], 1);
        assert_eq!(u64::from_le_bytes(head[head.len() - 8..].try_into().unwrap()), (1 << 33) + head.len() as u64);
    }

    proptest! {
        #[test]
        fn reads_any_range_as_a_slow_reader_does(
            text in "[ACGTacgtNnUuRy ]{1,300}", cut in 1usize..40, a in 0usize..300, b in 0usize..300,
        ) {
            prop_assume!(text.trim() != "");
            let mut writer = ContigWriter::new("a".into());
            text.as_bytes().chunks(cut).for_each(|line| writer.push(line).unwrap());
            let composition = writer.finish();
            let (sequence, expected) = Sequence::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(&composition, &expected);
            let genome = open(file(&[writer], 0)).unwrap();
            let (a, b) = (a.min(sequence.codes.len()), b.min(sequence.codes.len()));
            let range = a.min(b)..a.max(b);
            let mut out = vec![9; 3];
            genome.read(0, range.start as u64..range.end as u64, &mut out);
            prop_assert_eq!(&out, &sequence.codes[range.clone()]);
            let letters: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
            let masked = letters[range.clone()].iter().filter(|byte| byte.is_ascii_lowercase()).count();
            let found: u64 = genome.masked(0, range.start as u64..range.end as u64).map(|run| run.end - run.start).sum();
            prop_assert_eq!(found, masked as u64);
            let gc = sequence.codes[range.clone()].iter().filter(|code| matches!(code, 2 | 3)).count();
            prop_assert_eq!(genome.gc(0, range.start as u64..range.end as u64), gc as u64);
        }
    }
}

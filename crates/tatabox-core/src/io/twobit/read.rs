//! Reading .2bit: every field is checked once when a file is opened, and bases and blocks are read in place afterwards.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{SIGNATURE, is_twobit};
use crate::error::{Error, Result};
use crate::io::malformed;
use crate::seq::{CODE_OF_TWOBIT, UNKNOWN};

/// The four base codes of each packed byte.
static UNPACKED: [[u8; 4]; 256] = unpacked();

const fn unpacked() -> [[u8; 4]; 256] {
    let mut table = [[0; 4]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut i = 0;
        while i < 4 {
            table[byte][i] = CODE_OF_TWOBIT[(byte >> (6 - 2 * i)) & 3];
            i += 1;
        }
        byte += 1;
    }
    table
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

/// An open .2bit file.
///
/// A mapped file must not be changed by others while it is open: what is read then is not defined by the format, and a file that is cut
/// short ends the process with SIGBUS.
pub struct TwoBit {
    bytes: Bytes,
    big_endian: bool,
    records: Vec<Record>,
}

struct Record {
    name: String,
    bases: u64,
    n: Blocks,
    masked: Blocks,
    /// Offset of the packed bases.
    packed: usize,
}

/// Runs of a contig: their starts, then their sizes.
#[derive(Clone, Copy)]
struct Blocks {
    offset: usize,
    count: usize,
}

impl TwoBit {
    /// Maps a file and checks all of it but the bases.
    ///
    /// # Errors
    /// The file cannot be read, is torn, or a field of it contradicts another.
    pub fn open(path: &Path) -> Result<TwoBit> {
        let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            return TwoBit::check(path, Bytes::Owned(Vec::new()));
        }
        // SAFETY: the map is read-only and only looked at through bounds-checked slices; the type's documentation tells callers that the
        // file must not change under it.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        TwoBit::check(path, Bytes::Mapped(map))
    }

    /// Reads a file that is in memory; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`TwoBit::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<TwoBit> {
        TwoBit::check(path, Bytes::Owned(bytes))
    }

    fn check(path: &Path, bytes: Bytes) -> Result<TwoBit> {
        let mut file = TwoBit { bytes, big_endian: false, records: Vec::new() };
        file.big_endian = file.slice().starts_with(&SIGNATURE.to_be_bytes());
        file.records = Checker { path: path.to_path_buf(), file: &file }.records()?;
        Ok(file)
    }

    /// Number of contigs.
    pub fn contigs(&self) -> usize {
        self.records.len()
    }

    /// A contig's name.
    pub fn name(&self, contig: usize) -> &str {
        &self.records[contig].name
    }

    /// A contig's length in bases.
    pub fn bases(&self, contig: usize) -> u64 {
        self.records[contig].bases
    }

    /// Reads base codes into `out`, which is emptied first; [`UNKNOWN`] stands in runs of N.
    ///
    /// # Panics
    /// If the range is not on the contig.
    pub fn read(&self, contig: usize, range: Range<u64>, out: &mut Vec<u8>) {
        let record = &self.records[contig];
        assert!(range.start <= range.end && range.end <= record.bases, "{range:?} is not on contig {contig}");
        out.clear();
        if range.is_empty() {
            return;
        }
        let (first, end) = (range.start as usize / 4, (range.end as usize).div_ceil(4));
        let packed = &self.slice()[record.packed + first..record.packed + end];
        let lead = range.start as usize % 4;
        let length = (range.end - range.start) as usize;
        out.resize(packed.len() * 4, 0);
        for (codes, &byte) in out.chunks_exact_mut(4).zip(packed) {
            codes.copy_from_slice(&UNPACKED[usize::from(byte)]);
        }
        if lead > 0 {
            out.copy_within(lead..lead + length, 0);
        }
        out.truncate(length);
        for run in self.overlapping(record.n, range.clone()) {
            out[(run.start - range.start) as usize..(run.end - range.start) as usize].fill(UNKNOWN);
        }
    }

    /// The packed bytes of a contig: four bases each, the first in the highest bits, T = 0, C = 1, A = 2, G = 3; runs of N hold anything.
    pub(crate) fn packed(&self, contig: usize) -> &[u8] {
        let record = &self.records[contig];
        &self.slice()[record.packed..][..record.bases.div_ceil(4) as usize]
    }

    /// The runs of N of a contig, in order.
    pub fn n_blocks(&self, contig: usize) -> impl Iterator<Item = Range<u64>> + '_ {
        let record = &self.records[contig];
        self.overlapping(record.n, 0..record.bases)
    }

    /// The parts of a range that are soft-masked, in order.
    pub fn masked(&self, contig: usize, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        self.overlapping(self.records[contig].masked, range)
    }

    /// Bases C and G of a range, without regard to runs of N.
    ///
    /// # Panics
    /// If the range is not on the contig.
    pub fn gc(&self, contig: usize, range: Range<u64>) -> u64 {
        let record = &self.records[contig];
        assert!(range.start <= range.end && range.end <= record.bases, "{range:?} is not on contig {contig}");
        let packed = &self.slice()[record.packed..];
        // C and G have the odd codes: the lower bit of each pair.
        let one = |base: u64| u64::from(packed[base as usize / 4] >> (6 - 2 * (base % 4)) & 1);
        let whole = range.start.next_multiple_of(4)..range.end / 4 * 4;
        if whole.is_empty() {
            return range.map(one).sum();
        }
        let middle = &packed[whole.start as usize / 4..whole.end as usize / 4];
        (range.start..whole.start).map(one).sum::<u64>()
            + count_gc(middle)
            + (whole.end..range.end).map(one).sum::<u64>()
    }

    /// The blocks that overlap a range, cut to it.
    fn overlapping(&self, blocks: Blocks, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let (mut low, mut high) = (0, blocks.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.block(blocks, middle).end <= range.start { low = middle + 1 } else { high = middle }
        }
        (low..blocks.count)
            .map(move |i| self.block(blocks, i))
            .take_while({
                let end = range.end;
                move |block| block.start < end
            })
            .map(move |block| block.start.max(range.start)..block.end.min(range.end))
    }

    fn block(&self, blocks: Blocks, i: usize) -> Range<u64> {
        let start = u64::from(self.number(blocks.offset + 4 * i));
        start..start + u64::from(self.number(blocks.offset + 4 * (blocks.count + i)))
    }

    fn number(&self, offset: usize) -> u32 {
        let bytes: [u8; 4] = self.slice()[offset..offset + 4].try_into().expect("four bytes");
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn slice(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// Bases C and G in packed bytes.
pub(super) fn count_gc(packed: &[u8]) -> u64 {
    let (words, rest) = packed.as_chunks::<8>();
    let odd = 0x5555_5555_5555_5555;
    words.iter().map(|&word| u64::from((u64::from_ne_bytes(word) & odd).count_ones())).sum::<u64>()
        + rest.iter().map(|&byte| u64::from((byte & 0x55).count_ones())).sum::<u64>()
}

/// Reads the fields of a file that may be torn or lie.
struct Checker<'a> {
    path: PathBuf,
    file: &'a TwoBit,
}

impl Checker<'_> {
    fn records(&self) -> Result<Vec<Record>> {
        let bytes = self.file.slice();
        if !is_twobit(bytes) {
            let hint = "give a UCSC .2bit file, or FASTA";
            return Err(malformed(&self.path, " at byte 0", "the .2bit signature", "something else", hint));
        }
        let version = self.number(4, "the version")?;
        if version > 1 {
            return Err(self.wrong(4, "version 0 or 1", format!("version {version}")));
        }
        let count = self.number(8, "the number of contigs")?;
        if count == 0 {
            return Err(self.wrong(8, "at least one contig", "none"));
        }
        self.zero(12)?;
        let offset_bytes = if version == 0 { 4 } else { 8 };
        let mut at = 16;
        let mut records = Vec::new();
        let mut names = HashSet::new();
        let mut spans = Vec::new();
        for _ in 0..count {
            let length = usize::from(self.bytes(at, 1, "the length of a contig's name")?[0]);
            let name = self.bytes(at + 1, length as u64, "a contig's name")?;
            let name = match std::str::from_utf8(name) {
                Ok(name) if !name.is_empty() && !name.chars().any(char::is_control) => name.to_owned(),
                _ => return Err(self.wrong(at + 1, "a contig's name", "no readable text")),
            };
            if !names.insert(name.clone()) {
                return Err(self.wrong(at + 1, "each contig once", format!("`{name}` again")));
            }
            at += 1 + length;
            let low = u64::from(self.number(at, "the offset of a contig")?);
            let offset = if version == 0 {
                low
            } else {
                let next = u64::from(self.number(at + 4, "the offset of a contig")?);
                if self.file.big_endian { low << 32 | next } else { next << 32 | low }
            };
            let (record, end) = self.record(name, offset)?;
            spans.push((offset, end, records.len()));
            records.push(record);
            at += offset_bytes;
        }
        spans.sort_unstable();
        let index = (0, at as u64, usize::MAX);
        for (before, after) in std::iter::once(&index).chain(&spans).zip(&spans) {
            if after.0 < before.1 {
                let expected = format!("the record of contig `{}` apart from the others", records[after.2].name);
                return Err(self.wrong(after.0 as usize, expected, format!("one that ends at byte {}", before.1)));
            }
        }
        Ok(records)
    }

    /// The record at an offset, and where it ends.
    fn record(&self, name: String, offset: u64) -> Result<(Record, u64)> {
        if offset >= self.file.slice().len() as u64 {
            return Err(self.wrong(self.file.slice().len(), format!("contig `{name}` at byte {offset}"), "the end"));
        }
        let mut at = offset as usize;
        let bases = u64::from(self.number(at, "a contig's length")?);
        if bases == 0 {
            return Err(self.wrong(at, format!("at least one base in contig `{name}`"), "none"));
        }
        at += 4;
        let n = self.blocks(&name, bases, "N", &mut at)?;
        let masked = self.blocks(&name, bases, "masked", &mut at)?;
        self.zero(at)?;
        at += 4;
        let packed = bases.div_ceil(4);
        self.bytes(at, packed, &format!("the {bases} bases of contig `{name}`"))?;
        Ok((Record { name, bases, n, masked, packed: at }, at as u64 + packed))
    }

    fn blocks(&self, name: &str, bases: u64, kind: &str, at: &mut usize) -> Result<Blocks> {
        let count = self.number(*at, &format!("the number of {kind} blocks of contig `{name}`"))? as usize;
        let offset = *at + 4;
        self.bytes(offset, 8 * count as u64, &format!("{count} {kind} blocks of contig `{name}`"))?;
        let blocks = Blocks { offset, count };
        let mut end = 0;
        for i in 0..count {
            let block = self.file.block(blocks, i);
            let place = offset + 4 * i;
            if block.is_empty() {
                return Err(self.wrong(place, format!("{kind} blocks of at least one base in `{name}`"), "none"));
            }
            if block.start < end {
                let expected = format!("{kind} blocks of contig `{name}` in order and apart");
                return Err(self.wrong(place, expected, format!("one at {} after one to {end}", block.start)));
            }
            end = block.end;
            if end > bases {
                let expected = format!("{kind} blocks within the {bases} bases of contig `{name}`");
                return Err(self.wrong(place, expected, format!("one to {end}")));
            }
        }
        *at = offset + 8 * count;
        Ok(blocks)
    }

    fn zero(&self, offset: usize) -> Result<()> {
        match self.number(offset, "a reserved field")? {
            0 => Ok(()),
            other => Err(self.wrong(offset, "0 in a reserved field", other.to_string())),
        }
    }

    fn number(&self, offset: usize, what: &str) -> Result<u32> {
        self.bytes(offset, 4, what)?;
        Ok(self.file.number(offset))
    }

    fn bytes(&self, offset: usize, length: u64, what: &str) -> Result<&[u8]> {
        let all = self.file.slice();
        let end = (offset as u64).checked_add(length).filter(|&end| end <= all.len() as u64);
        match end {
            Some(end) => Ok(&all[offset..end as usize]),
            None => Err(self.wrong(offset, what, format!("the end of the file at byte {}", all.len()))),
        }
    }

    fn wrong(&self, offset: usize, expected: impl Into<String>, got: impl Into<String>) -> Error {
        let hint = "the file is torn or was written wrongly; download it again, or make it anew from FASTA";
        malformed(&self.path, format!(" at byte {offset}"), expected, got, hint)
    }
}

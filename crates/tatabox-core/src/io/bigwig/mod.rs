//! bigWig (Kent et al. 2010): a number for stretches of a genome, indexed and summarised for browsers.
//!
//! ```text
//! header ─ zoom headers ─ summary ─ contigs (B+ tree) ─ data blocks ─ their index (R tree) ─ { zoom blocks ─ their index } ─ magic number
//! ```
//!
//! Blocks are packed with zlib. Everything is little-endian.

use std::io::{self, Read, Seek, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::error::{Error, Result};
use crate::io::whole;

const MAGIC: u32 = 0x888F_FC26;
const CONTIG_MAGIC: u32 = 0x78CA_8C91;
const INDEX_MAGIC: u32 = 0x2468_ACE0;
const VERSION: u16 = 4;

/// Items of a block: stretches, or summaries of a zoom level.
const IN_BLOCK: usize = 1024;
/// Children of a node of either tree.
const IN_NODE: usize = 256;
/// How much coarser a zoom level is than the one before.
const COARSER: u32 = 4;
/// Zoom levels at most.
const LEVELS: usize = 10;
/// Bytes of header, zoom header, summary.
const HEADER: u64 = 64;
const ZOOM_HEADER: u64 = 24;
const SUMMARY: u64 = 40;

/// A stretch of a contig and its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// The index of the contig.
    pub contig: usize,
    /// Its first base, 0-based.
    pub start: u64,
    /// The base behind its last.
    pub end: u64,
    /// The number.
    pub value: f32,
}

/// Writes a bigWig whole. `contigs` are all contigs of the genome with their lengths, sorted by name; `stretches` come in the order of contigs and positions, and
/// none overlaps another; `span` is how long they are, about.
///
/// # Errors
/// An error of `stretches`; a file that cannot be written; a contig of 2^32 bases or more, which the format cannot hold.
///
/// # Panics
/// Where contigs or stretches are not in order.
pub fn write(
    path: &Path,
    contigs: &[(&str, u64)],
    span: u64,
    stretches: impl Iterator<Item = Result<Stretch>>,
) -> Result<()> {
    assert!(contigs.is_sorted_by(|one, next| one.0 < next.0));
    if let Some((name, bases)) = contigs.iter().find(|contig| contig.1 > u64::from(u32::MAX)) {
        let what = format!("contig `{name}` has {bases} bases, more than bigWig can hold");
        return Err(Error::Data { what, hint: "write bedGraph: `--format bedgraph`".into() });
    }
    let failed = |source| Error::File { action: "write", path: path.into(), source };
    let mut data = Blocks::new().map_err(failed)?;
    let mut levels: Vec<Level> = Vec::new();
    let mut reduction = u32::try_from(span.saturating_mul(10)).unwrap_or(u32::MAX);
    while levels.len() < LEVELS {
        levels.push(Level { reduction, open: None, blocks: Blocks::new().map_err(failed)?, records: 0 });
        reduction = reduction.saturating_mul(COARSER);
    }
    let mut whole_sum = Summary::default();
    let mut before: Option<Stretch> = None;
    for stretch in stretches {
        let stretch = stretch?;
        let follows = |before: &Stretch| (before.contig, before.end) <= (stretch.contig, stretch.start);
        assert!(stretch.start < stretch.end && stretch.end <= contigs[stretch.contig].1);
        assert!(before.as_ref().is_none_or(follows), "{before:?} {stretch:?}");
        before = Some(stretch);
        whole_sum.add(stretch.end - stretch.start, stretch.value);
        data.stretch(&stretch).map_err(failed)?;
        for level in &mut levels {
            level.add(&stretch).map_err(failed)?;
        }
    }
    data.close_data().map_err(failed)?;
    levels.iter_mut().try_for_each(Level::close).map_err(failed)?;
    // A level with as many summaries as the one before, or hardly any, says nothing new.
    let mut last = u64::MAX;
    levels.retain(|level| {
        let kept = level.records < last && level.records > 0;
        last = if kept { level.records } else { last };
        kept
    });
    whole::write(path, |out| assemble(out, contigs, &mut data, &mut levels, &whole_sum))
}

/// What many stretches are together.
#[derive(Clone, Copy, Debug)]
struct Summary {
    bases: u64,
    min: f64,
    max: f64,
    sum: f64,
    squares: f64,
}

impl Default for Summary {
    fn default() -> Summary {
        Summary { bases: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, squares: 0.0 }
    }
}

impl Summary {
    fn add(&mut self, bases: u64, value: f32) {
        let (times, value) = (bases as f64, f64::from(value));
        self.bases += bases;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += times * value;
        self.squares += times * value * value;
    }
}

/// What an index says of a block: where it begins and ends (contig, base), and its bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: (u32, u32),
    end: (u32, u32),
    bytes: u64,
}

/// Packed blocks in a file without a name, and what an index needs to know of them.
struct Blocks {
    file: io::BufWriter<std::fs::File>,
    entries: Vec<Entry>,
    /// The block that is being filled: its items, unpacked, and how many.
    open: Vec<u8>,
    items: usize,
    place: Option<Entry>,
    /// Bytes of the largest block before packing.
    largest: usize,
}

impl Blocks {
    fn new() -> io::Result<Blocks> {
        let file = io::BufWriter::new(tempfile::tempfile()?);
        Ok(Blocks { file, entries: Vec::new(), open: Vec::new(), items: 0, place: None, largest: 0 })
    }

    /// Adds a stretch to the data: a block holds stretches of one contig.
    fn stretch(&mut self, stretch: &Stretch) -> io::Result<()> {
        let contig = stretch.contig as u32;
        if self.items == IN_BLOCK || self.place.is_some_and(|place| place.start.0 != contig) {
            self.close_data()?;
        }
        let (start, end) = (stretch.start as u32, stretch.end as u32);
        self.item(contig, start, end);
        self.open.extend([start.to_le_bytes(), end.to_le_bytes(), stretch.value.to_le_bytes()].concat());
        Ok(())
    }

    fn item(&mut self, contig: u32, start: u32, end: u32) {
        let place = self.place.get_or_insert(Entry { start: (contig, start), end: (contig, end), bytes: 0 });
        place.end = (contig, end);
        self.items += 1;
    }

    /// Ends a block of data: its header names the contig and that it holds stretches of any length.
    fn close_data(&mut self) -> io::Result<()> {
        let Some(place) = self.place else { return Ok(()) };
        let mut head = Vec::with_capacity(24 + self.open.len());
        for number in [place.start.0, place.start.1, place.end.1, 0, 0] {
            head.extend(number.to_le_bytes());
        }
        head.extend([1, 0]); // bedGraph, reserved
        head.extend((self.items as u16).to_le_bytes());
        head.append(&mut self.open);
        self.open = head;
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(mut place) = self.place.take() else { return Ok(()) };
        self.largest = self.largest.max(self.open.len());
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
        packer.write_all(&self.open)?;
        let packed = packer.finish()?;
        place.bytes = packed.len() as u64;
        self.file.write_all(&packed)?;
        self.entries.push(place);
        self.open.clear();
        self.items = 0;
        Ok(())
    }

    /// Copies all blocks.
    fn copy(&mut self, out: &mut Counted<'_>) -> io::Result<()> {
        self.file.flush()?;
        let mut file = self.file.get_ref();
        file.rewind()?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                count => out.write_all(&buffer[..count])?,
            }
        }
    }
}

/// A zoom level: summaries of stretches of `reduction` bases.
struct Level {
    reduction: u32,
    /// Contig, first base and end of what is being summed.
    open: Option<(u32, u64, u64, Summary)>,
    blocks: Blocks,
    records: u64,
}

impl Level {
    fn add(&mut self, stretch: &Stretch) -> io::Result<()> {
        let contig = stretch.contig as u32;
        let mut start = stretch.start;
        while start < stretch.end {
            let reduction = u64::from(self.reduction);
            if self.open.is_some_and(|(of, first, ..)| of != contig || start >= first + reduction) {
                self.flush()?;
            }
            let (_, first, end, sum) = self.open.get_or_insert((contig, start, start, Summary::default()));
            let until = stretch.end.min(*first + reduction);
            sum.add(until - start, stretch.value);
            (*end, start) = (until, until);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some((contig, start, end, sum)) = self.open.take() else { return Ok(()) };
        if self.blocks.items == IN_BLOCK || self.blocks.place.is_some_and(|place| place.start.0 != contig) {
            self.blocks.close()?;
        }
        self.blocks.item(contig, start as u32, end as u32);
        for number in [contig, start as u32, end as u32, sum.bases as u32] {
            self.blocks.open.extend(number.to_le_bytes());
        }
        for number in [sum.min, sum.max, sum.sum, sum.squares] {
            self.blocks.open.extend((number as f32).to_le_bytes());
        }
        self.records += 1;
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        self.blocks.close()
    }
}

/// A writer that knows where it is.
struct Counted<'a> {
    out: &'a mut dyn Write,
    at: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Counted<'_> {
    fn u16(&mut self, number: u16) -> io::Result<()> {
        self.write_all(&number.to_le_bytes())
    }

    fn u32(&mut self, number: u32) -> io::Result<()> {
        self.write_all(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> io::Result<()> {
        self.write_all(&number.to_le_bytes())
    }

    fn f64(&mut self, number: f64) -> io::Result<()> {
        self.write_all(&number.to_le_bytes())
    }
}

fn assemble(
    out: &mut dyn Write,
    contigs: &[(&str, u64)],
    data: &mut Blocks,
    levels: &mut [Level],
    sum: &Summary,
) -> io::Result<()> {
    let mut out = Counted { out, at: 0 };
    let bytes = |blocks: &Blocks| blocks.entries.iter().map(|entry| entry.bytes).sum::<u64>();
    let contigs_at = HEADER + ZOOM_HEADER * levels.len() as u64 + SUMMARY;
    let tree = ContigTree::of(contigs);
    let data_at = contigs_at + tree.bytes();
    let index_at = data_at + 8 + bytes(data);
    let mut next = index_at + index_bytes(data.entries.len());
    let places: Vec<(u64, u64)> = (levels.iter())
        .map(|level| {
            let (own, index) = (next, next + 4 + bytes(&level.blocks));
            next = index + index_bytes(level.blocks.entries.len());
            (own, index)
        })
        .collect();
    let largest = levels.iter().map(|level| level.blocks.largest).chain([data.largest]).max().unwrap_or(0);

    out.u32(MAGIC)?;
    out.u16(VERSION)?;
    out.u16(levels.len() as u16)?;
    [contigs_at, data_at, index_at].into_iter().try_for_each(|at| out.u64(at))?;
    out.u32(0)?; // fields: those of bigBed
    out.u64(0)?; // their description
    out.u64(contigs_at - SUMMARY)?;
    out.u32(largest as u32)?;
    out.u64(0)?; // extensions
    for (level, (own, index)) in levels.iter().zip(&places) {
        out.u32(level.reduction)?;
        out.u32(0)?;
        out.u64(*own)?;
        out.u64(*index)?;
    }
    let (min, max) = if sum.bases > 0 { (sum.min, sum.max) } else { (0.0, 0.0) };
    out.u64(sum.bases)?;
    [min, max, sum.sum, sum.squares].into_iter().try_for_each(|number| out.f64(number))?;
    debug_assert_eq!(out.at, contigs_at);
    tree.write(&mut out)?;
    debug_assert_eq!(out.at, data_at);
    out.u64(data.entries.len() as u64)?;
    data.copy(&mut out)?;
    index(&mut out, &data.entries, data_at + 8)?;
    for (level, (own, _)) in levels.iter_mut().zip(&places) {
        debug_assert_eq!(out.at, *own);
        out.u32(level.records as u32)?;
        level.blocks.copy(&mut out)?;
        index(&mut out, &level.blocks.entries, own + 4)?;
    }
    out.u32(MAGIC)
}

/// How many nodes a tree over so many items has at each height, the leaves first.
fn heights(items: usize) -> Vec<usize> {
    let mut heights = vec![items.div_ceil(IN_NODE).max(1)];
    while heights[heights.len() - 1] > 1 {
        heights.push(heights[heights.len() - 1].div_ceil(IN_NODE));
    }
    heights
}

/// The tree that gives a contig's number and length for its name.
struct ContigTree<'a> {
    contigs: &'a [(&'a str, u64)],
    /// Bytes of a name.
    key: usize,
}

impl<'a> ContigTree<'a> {
    fn of(contigs: &'a [(&'a str, u64)]) -> ContigTree<'a> {
        ContigTree { contigs, key: contigs.iter().map(|contig| contig.0.len()).max().unwrap_or(1).max(1) }
    }

    fn bytes(&self) -> u64 {
        let nodes: usize = heights(self.contigs.len()).iter().sum();
        let inner = nodes - 1;
        32 + (4 * nodes + (self.key + 8) * (self.contigs.len() + inner)) as u64
    }

    fn write(&self, out: &mut Counted<'_>) -> io::Result<()> {
        out.u32(CONTIG_MAGIC)?;
        out.u32(IN_NODE as u32)?;
        out.u32(self.key as u32)?;
        out.u32(8)?;
        out.u64(self.contigs.len() as u64)?;
        out.u64(0)?;
        let name = |out: &mut Counted<'_>, at: usize| {
            let mut key = self.contigs[at].0.as_bytes().to_vec();
            key.resize(self.key, 0);
            out.write_all(&key)
        };
        let heights = heights(self.contigs.len());
        let item = (self.key + 8) as u64;
        for height in (1..heights.len()).rev() {
            let covers = IN_NODE.pow(height as u32);
            // The children lie behind all nodes of this height, in order; all but the last of them are full.
            let below = out.at + 4 * heights[height] as u64 + item * heights[height - 1] as u64;
            for node in 0..heights[height] {
                let children = node * IN_NODE..((node + 1) * IN_NODE).min(heights[height - 1]);
                out.write_all(&[0, 0])?;
                out.u16(children.len() as u16)?;
                for child in children {
                    name(out, child * covers)?;
                    out.u64(below + child as u64 * (4 + item * IN_NODE as u64))?;
                }
            }
        }
        for node in 0..heights[0] {
            let own = node * IN_NODE..((node + 1) * IN_NODE).min(self.contigs.len());
            out.write_all(&[1, 0])?;
            out.u16(own.len() as u16)?;
            for at in own {
                name(out, at)?;
                out.u32(at as u32)?;
                out.u32(self.contigs[at].1 as u32)?;
            }
        }
        Ok(())
    }
}

/// Bytes of an index over so many blocks.
fn index_bytes(blocks: usize) -> u64 {
    let nodes: usize = heights(blocks).iter().sum();
    (48 + 4 * nodes + 24 * (nodes - 1) + 32 * blocks) as u64
}

/// Writes the index of blocks, the first of which lies at `at`.
fn index(out: &mut Counted<'_>, entries: &[Entry], at: u64) -> io::Result<()> {
    let end = out.at;
    let bounds = |entries: &[Entry]| -> [u32; 4] {
        let (Some(first), Some(end)) = (entries.first(), entries.iter().map(|entry| entry.end).max()) else {
            return [0; 4];
        };
        [first.start.0, first.start.1, end.0, end.1]
    };
    out.u32(INDEX_MAGIC)?;
    out.u32(IN_NODE as u32)?;
    out.u64(entries.len() as u64)?;
    bounds(entries).into_iter().try_for_each(|number| out.u32(number))?;
    out.u64(end)?;
    out.u32(1)?; // blocks a slot
    out.u32(0)?;
    let heights = heights(entries.len());
    for height in (1..heights.len()).rev() {
        let covers = IN_NODE.pow(height as u32);
        let below = out.at + 4 * heights[height] as u64 + 24 * heights[height - 1] as u64;
        // A child that is no leaf has 24 bytes an item, a leaf 32; all but the last are full.
        let child_bytes = 4 + IN_NODE as u64 * if height == 1 { 32 } else { 24 };
        for node in 0..heights[height] {
            let children = node * IN_NODE..((node + 1) * IN_NODE).min(heights[height - 1]);
            out.write_all(&[0, 0])?;
            out.u16(children.len() as u16)?;
            for child in children {
                let own = &entries[child * covers..((child + 1) * covers).min(entries.len())];
                bounds(own).into_iter().try_for_each(|number| out.u32(number))?;
                out.u64(below + child as u64 * child_bytes)?;
            }
        }
    }
    let mut at = at;
    for node in 0..heights[0] {
        let own = node * IN_NODE..((node + 1) * IN_NODE).min(entries.len());
        out.write_all(&[1, 0])?;
        out.u16(own.len() as u16)?;
        for entry in &entries[own] {
            bounds(std::slice::from_ref(entry)).into_iter().try_for_each(|number| out.u32(number))?;
            out.u64(at)?;
            out.u64(entry.bytes)?;
            at += entry.bytes;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

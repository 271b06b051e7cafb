//! Windows of a genome: where they lie, without reading a base.

use serde_json::{Value, json};
use tatabox_core::genome::Genome;
use tatabox_core::interval::Interval;

use super::{CHUNK, Item};
use crate::error::Result;

/// Which windows of a genome are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowConfig {
    /// Bases of a window.
    pub window: u64,
    /// Bases from the start of one to the start of the next.
    pub step: u64,
}

/// Windows side by side on a contig, without an N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The index of the contig.
    pub contig: usize,
    /// The first base of the first window.
    pub start: u64,
    /// How many windows.
    pub count: u64,
    /// The number of the first among all windows.
    pub first: u64,
}

/// A window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub contig: usize,
    pub start: u64,
    pub end: u64,
}

/// The windows that are asked, in the order of the genome.
pub(super) struct Asked<'a> {
    pub genome: &'a Genome,
    pub config: WindowConfig,
    pub runs: Vec<Run>,
    /// Windows that touch an N.
    pub over_n: u64,
    /// Regions in which no window fits.
    short_regions: u64,
    regions: Option<Vec<(usize, u64, u64)>>,
    total: u64,
}

impl<'a> Asked<'a> {
    /// Lays the windows out: from the first base of each contig, or of each region; regions that overlap or touch are one. A window lies within its contig or
    /// region, and holds no N.
    ///
    /// # Errors
    /// A window is shorter than the model reads; a region does not lie on the genome; no window is left.
    pub fn of(
        genome: &'a Genome,
        config: WindowConfig,
        regions: Option<&[Interval]>,
        shortest: usize,
    ) -> Result<Asked<'a>> {
        let value = |key: &str, got: u64, expected: String| -> crate::error::Error {
            tatabox_core::Error::Value { key: key.into(), got: got.to_string(), expected, hint: String::new() }.into()
        };
        if config.window < shortest as u64 {
            return Err(value("--windows", config.window, format!("the model reads k-mers of {shortest} bases")));
        }
        if config.step == 0 {
            return Err(value("--step", 0, "it must be at least 1".into()));
        }
        let joined = regions.map(|regions| joined(genome, regions)).transpose()?;
        let contigs = || genome.contigs().iter().enumerate().map(|(contig, of)| (contig, 0, of.bases));
        let places: Vec<(usize, u64, u64)> = joined.clone().unwrap_or_else(|| contigs().collect());
        let mut asked =
            Asked { genome, config, runs: Vec::new(), over_n: 0, short_regions: 0, regions: joined, total: 0 };
        let mut segments: (usize, Vec<std::ops::Range<u64>>) = (usize::MAX, Vec::new());
        for (contig, start, end) in places {
            if segments.0 != contig {
                segments = (contig, genome.acgt_segments(contig));
            }
            asked.lay(contig, start, end, &segments.1);
        }
        if asked.total == 0 {
            let what = match asked.over_n {
                0 => format!("no window of {} bases fits", config.window),
                over_n => format!("all {over_n} windows of {} bases touch an N", config.window),
            };
            let hint = "choose a smaller `--windows`, or other regions".into();
            return Err(tatabox_core::Error::Data { what, hint }.into());
        }
        Ok(asked)
    }

    /// The windows of one stretch.
    fn lay(&mut self, contig: usize, start: u64, end: u64, segments: &[std::ops::Range<u64>]) {
        let WindowConfig { window, step } = self.config;
        if end - start < window {
            self.short_regions += u64::from(self.regions.is_some());
            return;
        }
        let mut kept = 0;
        for segment in segments.iter().filter(|segment| segment.end > start && segment.start < end) {
            let (from, to) = (segment.start.max(start), segment.end.min(end));
            let first = (from - start).div_ceil(step);
            if to < start + first * step + window {
                continue;
            }
            let count = (to - window - start) / step - first + 1;
            self.runs.push(Run { contig, start: start + first * step, count, first: self.total });
            self.total += count;
            kept += count;
        }
        self.over_n += (end - start - window) / step + 1 - kept;
    }

    /// What should be known.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.over_n > 0 {
            notes.push(format!("{} windows touch an N and are left out", self.over_n));
        }
        if self.short_regions > 0 {
            notes.push(format!("{} regions are shorter than a window and hold none", self.short_regions));
        }
        notes
    }

    /// The windows of some runs, in order.
    pub fn windows<'b>(&'b self, runs: &'b [Run]) -> impl Iterator<Item = Window> + 'b {
        runs.iter().flat_map(move |run| (0..run.count).map(move |at| self.window(run, at)))
    }

    fn window(&self, run: &Run, at: u64) -> Window {
        let start = run.start + at * self.config.step;
        Window { contig: run.contig, start, end: start + self.config.window }
    }

    fn items(&self, from: u64, until: u64) -> Vec<Item> {
        let mut items = Vec::new();
        let mut run = self.runs.partition_point(|run| run.first + run.count <= from);
        for at in from..until {
            while at >= self.runs[run].first + self.runs[run].count {
                run += 1;
            }
            let window = self.window(&self.runs[run], at - self.runs[run].first);
            let contig = &self.genome.contigs()[window.contig].name;
            let id = format!("{contig}:{}-{}", window.start, window.end);
            let mut item = Item { id, ..Item::default() };
            self.genome.read(window.contig, window.start..window.end, &mut item.codes);
            items.push(item);
        }
        items
    }
}

impl super::Asked for Asked<'_> {
    fn total(&self) -> u64 {
        self.total
    }

    fn identity(&self) -> Value {
        let hashes: Vec<&str> = self.genome.card().files.iter().map(|file| file.sha256.as_str()).collect();
        json!({"genome": hashes, "window": self.config.window, "step": self.config.step, "regions": self.regions})
    }

    fn chunks<'a>(&'a self, from: u64) -> Result<Box<dyn Iterator<Item = Result<Vec<Item>>> + 'a>> {
        let size = (CHUNK as u64 / self.config.window).max(1);
        let starts = (from..self.total).step_by(size as usize);
        Ok(Box::new(starts.map(move |start| Ok(self.items(start, (start + size).min(self.total))))))
    }
}

/// Regions by contig and place, those that overlap or touch joined.
fn joined(genome: &Genome, regions: &[Interval]) -> Result<Vec<(usize, u64, u64)>> {
    let mut all = Vec::with_capacity(regions.len());
    for region in regions {
        all.push((region.check(genome)?, region.start, region.end));
    }
    all.sort_unstable();
    let mut joined: Vec<(usize, u64, u64)> = Vec::new();
    for (contig, start, end) in all {
        match joined.last_mut() {
            Some(last) if last.0 == contig && start <= last.2 => last.2 = last.2.max(end),
            _ => joined.push((contig, start, end)),
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::super::Asked as _;
    use super::*;

    fn genome(text: &str) -> (tempfile::TempDir, Genome) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g.fa");
        std::fs::write(&path, text).unwrap();
        let genome = Genome::open(&[path], folder.path()).unwrap();
        (folder, genome)
    }

    fn region(contig: &str, start: u64, end: u64) -> Interval {
        Interval { contig: contig.into(), start, end, ..Interval::default() }
    }

    /// Contig and start of every window.
    fn starts(asked: &Asked<'_>) -> Vec<(usize, u64)> {
        asked.windows(&asked.runs).map(|window| (window.contig, window.start)).collect()
    }

    #[test]
    fn windows_lie_on_one_grid_and_none_touches_an_n() {
        let (_folder, genome) =
            genome(&format!(">a\n{}N{}\n>b\nACG\n>c\nACGTACGT\n", "ACGT".repeat(5), "ACGTA".repeat(4)));
        let config = WindowConfig { window: 6, step: 3 };
        let asked = Asked::of(&genome, config, None, 6).unwrap();
        // The N is base 20: windows at 15 and 18 touch it.
        let expected: Vec<(usize, u64)> =
            [0, 3, 6, 9, 12, 21, 24, 27, 30, 33].map(|start| (0, start)).into_iter().chain([(2, 0)]).collect();
        assert_eq!((starts(&asked), asked.over_n, asked.total()), (expected, 2, 11));
        // Every chunk holds the bases of its windows, wherever one begins.
        let mut codes = Vec::new();
        for from in 0..11 {
            let items: Vec<Item> = asked.chunks(from).unwrap().flat_map(Result::unwrap).collect();
            assert_eq!(items.len() as u64, 11 - from);
            let window = asked.windows(&asked.runs).nth(from as usize).unwrap();
            genome.read(window.contig, window.start..window.end, &mut codes);
            assert_eq!(items[0].codes, codes);
        }
    }

    #[test]
    fn regions_are_joined_where_they_touch_and_begin_a_grid_each() {
        let (_folder, genome) = genome(&format!(">a\n{}\n", "ACGT".repeat(25)));
        let config = WindowConfig { window: 10, step: 5 };
        let regions = [region("a", 50, 54), region("a", 11, 30), region("a", 30, 33)];
        let asked = Asked::of(&genome, config, Some(&regions), 6).unwrap();
        assert_eq!(starts(&asked), [(0, 11), (0, 16), (0, 21)]);
        assert_eq!(asked.notes(), ["1 regions are shorter than a window and hold none"]);
        let refused = |region: Interval| Asked::of(&genome, config, Some(&[region]), 6).err().unwrap().to_string();
        assert_eq!(refused(region("b", 0, 20)), "the genome has no contig `b`; it has `a`");
        assert_eq!(refused(region("a", 90, 101)), "a:90-101 does not lie on contig `a`, which has 100 bases");
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        let (_folder, genome) = genome(">a\nACGTNNACGTNNACGT\n");
        let refused =
            |window, step| Asked::of(&genome, WindowConfig { window, step }, None, 4).err().unwrap().to_string();
        assert_eq!(refused(3, 1), "`--windows` is 3, but the model reads k-mers of 4 bases");
        assert_eq!(refused(4, 0), "`--step` is 0, but it must be at least 1");
        assert_eq!(refused(6, 5), "all 3 windows of 6 bases touch an N");
        assert_eq!(refused(50, 5), "no window of 50 bases fits");
    }
}

//! The sampler: windows of one part of a genome.

use serde::{Deserialize, Serialize};

use super::holdout::{Holdout, Region};
use super::segments::Segments;
use super::tiling::{Tiles, keep_chance};
use crate::error::{Error, Result};
use crate::genome::Genome;
use crate::rng::{Purpose, SeededRng};
use crate::seq::reverse_complement;

/// A window is drawn anew so often at most until repeats let it through. [`Sampler::new`] refuses genomes where one draw in a hundred
/// does not suffice on average, so this end is never reached in earnest.
const MOST_DRAWS: u32 = 10_000;

/// Special tokens of an input, [CLS] and [SEP]; only for the hint of what `data.max_length` would fit.
const SPECIALS: u64 = 2;

/// How windows are laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Anywhere, uniformly over all places where a window fits.
    Random,
    /// Pieces that do not overlap, each once an epoch. Window `index` of `step` is the piece `step * windows_per_step + index` of the row of
    /// epochs; a caller who counts windows himself passes them as indices of step 0.
    Tiling {
        /// Windows that a step draws.
        windows_per_step: u64,
    },
}

/// Which part of the genome windows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All that is not held out.
    Train,
    /// What is held out.
    HeldOut,
}

/// What a sampler draws.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerConfig {
    /// Tokens of a full window, without special tokens. Half of the windows are full.
    pub full_tokens: u64,
    /// Tokens of the shortest window: 5 in DNABERT. The other half has a uniform length from this to full.
    pub min_tokens: u64,
    /// Bases a token.
    pub k: u64,
    /// Bases from token to token.
    pub stride: u64,
    /// How windows are laid.
    pub sampling: Sampling,
    /// Draw either strand, or the forward strand only.
    pub both_strands: bool,
    /// How likely a wholly soft-masked window is against one that is not, in `0.0..=1.0`.
    pub repeat_weight: f64,
    /// What is held out.
    pub holdout: Holdout,
}

/// A stretch of a contig to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The contig's place in the genome.
    pub contig: usize,
    /// Its first base on the forward strand.
    pub start: u64,
    /// Its length in bases.
    pub bases: u64,
    /// Read on the reverse strand.
    pub reverse: bool,
}

/// Lengths of windows, in tokens and bases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    full: u64,
    min: u64,
    k: u64,
    stride: u64,
}

impl Lengths {
    /// Half full, half uniform.
    pub fn draw(&self, rng: &mut SeededRng) -> u64 {
        if rng.chance(0.5) { self.full } else { self.min + rng.below(self.full - self.min + 1) }
    }

    /// Bases of so many tokens.
    pub fn bases(&self, tokens: u64) -> u64 {
        (tokens - 1) * self.stride + self.k
    }

    /// The tokens of a window that fits in so many bases, none if not even the shortest does.
    pub fn fitting(&self, bases: u64) -> Option<u64> {
        let tokens = (bases.checked_sub(self.k)? / self.stride + 1).min(self.full);
        (tokens >= self.min).then_some(tokens)
    }
}

/// Draws windows from one part of a genome.
#[derive(Clone)]
pub struct Sampler {
    genome: Genome,
    lengths: Lengths,
    segments: Segments,
    held_out: Vec<Region>,
    both_strands: bool,
    repeat_weight: f64,
    tiling: Option<(Tiles, u64)>,
}

impl Sampler {
    /// Prepares the windows of a part.
    ///
    /// # Errors
    /// A value out of its range, a held-out contig that is not there, or a part that no full window fits in or that is wholly repeats
    /// while those have no weight.
    pub fn new(genome: &Genome, config: SamplerConfig, part: Part) -> Result<Sampler> {
        check(&config)?;
        let SamplerConfig { full_tokens: full, min_tokens: min, k, stride, .. } = config;
        let lengths = Lengths { full, min, k, stride };
        let held_out = config.holdout.regions(genome, lengths.bases(full))?;
        if part == Part::HeldOut && held_out.is_empty() {
            return Err(Error::Data {
                what: "nothing is held out for evaluation: `data.holdout` is `none`".into(),
                hint: "set `data.holdout = \"auto\"`, or name contigs or regions".into(),
            });
        }
        let segments = Segments::new(genome, &held_out, part == Part::HeldOut);
        if segments.longest() < lengths.bases(full) {
            return Err(too_short(&segments, &lengths, part));
        }
        let mut sampler = Sampler {
            genome: genome.clone(),
            lengths,
            segments,
            held_out,
            both_strands: config.both_strands,
            repeat_weight: config.repeat_weight,
            tiling: None,
        };
        sampler.check_repeats()?;
        if let Sampling::Tiling { windows_per_step } = config.sampling {
            let keep = |window: &Window| keep_chance(genome, window, config.repeat_weight);
            let tiles = Tiles::new(&sampler.segments, &lengths, keep);
            if tiles.len() == 0 {
                return Err(all_repeats());
            }
            sampler.tiling = Some((tiles, windows_per_step));
        }
        Ok(sampler)
    }

    /// The window of a seed, step and index.
    pub fn window(&self, seed: u64, step: u64, index: u64) -> Window {
        let mut rng = SeededRng::new(seed, Purpose::Window, step, index);
        let reverse = self.both_strands && rng.chance(0.5);
        if let Some((tiles, windows_per_step)) = &self.tiling {
            let cursor = step.wrapping_mul(*windows_per_step).wrapping_add(index);
            return Window { reverse, ..tiles.window(seed, cursor) };
        }
        let bases = self.lengths.bases(self.lengths.draw(&mut rng));
        let starts = self.segments.starts(bases);
        let mut draws = 0;
        loop {
            let (contig, start) = self.segments.place(rng.below(starts), bases);
            let window = Window { contig, start, bases, reverse };
            draws += 1;
            let chance = keep_chance(&self.genome, &window, self.repeat_weight);
            if chance >= 1.0 || draws == MOST_DRAWS || rng.chance(chance) {
                return window;
            }
        }
    }

    /// Reads the base codes of a window into `out`, `[bases]`, which is emptied first; of the other strand where the window says so.
    ///
    /// # Panics
    /// If the window is not on the sampler's genome.
    pub fn read(&self, window: &Window, out: &mut Vec<u8>) {
        self.genome.read(window.contig, window.start..window.start + window.bases, out);
        if window.reverse {
            reverse_complement(out);
        }
    }

    /// The held-out regions, in order and apart, whichever part this is.
    pub fn held_out(&self) -> &[Region] {
        &self.held_out
    }

    /// Bases that windows of this part may lie in.
    pub fn usable_bases(&self) -> u64 {
        self.segments.bases(self.lengths.bases(self.lengths.min))
    }

    /// Windows of an epoch of a tiling; none where windows are drawn at random.
    #[cfg(test)]
    pub(super) fn windows_per_epoch(&self) -> Option<u64> {
        self.tiling.as_ref().map(|(tiles, _)| tiles.len())
    }

    /// Refuses a part where repeats let almost no window through.
    fn check_repeats(&self) -> Result<()> {
        if self.repeat_weight >= 1.0 {
            return Ok(());
        }
        let least = self.lengths.bases(self.lengths.full);
        let usable = self.segments.sorted().iter().take_while(|segment| segment.bases >= least);
        let (mut unmasked, mut all) = (0.0, 0.0);
        for segment in usable {
            let range = segment.start..segment.start + segment.bases;
            unmasked += (1.0 - self.genome.masked_share(segment.contig, range)) * segment.bases as f64;
            all += segment.bases as f64;
        }
        let kept = self.repeat_weight + (1.0 - self.repeat_weight) * unmasked / all;
        if kept < 0.01 { Err(all_repeats()) } else { Ok(()) }
    }
}

fn check(config: &SamplerConfig) -> Result<()> {
    let refuse = |key: &str, got: String, expected: &str, hint: &str| {
        Err(Error::Value { key: key.into(), got, expected: expected.into(), hint: hint.into() })
    };
    let SamplerConfig { full_tokens, min_tokens, k, stride, repeat_weight, .. } = config;
    if *k == 0 || *stride == 0 {
        return refuse("tokenizer.k", format!("{k} with stride {stride}"), "both must be at least 1", "");
    }
    if *min_tokens == 0 {
        return refuse(
            "data.min_tokens",
            "0".into(),
            "a window has at least one token",
            "set it to 5, as DNABERT does",
        );
    }
    if full_tokens < min_tokens {
        let expected = format!("the shortest window has {min_tokens} tokens, and {SPECIALS} special tokens are added");
        let hint = format!("set `data.max_length = {}` or more", min_tokens + SPECIALS);
        return refuse("data.max_length", (full_tokens + SPECIALS).to_string(), &expected, &hint);
    }
    if !(0.0..=1.0).contains(repeat_weight) {
        let hint = "1 draws repeats as often as the rest, 0 never";
        return refuse("data.repeat_weight", repeat_weight.to_string(), "it must lie in 0 to 1", hint);
    }
    Ok(())
}

fn too_short(segments: &Segments, lengths: &Lengths, part: Part) -> Error {
    let (longest, needed) = (segments.longest(), lengths.bases(lengths.full));
    let what = match part {
        Part::Train => format!(
            "the genome is shorter than a window: its longest stretch of A, C, G, T that is not held out has {longest} bases, \
             a full window has {needed}"
        ),
        Part::HeldOut => format!(
            "the held-out part is too small: its longest stretch of A, C, G, T has {longest} bases, a full window has {needed}"
        ),
    };
    let shorter = lengths.fitting(longest).map(|tokens| format!("set `data.max_length = {}`", tokens + SPECIALS));
    let larger = match part {
        Part::Train => "give a longer genome",
        Part::HeldOut => "hold out more (`data.holdout` takes contigs and regions)",
    };
    Error::Data { what, hint: shorter.map_or(larger.into(), |shorter| format!("{shorter}, or {larger}")) }
}

fn all_repeats() -> Error {
    Error::Data {
        what: "almost all of this part of the genome is soft-masked, and `data.repeat_weight` leaves none of it".into(),
        hint: "set `data.repeat_weight = 1`".into(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

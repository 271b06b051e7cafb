//! Sequences pieced together of blocks that are like real ones and blocks that are not, as negatives are whose blocks were replaced by random bases.
//!
//! Each base says how much the sequence looks like the other class there: the logarithm of its probability after the three bases before it, counted in the other
//! class, over one in four; less the mean of its class at that place. Within a block that was replaced all bases say less, within one that was kept all say
//! more: the halves of a block agree, and the bases left and right of a border do not. What real sequences have of such stretches lies anywhere, and the other
//! class is measured at the same places.

use crate::stats::welch_t;

/// Bases before one that say how likely it is.
const CONTEXT: usize = 3;

/// For every place between two bases, how much the `half` bases before and behind it agree: the mean over sequences of the product of their sums, and per
/// sequence, `[sequences][bases + 1]`.
pub(super) struct Agreement {
    half: usize,
    rows: Vec<Vec<f64>>,
    means: Vec<f64>,
}

/// How much each base looks like the other class, less the mean of its own class at that place, `[sequences][bases]`.
pub(super) fn likeness(own: &[&[u8]], other: &[&[u8]]) -> Vec<Vec<f64>> {
    let mut counts = vec![[1.0f64; 4]; 1 << (2 * CONTEXT)];
    // The number of the bases before one, and that one; none where one of them is not known.
    let parts = |window: &[u8]| {
        let known = window.iter().all(|&code| code < 4);
        let number = window[..CONTEXT].iter().fold(0, |number, &code| number << 2 | usize::from(code));
        known.then(|| (number, usize::from(window[CONTEXT])))
    };
    for codes in other {
        codes.windows(CONTEXT + 1).filter_map(parts).for_each(|(before, base)| counts[before][base] += 1.0);
    }
    let table: Vec<[f64; 4]> = counts
        .iter()
        .map(|row| {
            let all: f64 = row.iter().sum();
            row.map(|count| (4.0 * count / all).ln())
        })
        .collect();
    let mut rows: Vec<Vec<f64>> = own
        .iter()
        .map(|codes| {
            let said = codes
                .windows(CONTEXT + 1)
                .map(|window| parts(window).map_or(0.0, |(before, base)| table[before][base]));
            [0.0; CONTEXT].into_iter().chain(said).take(codes.len()).collect()
        })
        .collect();
    for at in 0..rows.first().map_or(0, Vec::len) {
        let mean = rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64;
        rows.iter_mut().for_each(|row| row[at] -= mean);
    }
    rows
}

impl Agreement {
    pub fn of(likeness: &[Vec<f64>], half: usize) -> Agreement {
        let row = |values: &Vec<f64>| {
            let mut sums = vec![0.0];
            values.iter().for_each(|value| sums.push(sums[sums.len() - 1] + value));
            let at = |place: usize| {
                if place < half || place + half > values.len() {
                    return 0.0;
                }
                (sums[place] - sums[place - half]) * (sums[place + half] - sums[place])
            };
            (0..=values.len()).map(at).collect()
        };
        let rows: Vec<Vec<f64>> = likeness.iter().map(row).collect();
        let mut means = vec![0.0; rows.first().map_or(0, Vec::len)];
        rows.iter().for_each(|row| means.iter_mut().zip(row).for_each(|(mean, value)| *mean += value));
        means.iter_mut().for_each(|mean| *mean /= rows.len() as f64);
        Agreement { half, rows, means }
    }

    /// Per sequence: the mean at `borders` less that at `middles`.
    fn contrast(&self, borders: &[usize], middles: &[usize]) -> Vec<f64> {
        let mean = |row: &[f64], of: &[usize]| of.iter().map(|&place| row[place]).sum::<f64>() / of.len() as f64;
        self.rows.iter().map(|row| mean(row, borders) - mean(row, middles)).collect()
    }
}

/// By how many standard errors the sides of the borders of `blocks` blocks agree less than the halves of the blocks, compared with the other class at the same
/// places; below 0 for a mosaic. The eighth of the blocks whose halves agree most does not count: real sequences have a place or two where some of them have a
/// motif and others have not.
pub(super) fn z(own: &Agreement, other: &Agreement, bases: usize, blocks: usize) -> f64 {
    let fits = |place: &usize| *place >= own.half && place + own.half <= bases;
    let borders: Vec<usize> = (1..blocks).map(|block| block * bases / blocks).filter(fits).collect();
    let mut middles: Vec<usize> =
        (0..blocks).map(|block| (2 * block + 1) * bases / (2 * blocks)).filter(fits).collect();
    middles.sort_by(|&one, &next| {
        let more = |place: usize| other.means[place] - own.means[place];
        more(one).total_cmp(&more(next))
    });
    let middles = &middles[blocks.div_ceil(8).min(middles.len().saturating_sub(1))..];
    if borders.is_empty() || middles.is_empty() {
        return 0.0;
    }
    welch_t(&own.contrast(&borders, middles), &other.contrast(&borders, middles))
}

//! What the answers of all runs say: means and spreads over seeds, and paired tests against one arm.
//!
//! Two different questions are tested. *Windows*: would these very models, trained with these seeds, differ in the same direction on other DNA of
//! this genome? *Seeds*: would other trainings of these arms differ in the same direction on the same masks? Three seeds say little about the second:
//! no sign flip test of three pairs is below p = 0.25.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tatabox_core::baseline::BaselineScores;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_core::score::{MaskScore, Score, Scores};
use tatabox_core::stats::{Interval, Summary, bootstrap_ratio, holm, sign_flip};

use super::runs::Answers;

/// Patterns of signs that a test draws, where there are too many to count them all.
pub const FLIPS: u64 = 10_000;
/// Sets of windows that an interval draws.
pub const DRAWS: usize = 2_000;
/// What an interval holds.
pub const CONFIDENCE: f64 = 0.95;
/// The name of all masks together.
pub const ALL: &str = "all";

/// The result of a comparison: `compare.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The arm that the others are compared with.
    pub against: String,
    /// The seeds of the runs.
    pub seeds: Vec<u64>,
    /// Seeds that are not finished yet, and are in none of the numbers.
    pub seeds_left: Vec<u64>,
    /// The frozen masks, `all` first.
    pub masks: Vec<String>,
    /// Held-out windows.
    pub windows: usize,
    /// Groups of windows that overlap each other: the units of the tests over windows.
    pub groups: usize,
    /// The arms.
    pub arms: Vec<ArmResult>,
    /// What can be guessed without a model, on the same masks.
    pub baselines: Vec<BaselineScores>,
    /// Every other arm less the arm it is compared with, by mask.
    pub differences: Vec<Difference>,
}

/// What the runs of one arm reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmResult {
    /// Its name.
    pub arm: String,
    /// The recipe keys in which the arms differ, with its values.
    pub keys: BTreeMap<String, Json>,
    /// The share of tokens that its training masks hid, as measured, over seeds.
    pub mask_rate: Summary,
    /// Tokens that its runs read, over seeds.
    pub tokens: Summary,
    /// Tokens that its runs had to guess, over seeds.
    pub masked_tokens: Summary,
    /// By frozen mask, over seeds.
    pub scores: Vec<ArmScore>,
    /// Its runs.
    pub runs: Vec<RunResult>,
}

/// Held-out loss of an arm under one frozen mask, over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmScore {
    /// The mask.
    pub mask: String,
    /// Nats a masked token.
    pub nats_per_token: Summary,
    /// e to their power.
    pub perplexity: Summary,
    /// Bits a hidden base; none where the mask hides none.
    pub bits_per_hidden_base: Option<Summary>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunResult {
    /// Its seed.
    pub seed: u64,
    /// Its directory within the comparison.
    pub run: String,
    /// Its last step.
    pub step: u64,
    /// The share of tokens that its masks hid.
    pub mask_rate: f64,
    /// Its held-out scores, of its last weights.
    pub scores: Scores,
    /// Held-out loss on its way.
    pub curve: Vec<Point>,
}

/// Held-out loss of a run at a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The step.
    pub step: u64,
    /// Nats a masked token over all masks.
    pub nats_per_token: f64,
    /// The same by mask, in the order of the masks, `all` left out.
    pub by_mask: Vec<f64>,
}

/// An arm less the arm it is compared with: below 0 is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The arm.
    pub arm: String,
    /// The frozen mask.
    pub mask: String,
    /// The difference of the means, in nats a masked token.
    pub nats_per_token: f64,
    /// Over seeds.
    pub seeds: SeedTest,
    /// Over held-out windows.
    pub windows: WindowTest,
}

/// What the seeds say: other trainings, the same masks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeedTest {
    /// The difference under each seed.
    pub differences: Vec<f64>,
    /// Student's 95 % interval; none for one seed.
    pub interval: Option<Interval>,
    /// Student's paired test; none for one seed.
    pub student_p: Option<f64>,
    /// The sign flip test; never below 2 / 2^seeds.
    pub sign_flip_p: f64,
}

/// What the held-out windows say: the same models, other DNA.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowTest {
    /// The bootstrap's 95 % interval over groups of windows; none for one group.
    pub interval: Option<Interval>,
    /// The sign flip test over groups of windows.
    pub p: f64,
    /// The same after Holm's correction: over the arms for `all` masks, over arms and masks for the others.
    pub p_holm: f64,
}

/// The answers of one arm, seed by seed, with the curves of its runs.
pub struct Answered {
    /// The arm's name.
    pub arm: String,
    /// The keys in which it differs.
    pub keys: BTreeMap<String, Json>,
    /// A run a seed: its directory, what it answered, and its curve.
    pub runs: Vec<(String, Answers, Vec<Point>)>,
}

/// Computes the comparison of arms that answered the same frozen masks under the same seeds. `against` is one of the arms.
pub fn analyse(
    frozen: &FrozenMasks,
    answered: Vec<Answered>,
    seeds: &[u64],
    seeds_left: &[u64],
    against: &str,
    baselines: Vec<BaselineScores>,
) -> Comparison {
    let questions = Questions::new(frozen);
    let nats: Vec<Vec<&[f64]>> =
        answered.iter().map(|arm| arm.runs.iter().map(|(_, answers, _)| answers.nats.as_slice()).collect()).collect();
    let base = answered.iter().position(|arm| arm.arm == against).unwrap_or(0);
    let mut differences = Vec::new();
    for (index, arm) in answered.iter().enumerate().filter(|(index, _)| *index != base) {
        for mask in 0..questions.masks.len() {
            differences.push(questions.difference(&arm.arm, mask, &nats[index], &nats[base]));
        }
    }
    correct(&mut differences);
    let arms = answered.iter().map(|arm| questions.arm(arm, seeds)).collect();
    Comparison {
        against: against.to_string(),
        seeds: seeds.to_vec(),
        seeds_left: seeds_left.to_vec(),
        masks: questions.masks.clone(),
        windows: questions.windows,
        groups: questions.groups,
        arms,
        baselines,
        differences,
    }
}

/// Holm's correction, apart for all masks together and for the masks one by one.
fn correct(differences: &mut [Difference]) {
    for overall in [true, false] {
        let mut family: Vec<&mut Difference> =
            differences.iter_mut().filter(|one| (one.mask == ALL) == overall).collect();
        let corrected = holm(&family.iter().map(|one| one.windows.p).collect::<Vec<_>>());
        family.iter_mut().zip(corrected).for_each(|(one, p)| one.windows.p_holm = p);
    }
}

/// The frozen masks as the units of an analysis.
struct Questions {
    /// `all`, then each mask.
    masks: Vec<String>,
    /// Of each sequence: its mask, its group, its masked tokens, and the hidden bases under them.
    sequences: Vec<Question>,
    windows: usize,
    groups: usize,
    seed: u64,
}

struct Question {
    mask: usize,
    group: usize,
    tokens: u64,
    hidden: u64,
}

impl Questions {
    fn new(frozen: &FrozenMasks) -> Self {
        let (of_window, groups) = groups(frozen);
        let mut masks = vec![ALL.to_string()];
        let sequences = frozen.sequences.iter().map(|one| {
            let mask = masks.iter().position(|name| *name == one.mask).unwrap_or_else(|| {
                masks.push(one.mask.clone());
                masks.len() - 1
            });
            Question {
                mask,
                group: of_window[&one.window],
                tokens: one.masked.targets.len() as u64,
                hidden: one.hidden.iter().map(|&hidden| u64::from(hidden)).sum(),
            }
        });
        let sequences = sequences.collect();
        Self { masks, sequences, windows: of_window.len(), groups, seed: frozen.seed }
    }

    /// The sequences of a mask with their index; all for 0.
    fn of(&self, mask: usize) -> impl Iterator<Item = (usize, &Question)> {
        self.sequences.iter().enumerate().filter(move |(_, one)| mask == 0 || one.mask == mask)
    }

    /// The score of a run under a mask.
    fn score(&self, mask: usize, nats: &[f64]) -> Score {
        let (mut sum, mut tokens, mut hidden) = (0.0, 0, 0);
        for (at, one) in self.of(mask) {
            sum += nats[at];
            tokens += one.tokens;
            hidden += one.hidden;
        }
        let nats_per_token = sum / tokens as f64;
        Score {
            nats_per_token,
            perplexity: nats_per_token.exp(),
            bits_per_hidden_base: (hidden > 0).then(|| sum / (std::f64::consts::LN_2 * hidden as f64)),
            masked_tokens: tokens,
            hidden_bases: hidden,
        }
    }

    fn scores(&self, nats: &[f64]) -> Scores {
        let by_mask = (1..self.masks.len())
            .map(|mask| MaskScore { mask: self.masks[mask].clone(), score: self.score(mask, nats) });
        Scores { overall: self.score(0, nats), by_mask: by_mask.collect() }
    }

    fn arm(&self, answered: &Answered, seeds: &[u64]) -> ArmResult {
        let over = |value: &dyn Fn(&Answers) -> f64| {
            let values: Vec<f64> = answered.runs.iter().map(|(_, answers, _)| value(answers)).collect();
            Summary::of(&values).expect("an arm has at least one run")
        };
        let score = |mask: usize| {
            let bits = over(&|run| self.score(mask, &run.nats).bits_per_hidden_base.unwrap_or(f64::NAN));
            ArmScore {
                mask: self.masks[mask].clone(),
                nats_per_token: over(&|run| self.score(mask, &run.nats).nats_per_token),
                perplexity: over(&|run| self.score(mask, &run.nats).perplexity),
                bits_per_hidden_base: bits.mean.is_finite().then_some(bits),
            }
        };
        let runs = answered.runs.iter().zip(seeds).map(|((run, answers, curve), &seed)| RunResult {
            seed,
            run: run.clone(),
            step: answers.step,
            mask_rate: answers.mask_rate,
            scores: self.scores(&answers.nats),
            curve: curve.clone(),
        });
        ArmResult {
            arm: answered.arm.clone(),
            keys: answered.keys.clone(),
            mask_rate: over(&|run| run.mask_rate),
            tokens: over(&|run| run.tokens as f64),
            masked_tokens: over(&|run| run.masked_tokens as f64),
            scores: (0..self.masks.len()).map(score).collect(),
            runs: runs.collect(),
        }
    }

    /// An arm's nats less another's under a mask; both `[seeds][sequences]`.
    fn difference(&self, arm: &str, mask: usize, nats: &[&[f64]], base: &[&[f64]]) -> Difference {
        let mut by_seed = vec![0.0; nats.len()];
        // Nats, the mean over seeds, and tokens.
        let mut by_group = vec![(0.0, 0.0); self.groups];
        for (at, one) in self.of(mask) {
            by_group[one.group].1 += one.tokens as f64;
            for (seed, sum) in by_seed.iter_mut().enumerate() {
                let difference = nats[seed][at] - base[seed][at];
                *sum += difference;
                by_group[one.group].0 += difference / nats.len() as f64;
            }
        }
        by_group.retain(|(_, tokens)| *tokens > 0.0);
        let tokens: f64 = by_group.iter().map(|(_, tokens)| tokens).sum();
        by_seed.iter_mut().for_each(|sum| *sum /= tokens);
        let over_seeds = Summary::of(&by_seed).expect("an arm has at least one run");
        // The same signs and draws for every arm and mask: a p-value does not depend on which other arms there are.
        let mut flips = SeededRng::new(self.seed, Purpose::Resample, 0, 0);
        let mut draws = SeededRng::new(self.seed, Purpose::Resample, 1, 0);
        let of_groups: Vec<f64> = by_group.iter().map(|(nats, _)| *nats).collect();
        let p = sign_flip(&of_groups, FLIPS, &mut flips);
        Difference {
            arm: arm.to_string(),
            mask: self.masks[mask].clone(),
            nats_per_token: over_seeds.mean,
            seeds: SeedTest {
                interval: over_seeds.interval(CONFIDENCE),
                student_p: over_seeds.student_p(),
                sign_flip_p: sign_flip(&by_seed, FLIPS, &mut flips),
                differences: by_seed,
            },
            windows: WindowTest { interval: bootstrap_ratio(&by_group, DRAWS, CONFIDENCE, &mut draws), p, p_holm: p },
        }
    }
}

/// The group of each window, and how many groups there are: windows that share bases, on either strand, are one group, for they are no
/// independent evidence.
fn groups(frozen: &FrozenMasks) -> (BTreeMap<u64, usize>, usize) {
    let mut windows: Vec<(&str, u64, u64, u64)> = frozen
        .sequences
        .iter()
        .map(|one| (one.origin.contig.as_str(), one.origin.start, one.origin.start + one.origin.bases, one.window))
        .collect();
    windows.sort_unstable();
    let mut of_window = BTreeMap::new();
    let mut groups = 0;
    let mut reached = ("", 0);
    for (contig, start, end, window) in windows {
        if groups == 0 || contig != reached.0 || start >= reached.1 {
            groups += 1;
            reached = (contig, end);
        }
        reached.1 = reached.1.max(end);
        of_window.insert(window, groups - 1);
    }
    (of_window, groups)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tatabox_core::mask::frozen::{Freezer, Origin};
    use tatabox_core::tokenizer::{TokenKind, Tokenizer, TokenizerConfig};

    /// Frozen masks of `windows` random windows of 40 bases, each 50 after the one before.
    pub(crate) fn frozen(windows: u64) -> FrozenMasks {
        let config = TokenizerConfig { kind: TokenKind::Kmer, k: 3, stride: 1, dnabert_compat: false };
        let drawn = (0..windows).map(|window| {
            let mut rng = SeededRng::new(4, Purpose::Test, 0, window);
            let codes = (0..40).map(|_| rng.below(4) as u8).collect();
            Ok((codes, Origin { contig: "c".into(), start: 50 * window, bases: 40, reverse: false }))
        });
        Freezer::new(Tokenizer::new(config).unwrap(), 1).freeze_all(drawn).unwrap()
    }

    /// Arms that pay so many nats a masked token on average: a run for each shift, noise of its own in each sequence, the seed's noise common.
    pub(crate) fn answered(frozen: &FrozenMasks, arms: &[(&str, f64)], seeds: &[u64]) -> Vec<Answered> {
        let run = |arm: usize, cost: f64, seed: u64| {
            let nats = frozen.sequences.iter().enumerate().map(|(at, one)| {
                let mut rng = SeededRng::new(seed, Purpose::Test, arm as u64 + 1, at as u64);
                one.masked.targets.len() as f64 * (cost + 0.1 * (rng.unit() - 0.5) + 0.01 * seed as f64)
            });
            let nats: Vec<f64> = nats.collect();
            let answers = Answers {
                step: 6,
                mask_rate: 0.15,
                tokens: 1000,
                masked_tokens: 150,
                frozen_sha256: String::new(),
                nats,
            };
            let by_mask = vec![cost; 5];
            let curve = [2, 4, 6].map(|step| Point {
                step,
                nats_per_token: cost + 1.0 / step as f64,
                by_mask: by_mask.clone(),
            });
            (format!("runs/x/seed-{seed}"), answers, curve.to_vec())
        };
        arms.iter()
            .enumerate()
            .map(|(index, (arm, cost))| Answered {
                arm: arm.to_string(),
                keys: BTreeMap::from([("mask.strategy".to_string(), Json::from(*arm))]),
                runs: seeds.iter().map(|&seed| run(index, *cost, seed)).collect(),
            })
            .collect()
    }

    #[test]
    fn scores_are_those_of_the_sums() {
        let frozen = frozen(20);
        let arms = answered(&frozen, &[("a", 3.0)], &[1, 2]);
        let tokens: usize = frozen.sequences.iter().map(|one| one.masked.targets.len()).sum();
        let means = [0, 1].map(|run: usize| arms[0].runs[run].1.nats.iter().sum::<f64>() / tokens as f64);
        let result = analyse(&frozen, arms, &[1, 2], &[], "a", Vec::new());
        let all = &result.arms[0].scores[0];
        assert!((all.nats_per_token.mean - (means[0] + means[1]) / 2.0).abs() < 1e-12);
        assert!((all.nats_per_token.sd.unwrap() - (means[1] - means[0]).abs() / 2f64.sqrt()).abs() < 1e-12);
        assert!((all.perplexity.mean - (means[0].exp() + means[1].exp()) / 2.0).abs() < 1e-9);
        assert_eq!((result.masks.len(), result.arms[0].scores.len(), result.windows, result.groups), (6, 6, 20, 20));
        assert!(result.differences.is_empty());
        let shares: u64 = result.arms[0].runs[0].scores.by_mask.iter().map(|mask| mask.score.masked_tokens).sum();
        assert_eq!(shares, tokens as u64);
    }

    #[test]
    fn a_true_difference_is_found_and_noise_is_not() {
        let frozen = frozen(60);
        let arms = answered(&frozen, &[("base", 3.0), ("better", 2.9), ("same", 3.0)], &[1, 2, 3]);
        let result = analyse(&frozen, arms, &[1, 2, 3], &[], "base", Vec::new());
        let of = |arm: &str| result.differences.iter().find(|one| one.arm == arm && one.mask == ALL).unwrap();
        let better = of("better");
        assert!((better.nats_per_token + 0.1).abs() < 0.01, "{better:?}");
        assert!(better.windows.p < 0.001 && better.windows.p_holm < 0.002, "{better:?}");
        let interval = better.windows.interval.unwrap();
        assert!(interval.low < -0.1 + 0.01 && interval.high < -0.08, "{better:?}");
        // Three pairs cannot say more.
        assert_eq!(better.seeds.sign_flip_p, 0.25);
        assert!(better.seeds.student_p.unwrap() < 0.01 && better.seeds.interval.unwrap().high < 0.0, "{better:?}");
        let same = of("same");
        assert!(same.windows.p_holm > 0.05 && same.nats_per_token.abs() < 0.02, "{same:?}");
        // The difference is that of the table.
        let mean = |arm: usize| result.arms[arm].scores[0].nats_per_token.mean;
        assert!((better.nats_per_token - (mean(1) - mean(0))).abs() < 1e-12);
        assert_eq!(result.differences.len(), 2 * 6);
    }

    #[test]
    fn an_arm_against_its_twin_shows_nothing() {
        let frozen = frozen(10);
        let mut arms = answered(&frozen, &[("a", 3.0)], &[1, 2]);
        let runs =
            arms[0].runs.iter().map(|(run, answers, curve)| (run.clone(), answers.clone(), curve.clone())).collect();
        arms.push(Answered { arm: "b".to_string(), keys: BTreeMap::new(), runs });
        let result = analyse(&frozen, arms, &[1, 2], &[], "a", Vec::new());
        let all = &result.differences[0];
        assert_eq!(
            (all.nats_per_token, all.windows.p, all.seeds.sign_flip_p, all.seeds.student_p),
            (0.0, 1.0, 1.0, None)
        );
    }

    #[test]
    fn windows_that_share_bases_are_one_unit() {
        let mut frozen = frozen(6);
        // Windows 1 and 2 overlap, 3 lies within 2, 4 begins where 3 ends, 5 is on another contig.
        for one in &mut frozen.sequences {
            let (contig, start, bases) =
                [("c", 0, 40), ("c", 100, 40), ("c", 130, 40), ("c", 135, 20), ("c", 170, 40), ("d", 100, 40)]
                    [one.window as usize];
            one.origin = Origin { contig: contig.into(), start, bases, reverse: one.window == 2 };
        }
        let (of_window, count) = groups(&frozen);
        assert_eq!((of_window.values().copied().collect::<Vec<_>>(), count), (vec![0, 1, 1, 1, 2, 3], 4));
    }

    #[test]
    fn one_seed_has_windows_to_speak_for_it_and_no_spread() {
        let frozen = frozen(40);
        let arms = answered(&frozen, &[("a", 3.0), ("b", 3.2)], &[5]);
        let result = analyse(&frozen, arms, &[5], &[6], "a", Vec::new());
        let all = &result.differences[0];
        assert_eq!((all.seeds.interval, all.seeds.student_p, all.seeds.sign_flip_p), (None, None, 1.0));
        assert!(all.windows.p < 0.001);
        assert_eq!(result.arms[0].scores[0].nats_per_token.sd, None);
    }
}

//! What a mask strategy really does: the rate, the spans, the hidden bases, and how much of the answer can be read off the neighbours.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;

use super::{Hidden, MaskConfig, MaskStrategy, Selection};
use crate::rng::{Purpose, SeededRng};
use crate::tokenizer::{Tokenizer, Tokens};
use crate::units::{TokenId, TokenPos};
use crate::words::count;

/// Bases in a row of the drawing.
const ROW: usize = 100;
/// Columns before them: what a row shows, and where it begins.
const MARGIN: usize = 14;
/// Bases that are drawn at most.
const DRAWN: usize = 600;

/// What a strategy did to a number of sequences at one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskReport {
    /// The strategy's name.
    pub strategy: String,
    /// The strategy with what its recipe changes of the defaults, as of [`MaskConfig::described`].
    pub described: String,
    /// The step it was asked for.
    pub step: u64,
    /// What is drawn at this step, in words.
    pub drawn: String,
    /// Sequences seen.
    pub sequences: u64,
    /// Of them, those in which nothing was selected.
    pub empty_sequences: u64,
    /// Tokens seen, specials not counted.
    pub tokens: u64,
    /// Tokens selected.
    pub masked_tokens: u64,
    /// `masked_tokens` over `tokens`; 0 where there were none.
    pub mask_rate: f64,
    /// How many spans have each length in tokens, as they were drawn (cut at the ends of a sequence).
    pub spans: BTreeMap<u32, u64>,
    /// How many runs of neighbouring selected tokens have each length. A run longer than any span is spans that touch or overlap.
    pub runs: BTreeMap<u32, u64>,
    /// How many of these runs hide each number of bases.
    pub hidden_by_run: BTreeMap<u32, u64>,
    /// Bases under the tokens.
    pub bases: u64,
    /// Bases that no visible token spells out.
    pub hidden_bases: u64,
    /// Selected tokens whose answer their visible neighbours spell out whole.
    pub leaked_tokens: u64,
    /// `leaked_tokens` over `masked_tokens`; 0 where there were none.
    pub leak: f64,
    /// As `leak`, in the model's input: the selected tokens that the 80/10/10 draw keeps are visible too. The mean over all draws, not one of them.
    pub input_leak: f64,
    /// The first sequence in which something was selected, drawn as text; empty where there is none.
    pub drawing: String,
    /// Its rows, uncut.
    #[serde(skip)]
    rows: [Vec<char>; 4],
}

impl MaskReport {
    /// The same report with a drawing of at most so many columns, in steps of ten bases.
    pub fn within(self, columns: usize) -> Self {
        let bases = columns.saturating_sub(MARGIN) / 10 * 10;
        Self { drawing: cut(&self.rows, bases.clamp(10, ROW)), ..self }
    }
}

/// Selects tokens in every sequence of base codes, as a run with this seed would at this step, and counts. The strategy is that of `config`, which says
/// how the selected tokens are hidden.
///
/// # Examples
/// ```
/// use tatabox_core::mask::{MaskConfig, inspect::inspect};
/// use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
/// let tokenizer = Tokenizer::new(TokenizerConfig::default())?;
/// let config = MaskConfig::default();
/// let strategy = config.build(&tokenizer, 1_000, 0, None)?;
/// let report = inspect(&*strategy, &config, &tokenizer, vec![vec![0; 515]; 100], 1, 0);
/// assert_eq!(report.tokens, 51_000);
/// assert_eq!(report.leak, 0.0); // a span of six 6-mers hides one base of each of them
/// assert!((0.4..0.47).contains(&report.input_leak)); // which one kept token of the six shows: 1 - 0.9^6, less where spans overlap
/// # Ok::<(), tatabox_core::Error>(())
/// ```
pub fn inspect<S>(
    strategy: &dyn MaskStrategy,
    config: &MaskConfig,
    tokenizer: &Tokenizer,
    sequences: S,
    step: u64,
    seed: u64,
) -> MaskReport
where
    S: IntoIterator,
    S::Item: AsRef<[u8]>,
{
    let mut report = MaskReport {
        strategy: strategy.name().into(),
        described: config.described(),
        step,
        drawn: strategy.phase(step).drawn.clone(),
        sequences: 0,
        empty_sequences: 0,
        tokens: 0,
        masked_tokens: 0,
        mask_rate: 0.0,
        spans: BTreeMap::new(),
        runs: BTreeMap::new(),
        hidden_by_run: BTreeMap::new(),
        bases: 0,
        hidden_bases: 0,
        leaked_tokens: 0,
        leak: 0.0,
        input_leak: 0.0,
        drawing: String::new(),
        rows: Default::default(),
    };
    let (mut tokens, mut selection) = (Tokens::default(), Selection::default());
    let mut readable = 0.0;
    for (index, codes) in sequences.into_iter().enumerate() {
        tokenizer.encode(codes.as_ref(), &mut tokens);
        let mut rng = SeededRng::new(seed, Purpose::Select, step, index as u64);
        strategy.select_into(&tokens, step, &mut rng, &mut selection);
        let hidden = Hidden::new(tokenizer, &tokens.ids, &selection.positions);
        if report.drawing.is_empty() && !selection.positions.is_empty() {
            report.rows = draw(tokenizer, &tokens.ids, codes.as_ref(), &selection, &hidden);
            report.drawing = cut(&report.rows, ROW);
        }
        report.sequences += 1;
        report.empty_sequences += u64::from(selection.positions.is_empty());
        report.tokens += u64::from(tokens.content().end - tokens.content().start);
        report.masked_tokens += selection.positions.len() as u64;
        report.bases += hidden.bases() as u64;
        report.hidden_bases += u64::from(hidden.total());
        report.leaked_tokens += selection.positions.iter().filter(|&&position| hidden.of(position) == 0).count() as u64;
        let chance = |&position| hidden.readable(position, &selection.positions, config.corruption_unit);
        readable += selection.positions.iter().map(chance).sum::<f64>();
        for span in &selection.spans {
            *report.spans.entry(span.end.0 - span.start.0).or_default() += 1;
        }
        for bases in hidden.by_run(&selection.positions) {
            *report.hidden_by_run.entry(bases).or_default() += 1;
        }
        for run in selection.positions.chunk_by(|left, right| left.0 + 1 == right.0) {
            *report.runs.entry(run.len() as u32).or_default() += 1;
        }
    }
    report.mask_rate = share(report.masked_tokens, report.tokens);
    report.leak = share(report.leaked_tokens, report.masked_tokens);
    report.input_leak = if report.masked_tokens == 0 { 0.0 } else { readable / report.masked_tokens as f64 };
    report
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Rows of bases with what is under them: `^` a hidden base, `#` a selected token at its first base, `[==]` a span as it was drawn.
fn draw(
    tokenizer: &Tokenizer,
    ids: &[TokenId],
    codes: &[u8],
    selection: &Selection,
    hidden: &Hidden,
) -> [Vec<char>; 4] {
    let bases = hidden.bases();
    let at = |position: TokenPos| (position.index() - 1) * tokenizer.stride();
    let letters: Vec<char> =
        codes[..bases].iter().map(|&code| ['A', 'T', 'C', 'G', 'N'][usize::from(code.min(4))]).collect();
    let marks: Vec<char> = (0..bases).map(|base| if hidden.is_hidden(base) { '^' } else { ' ' }).collect();
    let (mut tokens, mut spans) = (vec![' '; bases], vec![' '; bases]);
    for position in (1..ids.len() as u32 - 1).map(TokenPos) {
        tokens[at(position)] = '.';
    }
    for &position in &selection.positions {
        tokens[at(position)] = '#';
    }
    for span in &selection.spans {
        let (first, last) = (at(span.start), at(TokenPos(span.end.0 - 1)));
        spans[first..=last].fill('=');
        spans[first] = '[';
        spans[last] = if first == last { '|' } else { ']' };
    }
    let mut rows = [letters, marks, tokens, spans];
    rows.iter_mut().for_each(|row| row.truncate(DRAWN));
    rows
}

/// The rows of a drawing one below the other, so many bases at once.
fn cut(rows: &[Vec<char>; 4], width: usize) -> String {
    let mut text = String::new();
    let bases = rows[0].len();
    for start in (0..bases).step_by(width) {
        let end = (start + width).min(bases);
        for (name, row) in ["bases", "hidden", "tokens", "spans"].into_iter().zip(rows) {
            let line: String = row[start..end].iter().collect();
            let _ = writeln!(
                text,
                "{}",
                format!("{name:<7} {:>4}  {line}", if name == "bases" { start.to_string() } else { String::new() })
                    .trim_end()
            );
        }
        text.push('\n');
    }
    text
}

impl fmt::Display for MaskReport {
    /// The report as text, the drawing last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "strategy         {}, step {}", self.described, self.step)?;
        writeln!(f, "drawn            {}", self.drawn)?;
        writeln!(f, "sequences        {}, nothing selected in {}", count(self.sequences), count(self.empty_sequences))?;
        writeln!(
            f,
            "masked tokens    {} of {}: {:.2} %",
            count(self.masked_tokens),
            count(self.tokens),
            100.0 * self.mask_rate
        )?;
        let hidden = 100.0 * share(self.hidden_bases, self.bases);
        writeln!(f, "hidden bases     {} of {}: {hidden:.2} %", count(self.hidden_bases), count(self.bases))?;
        writeln!(
            f,
            "leak             {:.2} % of the masked tokens can be read off their visible neighbours",
            100.0 * self.leak
        )?;
        writeln!(
            f,
            "input leak       {:.2} % in the model's input, where the 80/10/10 corruption keeps some of them visible",
            100.0 * self.input_leak
        )?;
        for (title, counts) in [
            ("spans as drawn, in tokens", &self.spans),
            ("runs of masked tokens: spans that touch or overlap are one", &self.runs),
            ("bases that such a run hides", &self.hidden_by_run),
        ] {
            writeln!(f, "{title}")?;
            let all: u64 = counts.values().sum();
            let most = counts.values().copied().max().unwrap_or(1);
            for (length, &number) in counts {
                let bar = "#".repeat((40 * number).div_ceil(most) as usize);
                writeln!(f, "  {length:>4}  {:>9}  {:>5.1} %  {bar}", count(number), 100.0 * share(number, all))?;
            }
        }
        if !self.drawing.is_empty() {
            writeln!(
                f,
                "\none sequence (^ hidden base, # masked token at its first base, [=] span as drawn)\n\n{}",
                self.drawing.trim_end()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::tests::tokenizer;
    use crate::mask::{Corruption, CorruptionUnit, Masked, Phase, Span, SpanDraw, SpanMask, Strategy, corrupt};

    fn sequences(count: u64, bases: usize) -> Vec<Vec<u8>> {
        let sequence = |index| {
            let mut rng = SeededRng::new(1, Purpose::Test, 0, index);
            (0..bases).map(|_| rng.below(4) as u8).collect()
        };
        (0..count).map(sequence).collect()
    }

    /// The report of step 1 and seed 0.
    fn inspected(strategy: &dyn MaskStrategy, unit: CorruptionUnit, sequences: Vec<Vec<u8>>) -> MaskReport {
        let config = MaskConfig { corruption_unit: unit, ..MaskConfig::default() };
        inspect(strategy, &config, &tokenizer(), sequences, 1, 0)
    }

    const NONE: Phase = Phase { first_step: 1, spans: Vec::new(), mask_rate: 0.0, drawn: String::new() };

    /// Selects the same tokens in every sequence.
    struct Fixed(Vec<TokenPos>, [Phase; 1]);

    impl MaskStrategy for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }
        fn phases(&self) -> &[Phase] {
            &self.1
        }
        fn select_into(&self, _: &Tokens, _: u64, _: &mut SeededRng, out: &mut Selection) {
            out.clear();
            out.positions.extend_from_slice(&self.0);
            out.spans.push(Span { start: self.0[0], end: TokenPos(self.0[self.0.len() - 1].0 + 1) });
        }
    }

    #[test]
    fn single_overlapping_tokens_leak_and_spans_of_six_do_not() {
        // Alone, a 6-mer is read off its neighbours unless it is the first or the last.
        let token = MaskConfig { strategy: Strategy::Token, mask_rate: 0.01, ..MaskConfig::default() };
        let report =
            inspected(&*token.build(&tokenizer(), 100, 0, None).unwrap(), CorruptionUnit::Token, sequences(200, 515));
        assert!(report.leak > 0.98, "{}", report.leak);
        let spans = |tokens, rate| SpanMask::kmer_span(SpanDraw::new(tokens, rate));
        let report = inspected(&spans(6, 0.025), CorruptionUnit::Token, sequences(200, 515));
        assert_eq!(report.leaked_tokens, 0);
        assert!((report.mask_rate - 0.14).abs() < 0.01);
        // A span of five hides nothing, away from the ends.
        let report = inspected(&spans(5, 0.0005), CorruptionUnit::Token, sequences(400, 515));
        assert!(report.leak > 0.9, "{}", report.leak);
    }

    #[test]
    fn a_kept_token_of_six_gives_the_base_away_and_a_kept_run_only_itself() {
        let leak = |m: u32, unit| {
            inspected(&Fixed((20..20 + m).map(TokenPos).collect(), [NONE]), unit, sequences(3, 60)).input_leak
        };
        assert!((leak(6, CorruptionUnit::Token) - (1.0 - 0.9f64.powi(6))).abs() < 1e-12);
        // Two bases: the outer tokens have one each, the five between them have both, which one of these shows, or both outer ones do.
        let both = 1.0 - 2.0 * 0.9f64.powi(6) + 0.9f64.powi(7);
        let seven = (2.0 * (1.0 - 0.9f64.powi(6)) + 5.0 * both) / 7.0;
        assert!((leak(7, CorruptionUnit::Token) - seven).abs() < 1e-12);
        assert!((leak(5, CorruptionUnit::Token) - 1.0).abs() < 1e-12);
        for m in [6, 7, 14] {
            assert!((leak(m, CorruptionUnit::Span) - 0.1).abs() < 1e-12);
        }
    }

    #[test]
    fn the_expected_leak_is_that_of_many_corrupted_inputs() {
        let (tokenizer, strategy) = (tokenizer(), SpanMask::kmer_span(SpanDraw::new(6, 0.025)));
        for unit in [CorruptionUnit::Token, CorruptionUnit::Span] {
            let sequences = sequences(300, 515);
            let corruption = Corruption::new(&tokenizer, unit, false);
            let (mut tokens, mut masked) = (Tokens::default(), Masked::default());
            let (mut read, mut all) = (0, 0);
            for (index, codes) in sequences.iter().enumerate() {
                tokenizer.encode(codes, &mut tokens);
                let mut rng = SeededRng::new(0, Purpose::Select, 1, index as u64);
                let selection = strategy.select(&tokens, 1, &mut rng);
                let mut rng = SeededRng::new(0, Purpose::Corrupt, 1, index as u64);
                corrupt(&tokens, &selection, &corruption, &mut rng, &mut masked);
                // What is not as it was is hidden; one of 4096 random tokens is the true one.
                let changed = |position: &TokenPos| masked.input_ids[position.index()] != tokens.ids[position.index()];
                let hidden: Vec<TokenPos> = selection.positions.iter().copied().filter(changed).collect();
                let hidden = Hidden::new(&tokenizer, &tokens.ids, &hidden);
                read += selection.positions.iter().filter(|&&position| hidden.of(position) == 0).count();
                all += selection.positions.len();
            }
            let expected = inspected(&strategy, unit, sequences).input_leak;
            let drawn = read as f64 / all as f64;
            assert!((drawn - expected).abs() < 0.02, "{unit}: drawn {drawn}, expected {expected}");
        }
    }

    #[test]
    fn m_tokens_in_a_row_hide_m_minus_five_bases_of_six_mers() {
        for (m, bases) in [(6, 1), (8, 3), (10, 5), (11, 6), (12, 7), (14, 9)] {
            let fixed = Fixed((20..20 + m).map(TokenPos).collect(), [NONE]);
            let report = inspected(&fixed, CorruptionUnit::Token, sequences(3, 60));
            assert_eq!((report.hidden_bases, report.runs[&m]), (3 * bases, 3), "m = {m}");
            assert_eq!((&report.spans, &report.hidden_by_run), (&report.runs, &BTreeMap::from([(bases as u32, 3)])));
            assert_eq!((report.sequences, report.tokens, report.bases), (3, 165, 180));
        }
    }

    #[test]
    fn draws_one_sequence_with_its_spans_and_hidden_bases() {
        let fixed = Fixed((4..11).map(TokenPos).collect(), [NONE]);
        let codes = vec![0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1];
        let report = inspected(&fixed, CorruptionUnit::Token, vec![codes]);
        assert_eq!(
            report.drawing,
            "bases      0  ATCGATCGATCGATCGAT\n\
             hidden                ^^\n\
             tokens        ...#######...\n\
             spans            [=====]\n\n"
        );
        assert!(report.to_string().contains("masked tokens    7 of 13: 53.85 %"), "{report}");
        // A narrow terminal gets ten bases a row, and the same marks below them.
        assert_eq!(
            report.within(20).drawing,
            "bases      0  ATCGATCGAT\n\
             hidden                ^^\n\
             tokens        ...#######\n\
             spans            [=====]\n\n\
             bases     10  CGATCGAT\n\
             hidden\n\
             tokens        ...\n\
             spans\n\n"
        );
    }

    #[test]
    fn nothing_to_see_gives_zeros() {
        let report =
            inspected(&SpanMask::kmer_span(SpanDraw::new(6, 0.025)), CorruptionUnit::Token, Vec::<Vec<u8>>::new());
        assert_eq!((report.mask_rate, report.leak, report.input_leak, report.drawing.as_str()), (0.0, 0.0, 0.0, ""));
    }
}

//! A drawing of masks (SVG): the bases of a stretch, the tokens that cover them, and what stays hidden.

use std::fmt::Write;

use tatabox_core::mask::{Hidden, MaskStrategy, Selection};
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_core::seq::Sequence;
use tatabox_core::tokenizer::{Tokenizer, Tokens};
use tatabox_core::units::TokenPos;

/// Pixels of a base.
const CELL: usize = 20;
/// Tokens drawn on each side of a span.
const MARGIN: usize = 9;
/// Pixels left of the bases and between panels.
const GAP: usize = 24;

/// One panel: a stretch of a sequence with one span of hidden tokens in the middle.
struct Panel {
    letters: Vec<char>,
    hidden: Vec<bool>,
    /// First base of each token, and whether it is hidden.
    tokens: Vec<(usize, bool)>,
    span: u32,
}

/// Draws the shortest and the longest span that a strategy draws at a step, each where it was found first in the sequences of base codes.
/// `None` where no sequence has one that stands alone.
pub fn masks(
    strategy: &dyn MaskStrategy,
    tokenizer: &Tokenizer,
    sequences: &[Vec<u8>],
    step: u64,
    seed: u64,
) -> Option<String> {
    let spans = &strategy.phase(step).spans;
    let ends = [*spans.first()?, *spans.last()?];
    let wanted = if ends[0] == ends[1] { &ends[..1] } else { &ends[..] };
    let panels: Option<Vec<Panel>> = wanted
        .iter()
        .map(|&span| {
            sequences.iter().enumerate().find_map(|(index, codes)| {
                let mut tokens = Tokens::default();
                tokenizer.encode(codes, &mut tokens);
                let mut rng = SeededRng::new(seed, Purpose::Select, step, index as u64);
                let selection = strategy.select(&tokens, step, &mut rng);
                panel(tokenizer, codes, &tokens, &selection, span)
            })
        })
        .collect();
    Some(svg(tokenizer, &panels?))
}

/// A span of this length that stands alone, with its surroundings.
fn panel(tokenizer: &Tokenizer, codes: &[u8], tokens: &Tokens, selection: &Selection, span: u32) -> Option<Panel> {
    let content = tokens.content();
    let found = selection.spans.iter().find(|found| {
        let alone =
            (found.start.0.saturating_sub(MARGIN as u32)..found.end.0 + MARGIN as u32).map(TokenPos).all(|position| {
                selection.positions.binary_search(&position).is_ok()
                    == (found.start <= position && position < found.end)
            });
        alone
            && found.end.0 - found.start.0 == span
            && found.start.0 > MARGIN as u32
            && found.end.0 + (MARGIN as u32) < content.end
    })?;
    let (first, last) = (found.start.index() - MARGIN, found.end.index() + MARGIN);
    let base_of = |position: usize| (position - 1) * tokenizer.stride();
    let hidden = Hidden::new(tokenizer, &tokens.ids, &selection.positions);
    let bases = base_of(first)..base_of(last - 1) + tokenizer.k();
    Some(Panel {
        letters: Sequence { codes: codes[bases.clone()].to_vec() }.to_string().chars().collect(),
        hidden: bases.clone().map(|base| hidden.is_hidden(base)).collect(),
        tokens: (first..last)
            .map(|at| (base_of(at) - bases.start, (found.start.index()..found.end.index()).contains(&at)))
            .collect(),
        span,
    })
}

fn svg(tokenizer: &Tokenizer, panels: &[Panel]) -> String {
    let rows = tokenizer.cover();
    let row = CELL - 4;
    let widest = panels.iter().map(|panel| panel.letters.len()).max().unwrap_or(0);
    let panel_height = 28 + CELL + 8 + rows * row + GAP;
    let (width, height) = (2 * GAP + widest * CELL, GAP / 2 + panels.len() * panel_height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace, Menlo, Consolas, monospace\" role=\"img\">\n\
         <title>Tokens that are hidden together, and the bases that they hide</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let top = GAP / 2 + number * panel_height;
        let left = GAP + (widest - panel.letters.len()) / 2 * CELL;
        let hidden = panel.hidden.iter().filter(|&&hidden| hidden).count();
        let plural = if hidden == 1 { "" } else { "s" };
        let _ = writeln!(
            out,
            "<text x=\"{left}\" y=\"{}\" font-size=\"14\" fill=\"#24292f\">{} hidden tokens in a row hide {hidden} base{plural}</text>",
            top + 16,
            panel.span
        );
        let bases = top + 28;
        for (at, (&letter, &hidden)) in panel.letters.iter().zip(&panel.hidden).enumerate() {
            let (fill, ink) = if hidden { ("#bc4c00", "#ffffff") } else { ("#eaeef2", "#24292f") };
            let (x, y, side) = (left + at * CELL, bases, CELL - 2);
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" rx=\"3\" fill=\"{fill}\"/><text x=\"{}\" y=\"{}\" \
                 font-size=\"12\" text-anchor=\"middle\" fill=\"{ink}\">{letter}</text>",
                x + CELL / 2 - 1,
                y + 13
            );
        }
        for (number, &(base, hidden)) in panel.tokens.iter().enumerate() {
            let fill = if hidden { "#ffb77c" } else { "#a8d1ff" };
            let y = bases + CELL + 8 + number % rows * row;
            let _ = writeln!(
                out,
                "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"4\" fill=\"{fill}\"/>",
                left + base * CELL,
                tokenizer.k() * CELL - 3,
                row - 4
            );
        }
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use tatabox_core::mask::{MaskConfig, Strategy};
    use tatabox_core::tokenizer::TokenizerConfig;

    #[test]
    fn six_hidden_tokens_hide_one_base_and_fourteen_hide_nine() {
        let tokenizer = Tokenizer::new(TokenizerConfig::default()).unwrap();
        let config = MaskConfig { strategy: Strategy::RandomMask, mask_rate: 0.05, ..MaskConfig::default() };
        let strategy = config.build(&tokenizer, 100, 0, None).unwrap();
        let mut rng = SeededRng::new(3, Purpose::Test, 0, 0);
        let sequences: Vec<Vec<u8>> = (0..50).map(|_| (0..515).map(|_| rng.below(4) as u8).collect()).collect();
        let svg = masks(&*strategy, &tokenizer, &sequences, 100, 0).unwrap();
        assert!(svg.contains("6 hidden tokens in a row hide 1 base<"), "{svg}");
        assert!(svg.contains("14 hidden tokens in a row hide 9 bases<"), "{svg}");
        assert_eq!(svg.matches("#bc4c00").count(), 1 + 9, "a dark box for every hidden base");
        assert_eq!(svg.matches("#ffb77c").count(), 6 + 14, "a bar for every hidden token");
        assert!(masks(&*strategy, &tokenizer, &[], 100, 0).is_none());
    }
}

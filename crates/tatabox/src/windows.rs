//! A sequence, or a pair, as what a model reads: one window of tokens where it fits the model's positions, else overlapping windows. No token is cut off; with
//! a stride above 1, up to stride - 1 bases at the end fill no token.

use tatabox_core::labelled::Example;
use tatabox_core::seq::Sequence;
use tatabox_core::tokenizer::{CLS, SEP, Tokenizer, Tokens};
use tatabox_engine::Batch;

use crate::error::{Error, Result};

/// A question to a model: a sequence, or a pair of them.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Its name, for errors.
    pub id: &'a str,
    /// Base codes, `[bases]`.
    pub codes: &'a [u8],
    /// The second sequence of a pair.
    pub second: Option<&'a [u8]>,
}

impl<'a> From<&'a Example> for Query<'a> {
    fn from(example: &'a Example) -> Self {
        Query { id: &example.id, codes: &example.codes, second: example.second.as_deref() }
    }
}

/// The windows of one query, end to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// Token ids, `[tokens]`.
    pub ids: Vec<u32>,
    /// Token types, `[tokens]`: 0 for the first sequence of a pair, 1 for the second.
    pub types: Vec<u32>,
    /// Where each window starts, and the end of the last, `[windows + 1]`.
    pub offsets: Vec<u32>,
}

impl Encoded {
    /// Adds the windows to a batch as one example.
    pub fn push_to(&self, batch: &mut Batch) {
        for window in self.offsets.windows(2) {
            batch.push(self.ids[window[0] as usize..window[1] as usize].iter().copied(), []);
        }
        batch.token_types.extend(&self.types);
        batch.end_example();
    }

    fn end_window(&mut self, kind: u32) {
        self.types.resize(self.ids.len(), kind);
        self.offsets.push(self.ids.len() as u32);
    }
}

/// Makes windows.
#[derive(Clone, Debug)]
pub struct Windows {
    tokenizer: Tokenizer,
    /// Tokens of a window without the specials.
    content: usize,
    /// Tokens from the start of one window to that of the next.
    step: usize,
}

impl Windows {
    /// Windows of at most `max_length` tokens, `[CLS]` and `[SEP]` included, that share `overlap` of their tokens with the next.
    pub fn new(tokenizer: Tokenizer, max_length: usize, overlap: f64) -> Self {
        let content = max_length - 2;
        let step = ((content as f64 * (1.0 - overlap)).round() as usize).clamp(1, content);
        Self { tokenizer, content, step }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tokens of a sequence of so many bases, all its windows and specials together.
    pub fn tokens_of(&self, bases: usize) -> usize {
        let tokens = self.tokenizer.tokens_of(bases);
        let windows = self.starts(tokens).count();
        windows * (tokens.min(self.content) + 2)
    }

    /// Windows of a sequence of so many bases.
    pub fn windows_of(&self, bases: usize) -> usize {
        self.starts(self.tokenizer.tokens_of(bases)).count()
    }

    /// Where windows start among so many tokens; the last one ends with the last token.
    fn starts(&self, tokens: usize) -> impl Iterator<Item = usize> {
        let last = tokens.saturating_sub(self.content);
        (0..=last.div_ceil(self.step)).map(move |window| (window * self.step).min(last))
    }

    /// Replaces what `out` holds by the windows of a query.
    ///
    /// # Errors
    /// A sequence is shorter than a token; or a pair does not fit one window.
    pub fn encode(&self, query: &Query<'_>, out: &mut Encoded) -> Result<()> {
        out.ids.clear();
        out.types.clear();
        out.offsets.clear();
        out.offsets.push(0);
        let first = self.tokens(query.id, query.codes)?;
        let Some(second) = query.second else {
            for start in self.starts(first.len()) {
                out.ids.push(CLS.0);
                out.ids.extend(&first[start..(start + self.content).min(first.len())]);
                out.ids.push(SEP.0);
                out.end_window(0);
            }
            return Ok(());
        };
        let second = self.tokens(query.id, second)?;
        let room = self.content.saturating_sub(1);
        if first.len() + second.len() > room {
            return Err(data(
                format!(
                    "the pair `{}` has {} and {} tokens, but a window takes {room} of both together",
                    called(query.id, query.codes),
                    first.len(),
                    second.len()
                ),
                "pairs are not cut: shorten them, or set `data.max_length` (and the model's positions) higher",
            ));
        }
        out.ids.push(CLS.0);
        out.ids.extend(&first);
        out.ids.push(SEP.0);
        out.types.resize(out.ids.len(), 0);
        out.ids.extend(&second);
        out.ids.push(SEP.0);
        out.end_window(1);
        Ok(())
    }

    /// The ids of a sequence without specials.
    fn tokens(&self, id: &str, codes: &[u8]) -> Result<Vec<u32>> {
        let k = self.tokenizer.k();
        if self.tokenizer.tokens_of(codes.len()) == 0 {
            return Err(data(
                format!(
                    "the sequence `{}` has {} bases, fewer than the {k} of a token",
                    called(id, codes),
                    codes.len()
                ),
                "leave such sequences out, or take a model of shorter k-mers",
            ));
        }
        let mut tokens = Tokens::default();
        self.tokenizer.encode(codes, &mut tokens);
        Ok(tokens.ids[1..tokens.ids.len() - 1].iter().map(|id| id.0).collect())
    }
}

/// What a sequence is called in messages: its name, or where it has none how it begins.
fn called(id: &str, codes: &[u8]) -> String {
    const SHOWN: usize = 24;
    if !id.is_empty() {
        return id.to_string();
    }
    let more = if codes.len() > SHOWN { "…" } else { "" };
    format!("{}{more}", Sequence { codes: codes[..codes.len().min(SHOWN)].to_vec() })
}

fn data(what: String, hint: &str) -> Error {
    Error::Core(tatabox_core::Error::Data { what, hint: hint.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tatabox_core::tokenizer::TokenizerConfig;

    fn windows(max_length: usize, overlap: f64) -> Windows {
        let tokenizer = Tokenizer::new(TokenizerConfig { k: 3, ..TokenizerConfig::default() }).unwrap();
        Windows::new(tokenizer, max_length, overlap)
    }

    fn query(codes: &[u8]) -> Query<'_> {
        Query { id: "x", codes, second: None }
    }

    #[test]
    fn what_fits_is_one_window_with_its_specials() {
        let mut encoded = Encoded::default();
        windows(7, 0.5).encode(&query(&[0, 1, 2, 3, 0, 0, 0]), &mut encoded).unwrap();
        assert_eq!(encoded.offsets, [0, 7]);
        assert_eq!((encoded.ids[0], encoded.ids[6]), (CLS.0, SEP.0));
        assert_eq!(encoded.types, [0; 7]);
    }

    #[test]
    fn windows_of_a_long_sequence_overlap_as_asked_and_cover_every_token() {
        let codes: Vec<u8> = (0..103u32).map(|at| (at * at % 5 % 4) as u8).collect();
        let windows = windows(22, 0.25);
        let whole = windows.tokens("x", &codes).unwrap();
        let mut encoded = Encoded::default();
        windows.encode(&query(&codes), &mut encoded).unwrap();
        // 101 tokens, 20 in a window, 15 from one start to the next: the last window is moved back to the end.
        let starts: Vec<usize> = windows.starts(101).collect();
        assert_eq!(starts, [0, 15, 30, 45, 60, 75, 81]);
        assert_eq!(encoded.offsets.len(), 8);
        assert_eq!((encoded.ids.len(), 7), (windows.tokens_of(103), windows.windows_of(103)));
        for (window, start) in encoded.offsets.windows(2).zip(starts) {
            let ids = &encoded.ids[window[0] as usize + 1..window[1] as usize - 1];
            assert_eq!(ids, &whole[start..start + 20]);
        }
    }

    #[test]
    fn one_token_more_than_a_window_gives_a_second_one() {
        let windows = windows(12, 0.0);
        assert_eq!((windows.windows_of(12), windows.windows_of(13)), (1, 2));
        assert_eq!(windows.starts(11).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_pair_is_one_window_of_two_types() {
        let pair = Query { id: "p", codes: &[0, 1, 2, 3], second: Some(&[3, 3, 3]) };
        let mut encoded = Encoded::default();
        windows(6, 0.5).encode(&pair, &mut encoded).unwrap();
        assert_eq!(encoded.types, [0, 0, 0, 0, 1, 1]);
        assert_eq!(encoded.ids[3], SEP.0);
        let error = windows(5, 0.5).encode(&pair, &mut encoded).unwrap_err().to_string();
        assert!(error.contains("the pair `p` has 2 and 1 tokens, but a window takes 2"), "{error}");
    }

    #[test]
    fn a_sequence_shorter_than_a_token_is_refused_by_name() {
        let error = windows(7, 0.5).encode(&query(&[0, 1]), &mut Encoded::default()).unwrap_err().to_string();
        assert!(error.contains("the sequence `x` has 2 bases, fewer than the 3 of a token"), "{error}");
        let nameless = Query { id: "", codes: &[0, 1], second: None };
        let error = windows(7, 0.5).encode(&nameless, &mut Encoded::default()).unwrap_err().to_string();
        assert!(error.contains("the sequence `AT` has 2 bases"), "{error}");
    }
}

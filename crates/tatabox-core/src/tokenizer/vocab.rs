//! `vocab.txt` and `tokenizer_config.json` as Hugging Face writes them for `BertTokenizer`, and the first read back.

use std::path::Path;

use serde_json::json;

use super::decode::{LETTERS, SPECIAL_TEXTS};
use super::{SPECIALS, TokenKind, Tokenizer, TokenizerConfig};
use crate::error::{Error, Result};
use crate::units::TokenId;

impl Tokenizer {
    /// The texts of all tokens in the order of their ids.
    pub fn vocab_tokens(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.vocab_size() as u32).map(|id| self.token_text(TokenId(id)))
    }

    /// The content of `vocab.txt`: a token a line, the line number (from 0) is the id.
    pub fn vocab_txt(&self) -> String {
        let mut text = String::with_capacity(self.vocab_size() * (self.k() + 1) + 20);
        for token in self.vocab_tokens() {
            text.push_str(&token);
            text.push('\n');
        }
        text
    }

    /// The content of `tokenizer_config.json`, so that `AutoTokenizer.from_pretrained` gives a `BertTokenizer` that reads k-mers with spaces between them.
    ///
    /// `model_max_length` is the most tokens that the model takes, `[CLS]` and `[SEP]` included.
    pub fn tokenizer_config_json(&self, model_max_length: usize) -> String {
        let special = |text: &str| json!({"content": text, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false, "special": true});
        let added: serde_json::Map<String, serde_json::Value> =
            SPECIAL_TEXTS.iter().enumerate().map(|(id, text)| (id.to_string(), special(text))).collect();
        let config = json!({
            "added_tokens_decoder": added,
            "clean_up_tokenization_spaces": false,
            "cls_token": "[CLS]",
            "do_basic_tokenize": true,
            "do_lower_case": false,
            "mask_token": "[MASK]",
            "model_max_length": model_max_length,
            "never_split": null,
            "pad_token": "[PAD]",
            "sep_token": "[SEP]",
            "strip_accents": null,
            "tokenize_chinese_chars": false,
            "tokenizer_class": "BertTokenizer",
            "unk_token": "[UNK]",
        });
        format!("{config:#}\n")
    }

    /// The tokenizer of a `vocab.txt`: its size says k, its order is checked line by line. The stride is not in the file.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read; [`Error::Format`] naming the first line that differs from DNABERT's order; [`Error::Value`]
    /// for a stride that does not fit.
    pub fn from_vocab_file(path: &Path, stride: usize) -> Result<Tokenizer> {
        let text = std::fs::read(path).map_err(|source| Error::File { action: "read", path: path.into(), source })?;
        Self::from_vocab(&text, path, stride)
    }

    /// As [`Tokenizer::from_vocab_file`], from the file's content; `path` is for messages only.
    pub fn from_vocab(text: &[u8], path: &Path, stride: usize) -> Result<Tokenizer> {
        let differs = |line: usize, expected: String, got: String| {
            Err(Error::Format {
                path: path.into(),
                place: format!(", line {line}"),
                expected,
                got,
                hint: "Tatabox needs [PAD] [UNK] [CLS] [SEP] [MASK], then all k-mers over A, T, C, G in this order (DNABERT's vocab.txt); \
                       under another order every k-mer would have another id"
                    .into(),
            })
        };
        let shown = |line: &[u8]| {
            let text = String::from_utf8_lossy(&line[..line.len().min(40)]);
            format!("`{}`", text.escape_debug())
        };
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut lines =
            text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).enumerate();
        for (index, special) in SPECIAL_TEXTS.iter().enumerate() {
            match lines.next() {
                Some((_, line)) if line == special.as_bytes() => {}
                Some((_, line)) => return differs(index + 1, format!("`{special}`"), shown(line)),
                None => return differs(index + 1, format!("`{special}`"), "the end of the file".into()),
            }
        }
        // The first k-mer says how long they are.
        let first = text.split(|&byte| byte == b'\n').nth(SPECIALS as usize).unwrap_or_default();
        let first = first.strip_suffix(b"\r").unwrap_or(first);
        let k = first.len();
        if !(k == 1 || (3..=8).contains(&k)) || first.iter().any(|&letter| letter != b'A') {
            return differs(6, "A, or AAA to AAAAAAAA".into(), shown(first));
        }
        let kind = if k == 1 { TokenKind::Base } else { TokenKind::Kmer };
        let tokenizer = Tokenizer::new(TokenizerConfig { kind, k, stride, dnabert_compat: false })?;
        for id in tokenizer.content_ids() {
            let expected = || format!("`{}`", tokenizer.token_text(TokenId(id)));
            match lines.next() {
                Some((_, line)) if is_kmer(line, id - SPECIALS, k) => {}
                Some((index, line)) => return differs(index + 1, expected(), shown(line)),
                None => {
                    return differs(id as usize + 1, expected(), "the end of the file".into());
                }
            }
        }
        match lines.next() {
            Some((index, line)) => {
                differs(index + 1, format!("the end of the file after {} tokens", tokenizer.vocab_size()), shown(line))
            }
            None => Ok(tokenizer),
        }
    }
}

/// True where `line` is the k-mer of this base-4 number.
fn is_kmer(line: &[u8], number: u32, k: usize) -> bool {
    line.len() == k
        && line
            .iter()
            .enumerate()
            .all(|(index, &letter)| LETTERS[(number >> (2 * (k - 1 - index)) & 3) as usize] == letter as char)
}

#[cfg(test)]
mod tests {
    use super::super::tests::tokenizer;
    use super::*;

    fn read(text: &str) -> Result<Tokenizer> {
        Tokenizer::from_vocab(text.as_bytes(), Path::new("vocab.txt"), 1)
    }

    #[test]
    fn has_dnaberts_order_and_sizes() {
        // The first and last lines of DNABERT's vocab.txt for k = 6; its sizes for k = 3, 4, 5, 6.
        let tokens: Vec<String> = tokenizer(6, 1).vocab_tokens().collect();
        assert_eq!(tokens[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
        assert_eq!(tokens[5..10], ["AAAAAA", "AAAAAT", "AAAAAC", "AAAAAG", "AAAATA"]);
        assert_eq!(tokens.last().unwrap(), "GGGGGG");
        assert_eq!([3, 4, 5, 6].map(|k| tokenizer(k, 1).vocab_size()), [69, 261, 1029, 4101]);
    }

    #[test]
    fn reads_back_what_it_writes_with_either_line_end() {
        for k in [1, 3, 4, 5, 6, 7, 8] {
            let written = tokenizer(k, 1);
            assert_eq!(read(&written.vocab_txt()).unwrap(), written);
            assert_eq!(read(&written.vocab_txt().replace('\n', "\r\n")).unwrap(), written);
        }
    }

    #[test]
    fn a_vocabulary_in_another_order_names_the_first_line_that_differs() {
        let alphabetical = tokenizer(3, 1).vocab_txt().replace("AAT\nAAC\nAAG", "AAC\nAAG\nAAT");
        let error = read(&alphabetical).unwrap_err();
        assert_eq!(error.to_string(), "`vocab.txt`, line 7: expected `AAT`, got `AAC`");
        assert!(error.hint().unwrap().contains("order"));
    }

    #[test]
    fn a_vocabulary_of_another_size_names_where_it_ends() {
        let whole = tokenizer(3, 1).vocab_txt();
        let short = whole.strip_suffix("GGG\n").unwrap();
        for (text, message) in [
            (short.to_string(), "`vocab.txt`, line 69: expected `GGG`, got the end of the file"),
            (format!("{whole}NNN\n"), "`vocab.txt`, line 70: expected the end of the file after 69 tokens, got `NNN`"),
            (String::new(), "`vocab.txt`, line 1: expected `[PAD]`, got ``"),
            ("[PAD]\n[UNK]\n".into(), "`vocab.txt`, line 3: expected `[CLS]`, got the end of the file"),
            (
                "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n".into(),
                "`vocab.txt`, line 6: expected A, or AAA to AAAAAAAA, got `the`",
            ),
            (
                "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".into(),
                "`vocab.txt`, line 6: expected A, or AAA to AAAAAAAA, got ``",
            ),
        ] {
            assert_eq!(read(&text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_tokenizer_config_keeps_the_case_and_names_the_specials() {
        let config: serde_json::Value = serde_json::from_str(&tokenizer(6, 1).tokenizer_config_json(512)).unwrap();
        assert_eq!(config["tokenizer_class"], "BertTokenizer");
        assert_eq!(config["do_lower_case"], false);
        assert_eq!(config["model_max_length"], 512);
        assert_eq!(config["added_tokens_decoder"]["4"]["content"], "[MASK]");
        for special in ["pad", "unk", "cls", "sep", "mask"] {
            assert_eq!(config[format!("{special}_token")], format!("[{}]", special.to_uppercase()));
        }
    }
}

//! The configuration of a BERT, as Hugging Face writes it in `config.json`.
//!
//! The keys and defaults are those of `BertConfig` in transformers (`configuration_bert.py`). What a file says and this program cannot
//! compute (another activation, another kind of position) is refused, never ignored.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The sizes and rates of one BERT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Class names; `BertForMaskedLM` for what Tatabox pretrains.
    #[serde(default = "architectures")]
    pub architectures: Vec<String>,
    /// Always `bert`.
    pub model_type: String,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream, `hidden` in shapes.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Always `gelu`, the exact erf form.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Dropout of embeddings and of both outputs of a layer.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f64,
    /// Dropout of the attention probabilities.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f64,
    /// Longest sequence, specials included.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Number of segment embeddings.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Standard deviation of fresh weights.
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
    /// Added to the variance in LayerNorm.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Id of `[PAD]`, whose embedding starts as zeros.
    #[serde(default)]
    pub pad_token_id: Option<usize>,
    /// Always `absolute`.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
    /// Of use to decoders only; kept for transformers.
    #[serde(default = "yes")]
    pub use_cache: bool,
    /// Dropout of a classifier on top, if not `hidden_dropout_prob`.
    #[serde(default)]
    pub classifier_dropout: Option<f64>,
    /// Names of a classifier's outputs by their index, `{"0": "promoter"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id2label: Option<BTreeMap<String, String>>,
    /// Their indices by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label2id: Option<BTreeMap<String, usize>>,
    /// What a classifier's outputs are: `single_label_classification`, `multi_label_classification` or `regression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem_type: Option<String>,
    /// Element type of the weights in the file.
    #[serde(default = "float32", alias = "torch_dtype")]
    pub dtype: Option<String>,
    /// The decoder is the word embedding.
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
}

fn architectures() -> Vec<String> {
    vec!["BertForMaskedLM".to_string()]
}
fn gelu() -> String {
    "gelu".to_string()
}
fn absolute() -> String {
    "absolute".to_string()
}
fn float32() -> Option<String> {
    Some("float32".to_string())
}
fn tenth() -> f64 {
    0.1
}
fn initializer_range() -> f64 {
    0.02
}
fn layer_norm_eps() -> f64 {
    1e-12
}
fn positions() -> usize {
    512
}
fn two() -> usize {
    2
}
fn yes() -> bool {
    true
}

/// A named set of sizes: layers, hidden, heads, feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The word of `model.preset`.
    pub name: &'static str,
    /// `num_hidden_layers`.
    pub layers: usize,
    /// `hidden_size`.
    pub hidden: usize,
    /// `num_attention_heads`.
    pub heads: usize,
    /// `intermediate_size`.
    pub intermediate: usize,
}

/// The presets of `model.preset`: DNABERT (Ji et al. 2021), the small BERTs of Turc et al. 2019, and the LOGO of GeneMask
/// (2 layers, 256, 8 heads, 3072, where LOGO's own has 1024).
pub const PRESETS: [Preset; 5] = [
    Preset { name: "dnabert", layers: 12, hidden: 768, heads: 12, intermediate: 3072 },
    Preset { name: "bert-mini", layers: 4, hidden: 256, heads: 4, intermediate: 1024 },
    Preset { name: "bert-small", layers: 4, hidden: 512, heads: 8, intermediate: 2048 },
    Preset { name: "tiny", layers: 2, hidden: 128, heads: 2, intermediate: 512 },
    Preset { name: "logo-genemask", layers: 2, hidden: 256, heads: 8, intermediate: 3072 },
];

impl Preset {
    /// Whether a model has these sizes.
    pub fn is_of(&self, config: &BertConfig) -> bool {
        let Preset { layers, hidden, heads, intermediate, .. } = *self;
        (layers, hidden, heads, intermediate)
            == (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size)
    }

    /// The preset of a name.
    pub fn named(name: &str) -> Option<Preset> {
        PRESETS.into_iter().find(|preset| preset.name == name)
    }
}

impl BertConfig {
    /// A fresh model of a preset over a vocabulary whose `[PAD]` has id `pad`.
    pub fn of_preset(preset: Preset, vocab_size: usize, pad: usize) -> Self {
        BertConfig {
            architectures: architectures(),
            model_type: "bert".to_string(),
            vocab_size,
            hidden_size: preset.hidden,
            num_hidden_layers: preset.layers,
            num_attention_heads: preset.heads,
            intermediate_size: preset.intermediate,
            hidden_act: gelu(),
            hidden_dropout_prob: tenth(),
            attention_probs_dropout_prob: tenth(),
            max_position_embeddings: positions(),
            type_vocab_size: two(),
            initializer_range: initializer_range(),
            layer_norm_eps: layer_norm_eps(),
            pad_token_id: Some(pad),
            position_embedding_type: absolute(),
            use_cache: true,
            classifier_dropout: None,
            id2label: None,
            label2id: None,
            problem_type: None,
            dtype: float32(),
            tie_word_embeddings: true,
        }
    }

    /// Reads `config.json` (of Tatabox or of transformers) and checks that this program computes exactly that model.
    ///
    /// # Errors
    /// The file cannot be read, is no JSON, is not of a BERT, lacks a size, or asks for what the engine does not have.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text, path)
    }

    /// As [`BertConfig::read`], from the text of the file at `path`.
    ///
    /// # Errors
    /// As [`BertConfig::read`], except that the file was read already.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let at = |error: &serde_json::Error| format!(", line {}", error.line());
        let mut value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            Error::format(path, at(&error), "a Hugging Face configuration in JSON", error.to_string(), "")
        })?;
        let object = value.as_object_mut().ok_or_else(|| {
            Error::format(path, "", "a JSON object of configuration keys", "another kind of JSON value", "")
        })?;
        match object.get("model_type").and_then(serde_json::Value::as_str) {
            Some("bert") => {}
            // DNABERT's own files are older than the key.
            None if object.contains_key("hidden_size") => {
                object.insert("model_type".to_string(), "bert".into());
            }
            other => {
                let got = other.map_or("no model_type".to_string(), |other| format!("`{other}`"));
                return Err(Error::format(path, "", "`model_type` to be `bert`", got, "only BERT models are read"));
            }
        }
        // Both names of the element type may be there; the older one only repeats the newer one.
        if object.contains_key("dtype") {
            object.remove("torch_dtype");
        }
        let config: BertConfig = serde_json::from_value(value)
            .map_err(|error| Error::format(path, "", "the keys of a BertConfig", error.to_string(), ""))?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let refuse = |expected: &str, got: String| Err(Error::format(path, "", expected, got, ""));
        for (key, size) in self.sizes() {
            if size == 0 || size > 1 << 24 {
                return refuse(&format!("`{key}` to be from 1 to 16777216"), size.to_string());
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return refuse(
                "`hidden_size` to be a multiple of `num_attention_heads`",
                format!("{} and {}", self.hidden_size, self.num_attention_heads),
            );
        }
        for (key, rate) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&rate) {
                return refuse(&format!("`{key}` to be in 0..1"), rate.to_string());
            }
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return refuse("`layer_norm_eps` to be above 0 and below 1", self.layer_norm_eps.to_string());
        }
        if self.hidden_act != "gelu" {
            return refuse("`hidden_act` to be `gelu` (the erf form)", format!("`{}`", self.hidden_act));
        }
        if self.position_embedding_type != "absolute" {
            return refuse("`position_embedding_type` to be `absolute`", format!("`{}`", self.position_embedding_type));
        }
        if !self.tie_word_embeddings {
            return refuse("`tie_word_embeddings` to be true", "false".to_string());
        }
        Ok(())
    }

    fn sizes(&self) -> [(&'static str, usize); 7] {
        [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ]
    }

    /// Weights of the masked language model without a pooler, the tied decoder counted once.
    pub fn parameters(&self) -> u64 {
        let [vocab, hidden, layers, _, inner, positions, types] = self.sizes().map(|(_, size)| size as u64);
        let norm = 2 * hidden;
        let square = hidden * hidden + hidden;
        let embeddings = (vocab + positions + types) * hidden + norm;
        let layer = 4 * square + norm + (hidden * inner + inner) + (inner * hidden + hidden) + norm;
        let head = square + norm + vocab;
        embeddings + layers * layer + head
    }

    /// Floating point operations of one training step (forward and backward) a token, when `masked` of the tokens, a share, are guessed
    /// and sequences have `length` tokens: 6 a weight that multiplies, 12 a hidden unit and token of the sequence for attention.
    pub fn flops_per_token(&self, length: f64, masked: f64) -> f64 {
        let (hidden, layers) = (self.hidden_size as f64, self.num_hidden_layers as f64);
        let layer = 4.0 * hidden * hidden + 2.0 * hidden * self.intermediate_size as f64;
        let head = hidden * hidden + hidden * self.vocab_size as f64;
        6.0 * (layers * layer + masked * head) + 12.0 * layers * hidden * length
    }

    /// The text of `config.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a plain struct has a JSON form");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BertConfig> {
        BertConfig::parse(text, Path::new("config.json"))
    }

    #[test]
    fn counts_the_parameters_of_dnabert_without_a_pooler() {
        // 89.19 M in ALGORITHMS.md 1.1.
        let config = BertConfig::of_preset(Preset::named("dnabert").unwrap(), 4101, 0);
        assert_eq!(config.parameters(), 89_196_549);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let config = BertConfig::of_preset(Preset::named("tiny").unwrap(), 69, 0);
        assert_eq!(parse(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn writes_every_key_that_transformers_reads() {
        let text = BertConfig::of_preset(Preset::named("tiny").unwrap(), 69, 0).to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in [
            "architectures",
            "model_type",
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "hidden_act",
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "max_position_embeddings",
            "type_vocab_size",
            "initializer_range",
            "layer_norm_eps",
            "pad_token_id",
            "position_embedding_type",
            "use_cache",
            "classifier_dropout",
            "dtype",
            "tie_word_embeddings",
        ] {
            assert!(value.get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn reads_a_file_of_dnabert_with_its_extra_keys() {
        let config = parse(
            r#"{"architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "rnn": "lstm",
               "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "split": 10,
               "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 12, "num_hidden_layers": 12,
               "num_rnn_layer": 1, "torch_dtype": "float32", "type_vocab_size": 2, "vocab_size": 4101}"#,
        )
        .unwrap();
        assert_eq!((config.hidden_size, config.vocab_size), (768, 4101));
    }

    #[test]
    fn refuses_what_it_cannot_compute() {
        let good: serde_json::Value =
            serde_json::from_str(&BertConfig::of_preset(Preset::named("tiny").unwrap(), 69, 0).to_json()).unwrap();
        for (key, bad) in [
            ("model_type", serde_json::json!("roberta")),
            ("hidden_act", serde_json::json!("gelu_new")),
            ("position_embedding_type", serde_json::json!("relative_key")),
            ("num_attention_heads", serde_json::json!(3)),
            ("num_attention_heads", serde_json::json!(0)),
            ("vocab_size", serde_json::json!(-1)),
            ("hidden_dropout_prob", serde_json::json!(1.0)),
            ("tie_word_embeddings", serde_json::json!(false)),
            ("hidden_size", serde_json::json!("many")),
        ] {
            let mut value = good.clone();
            value[key] = bad.clone();
            let error = parse(&value.to_string()).expect_err(&format!("{key} = {bad}"));
            assert!(error.to_string().starts_with("`config.json`"), "{error}");
        }
    }

    #[test]
    fn refuses_text_that_is_no_configuration() {
        for bad in ["", "[]", "{", "{}", "null", "{\"model_type\": \"bert\"}"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

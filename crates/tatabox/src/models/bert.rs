//! BERT (Devlin et al. 2019) with a masked language model's head or a classifier's, as Hugging Face's `BertForMaskedLM` and
//! `BertForSequenceClassification` compute it.
//!
//! Post-LayerNorm, learned positions, exact GELU, decoder tied to the word embeddings. Parameter names are Hugging Face's, except that query,
//! key and value of a layer are one matrix, `attention.self.qkv`, rows in that order: one product instead of three.

use crate::config::BertConfig;
use tatabox_engine::{Graph, Init, Objective, ParamId, ParamSpec, Pooling, Result, TensorId};

/// The table of token embeddings, which is the decoder too.
pub const WORD_EMBEDDINGS: &str = "bert.embeddings.word_embeddings.weight";
/// The table of position embeddings.
pub const POSITION_EMBEDDINGS: &str = "bert.embeddings.position_embeddings.weight";

/// The graph of a BERT that learns to guess masked tokens.
///
/// # Errors
/// If the sizes of the configuration do not fit each other.
pub fn masked_lm(config: &BertConfig) -> Result<Graph> {
    let mut graph = Graph::new();
    let hidden = config.hidden_size;
    let word = word_embeddings(&mut graph, config);
    let mut x = embeddings(&mut graph, config, word)?;
    for layer in 0..config.num_hidden_layers {
        x = encoder_layer(&mut graph, config, x, layer, Reader::AllTokens)?;
    }
    let x = graph.masked_rows(x)?; // [masked, hidden]
    let (weight, bias) = linear_params(&mut graph, config, "cls.predictions.transform.dense", hidden, hidden);
    let x = graph.linear_gelu(x, weight, bias)?;
    let norm = graph.norm_params("cls.predictions.transform.LayerNorm", hidden, config.layer_norm_eps as f32);
    let x = graph.norm(x, norm)?;
    let bias = graph.param(ParamSpec::vector("cls.predictions.bias", config.vocab_size, Init::Zeros));
    graph.mlm_loss(x, word, bias)?;
    Ok(graph)
}

/// The vector that weighs the windows of a long sequence, where they are pooled by attention.
pub const POOLING_VECTOR: &str = "pooling.vector";

/// How the windows of a long sequence become one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowPooling {
    /// Their mean.
    Mean,
    /// The largest of each column.
    Max,
    /// A sum weighted by attention to a vector that is learnt.
    Attention,
}

/// The graph of a BERT that answers a question about a sequence: `[CLS]` of the last layer through the pooler (dense, tanh), the windows of an example pooled,
/// dropout, and `outputs` numbers of which `objective` is the loss. The last layer computes the row of `[CLS]` alone: nobody reads the others.
///
/// # Errors
/// If the sizes of the configuration do not fit each other.
pub fn sequence_classifier(
    config: &BertConfig,
    outputs: usize,
    pooling: WindowPooling,
    objective: Objective,
) -> Result<Graph> {
    let mut graph = Graph::new();
    let hidden = config.hidden_size;
    let word = word_embeddings(&mut graph, config);
    let mut x = embeddings(&mut graph, config, word)?;
    for layer in 0..config.num_hidden_layers {
        let last = layer + 1 == config.num_hidden_layers;
        x = encoder_layer(&mut graph, config, x, layer, if last { Reader::FirstToken } else { Reader::AllTokens })?;
    }
    let (weight, bias) = linear_params(&mut graph, config, "bert.pooler.dense", hidden, hidden);
    let x = graph.linear(x, weight, bias)?; // [sequences, hidden]
    let x = graph.tanh(x);
    let pooling = match pooling {
        WindowPooling::Mean => Pooling::Mean,
        WindowPooling::Max => Pooling::Max,
        WindowPooling::Attention => {
            Pooling::Attention(graph.param(ParamSpec::vector(POOLING_VECTOR, hidden, Init::Zeros)))
        }
    };
    let x = graph.pool(x, pooling)?; // [examples, hidden]
    let x = graph.dropout(x, config.classifier_dropout.unwrap_or(config.hidden_dropout_prob) as f32);
    let (weight, bias) = linear_params(&mut graph, config, "classifier", outputs, hidden);
    graph.loss(x, weight, bias, objective)?;
    Ok(graph)
}

fn word_embeddings(graph: &mut Graph, config: &BertConfig) -> ParamId {
    let std = config.initializer_range as f32;
    graph.param(ParamSpec {
        zero_row: config.pad_token_id.filter(|row| *row < config.vocab_size),
        ..ParamSpec::matrix(WORD_EMBEDDINGS, [config.vocab_size, config.hidden_size], std)
    })
}

/// `[tokens, hidden]`
fn embeddings(graph: &mut Graph, config: &BertConfig, word: ParamId) -> Result<TensorId> {
    let mut table = |name: &str, rows| {
        graph.param(ParamSpec::matrix(name, [rows, config.hidden_size], config.initializer_range as f32))
    };
    let position = table(POSITION_EMBEDDINGS, config.max_position_embeddings);
    let token_type = table("bert.embeddings.token_type_embeddings.weight", config.type_vocab_size);
    let norm = graph.norm_params("bert.embeddings.LayerNorm", config.hidden_size, config.layer_norm_eps as f32);
    graph.embeddings(word, position, token_type, norm, config.hidden_dropout_prob as f32)
}

/// Which rows of a layer's result are read.
enum Reader {
    AllTokens,
    /// The first of each sequence.
    FirstToken,
}

/// `[tokens, hidden]` to `[tokens, hidden]`, or to `[sequences, hidden]`.
fn encoder_layer(
    graph: &mut Graph,
    config: &BertConfig,
    x: TensorId,
    layer: usize,
    reader: Reader,
) -> Result<TensorId> {
    let name = format!("bert.encoder.layer.{layer}");
    let (hidden, eps) = (config.hidden_size, config.layer_norm_eps as f32);
    let dropout = config.hidden_dropout_prob as f32;

    let (weight, bias) = linear_params(graph, config, &format!("{name}.attention.self.qkv"), 3 * hidden, hidden);
    let qkv = graph.linear(x, weight, bias)?; // [tokens, 3 hidden]
    let context = graph.attention(qkv, config.num_attention_heads, config.attention_probs_dropout_prob as f32)?;
    let (context, x) = match reader {
        Reader::AllTokens => (context, x),
        Reader::FirstToken => (graph.first_rows(context)?, graph.first_rows(x)?),
    };
    let (weight, bias) = linear_params(graph, config, &format!("{name}.attention.output.dense"), hidden, hidden);
    let attended = graph.linear(context, weight, bias)?;
    let norm = graph.norm_params(&format!("{name}.attention.output.LayerNorm"), hidden, eps);
    let x = graph.residual_norm(attended, x, norm, dropout)?;

    let (weight, bias) =
        linear_params(graph, config, &format!("{name}.intermediate.dense"), config.intermediate_size, hidden);
    let inner = graph.linear_gelu(x, weight, bias)?; // [tokens, intermediate]
    let (weight, bias) =
        linear_params(graph, config, &format!("{name}.output.dense"), hidden, config.intermediate_size);
    let outer = graph.linear(inner, weight, bias)?;
    let norm = graph.norm_params(&format!("{name}.output.LayerNorm"), hidden, eps);
    graph.residual_norm(outer, x, norm, dropout)
}

/// Weight `[outputs, inputs]` and bias `[outputs]`.
fn linear_params(
    graph: &mut Graph,
    config: &BertConfig,
    name: &str,
    outputs: usize,
    inputs: usize,
) -> (ParamId, ParamId) {
    let weight = ParamSpec::matrix(format!("{name}.weight"), [outputs, inputs], config.initializer_range as f32);
    (graph.param(weight), graph.param(ParamSpec::vector(format!("{name}.bias"), outputs, Init::Zeros)))
}

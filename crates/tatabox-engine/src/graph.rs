//! A model as a list of fused ops over named tensors: written once, forward only, knowing no device.
//!
//! The leading dimension of a tensor is symbolic ([`Rows`]), so one graph and one memory plan serve batches of any size up to a capacity.

use crate::batch::Capacity;
use crate::error::{Error, Result};

/// A parameter of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(pub(crate) usize);

/// A tensor of a graph: an activation or a statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorId(pub(crate) usize);

/// The leading dimension of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A row for each token of the batch.
    Tokens,
    /// A row for each token to be guessed.
    Masked,
}

impl Rows {
    pub(crate) fn at(self, capacity: &Capacity) -> usize {
        match self {
            Rows::Tokens => capacity.tokens,
            Rows::Masked => capacity.masked,
        }
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Normal numbers of mean 0 and this standard deviation.
    Normal(f32),
}

/// A parameter: its name, shape and treatment.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Its name, a Hugging Face name where there is one.
    pub name: String,
    /// Its shape, row-major.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Whether weight decay applies.
    pub decay: bool,
    /// A row that starts as zeros (the padding token).
    pub zero_row: Option<usize>,
}

impl ParamSpec {
    /// A matrix or table that starts with normal numbers and decays.
    pub fn matrix(name: impl Into<String>, shape: [usize; 2], std: f32) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), init: Init::Normal(std), decay: true, zero_row: None }
    }
    /// A vector that starts as `init` and does not decay (biases, LayerNorm).
    pub fn vector(name: impl Into<String>, len: usize, init: Init) -> Self {
        Self { name: name.into(), shape: vec![len], init, decay: false, zero_row: None }
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    /// True if it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the precision of the executor; has a gradient.
    Activation,
    /// f32, kept from forward to backward; has no gradient.
    Statistic,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TensorSpec {
    pub rows: Rows,
    pub columns: usize,
    pub kind: Kind,
}

/// Gain and bias of a LayerNorm.
#[derive(Clone, Copy, Debug)]
pub struct NormParams {
    /// Gain, `[columns]`.
    pub weight: ParamId,
    /// Bias, `[columns]`.
    pub bias: ParamId,
    /// Added to the variance.
    pub eps: f32,
}

/// One fused op. Tensors are `[rows, columns]`.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// `out = dropout(norm(word[id] + position[p] + token_type[0]))`; `sum` and `stats` (mean, 1/std) are kept.
    Embeddings {
        word: ParamId,
        position: ParamId,
        token_type: ParamId,
        norm: NormParams,
        dropout: f32,
        sum: TensorId,
        stats: TensorId,
        out: TensorId,
    },
    /// `out = x W^T + b`, then GELU if `pre` is there to keep what goes into it.
    Linear { x: TensorId, weight: ParamId, bias: ParamId, pre: Option<TensorId>, out: TensorId },
    /// `out = dropout(softmax(Q K^T / sqrt(d))) V` inside each sequence; `lse` is kept: log of the sum of exponentials, a
    /// column a head and token, `[heads, tokens]` in memory.
    Attention { qkv: TensorId, heads: usize, dropout: f32, lse: TensorId, out: TensorId },
    /// `out = norm(residual + dropout(x))`. `x` becomes the sum, in place, and `stats` is kept.
    ResidualNorm {
        x: TensorId,
        residual: Option<TensorId>,
        norm: NormParams,
        dropout: f32,
        stats: TensorId,
        out: TensorId,
    },
    /// `out = x[masked_rows]`.
    MaskedRows { x: TensorId, out: TensorId },
    /// Cross-entropy of `x W^T + b` against the labels; `logits` f32, `gradient` of the logits kept in the precision of activations.
    MlmLoss { x: TensorId, weight: ParamId, bias: ParamId, logits: TensorId, gradient: TensorId, loss: TensorId },
}

impl Node {
    /// The name in profiles.
    pub fn name(&self) -> &'static str {
        match self {
            Node::Embeddings { .. } => "embeddings",
            Node::Linear { pre: None, .. } => "linear",
            Node::Linear { pre: Some(_), .. } => "linear + gelu",
            Node::Attention { .. } => "attention",
            Node::ResidualNorm { .. } => "dropout + residual + norm",
            Node::MaskedRows { .. } => "masked rows",
            Node::MlmLoss { .. } => "logits + cross-entropy",
        }
    }

    /// Activations that the forward reads.
    pub fn inputs(&self) -> Vec<TensorId> {
        match *self {
            Node::Embeddings { .. } => vec![],
            Node::Linear { x, .. } | Node::MaskedRows { x, .. } | Node::MlmLoss { x, .. } => vec![x],
            Node::Attention { qkv, .. } => vec![qkv],
            Node::ResidualNorm { x, residual, .. } => std::iter::once(x).chain(residual).collect(),
        }
    }

    /// Tensors that the forward writes.
    pub fn outputs(&self) -> Vec<TensorId> {
        match *self {
            Node::Embeddings { sum, stats, out, .. } => vec![sum, stats, out],
            Node::Linear { pre, out, .. } => std::iter::once(out).chain(pre).collect(),
            Node::Attention { lse, out, .. } => vec![lse, out],
            Node::ResidualNorm { stats, out, .. } => vec![stats, out],
            Node::MaskedRows { out, .. } => vec![out],
            Node::MlmLoss { logits, gradient, loss, .. } => vec![logits, gradient, loss],
        }
    }

    /// Tensors that the backward reads.
    pub fn kept(&self) -> Vec<TensorId> {
        match *self {
            Node::Embeddings { sum, stats, .. } => vec![sum, stats],
            Node::Linear { x, pre, .. } => std::iter::once(x).chain(pre).collect(),
            Node::Attention { qkv, lse, out, .. } => vec![qkv, lse, out],
            Node::ResidualNorm { x, stats, .. } => vec![x, stats],
            Node::MaskedRows { .. } => vec![],
            Node::MlmLoss { x, gradient, .. } => vec![x, gradient],
        }
    }

    /// The activation whose gradient the backward reads.
    pub fn output_with_gradient(&self) -> Option<TensorId> {
        match *self {
            Node::Embeddings { out, .. }
            | Node::Linear { out, .. }
            | Node::Attention { out, .. }
            | Node::ResidualNorm { out, .. }
            | Node::MaskedRows { out, .. } => Some(out),
            Node::MlmLoss { .. } => None,
        }
    }
}

/// A model: parameters, tensors and the ops between them, in order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) tensors: Vec<TensorSpec>,
    pub(crate) nodes: Vec<Node>,
    /// Rows of the word and position tables.
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
}

impl Graph {
    /// An empty model.
    pub fn new() -> Self {
        Self::default()
    }

    /// All parameters, in the order of their making.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// Adds a parameter.
    pub fn param(&mut self, spec: ParamSpec) -> ParamId {
        self.params.push(spec);
        ParamId(self.params.len() - 1)
    }

    /// Adds the gain (ones) and bias (zeros) of a LayerNorm: `<name>.weight`, `<name>.bias`.
    pub fn norm_params(&mut self, name: &str, columns: usize, eps: f32) -> NormParams {
        NormParams {
            weight: self.param(ParamSpec::vector(format!("{name}.weight"), columns, Init::Ones)),
            bias: self.param(ParamSpec::vector(format!("{name}.bias"), columns, Init::Zeros)),
            eps,
        }
    }

    fn tensor(&mut self, rows: Rows, columns: usize, kind: Kind) -> TensorId {
        self.tensors.push(TensorSpec { rows, columns, kind });
        TensorId(self.tensors.len() - 1)
    }

    fn shape(&self, param: ParamId) -> &[usize] {
        &self.params[param.0].shape
    }

    fn expect(&self, what: &str, param: ParamId, shape: &[usize]) -> Result<()> {
        if self.shape(param) == shape {
            return Ok(());
        }
        let spec = &self.params[param.0];
        Err(Error::Graph(format!("{what} `{}` has shape {:?}, expected {shape:?}", spec.name, spec.shape)))
    }

    fn expect_norm(&self, norm: NormParams, columns: usize) -> Result<()> {
        self.expect("LayerNorm gain", norm.weight, &[columns])?;
        self.expect("LayerNorm bias", norm.bias, &[columns])
    }

    /// `dropout(norm(word[id] + position[p] + token_type[0]))`, `[tokens, hidden]`. Positions count from 0 in each sequence.
    pub fn embeddings(
        &mut self,
        word: ParamId,
        position: ParamId,
        token_type: ParamId,
        norm: NormParams,
        dropout: f32,
    ) -> Result<TensorId> {
        let [vocabulary, hidden] = self.shape(word)[..] else {
            return Err(Error::Graph("the word table must be [vocabulary, hidden]".into()));
        };
        let [positions, position_hidden] = self.shape(position)[..] else {
            return Err(Error::Graph("the position table must be [positions, hidden]".into()));
        };
        if position_hidden != hidden || self.shape(token_type).last() != Some(&hidden) {
            return Err(Error::Graph(format!("the embedding tables must all have {hidden} columns")));
        }
        self.expect_norm(norm, hidden)?;
        (self.vocabulary, self.positions) = (vocabulary, positions);
        let sum = self.tensor(Rows::Tokens, hidden, Kind::Activation);
        let stats = self.tensor(Rows::Tokens, 2, Kind::Statistic);
        let out = self.tensor(Rows::Tokens, hidden, Kind::Activation);
        self.nodes.push(Node::Embeddings { word, position, token_type, norm, dropout, sum, stats, out });
        Ok(out)
    }

    /// `x W^T + b` with W `[out, in]`, as Hugging Face stores it.
    pub fn linear(&mut self, x: TensorId, weight: ParamId, bias: ParamId) -> Result<TensorId> {
        self.linear_with(x, weight, bias, false)
    }

    /// `gelu(x W^T + b)`, the exact GELU.
    pub fn linear_gelu(&mut self, x: TensorId, weight: ParamId, bias: ParamId) -> Result<TensorId> {
        self.linear_with(x, weight, bias, true)
    }

    fn linear_with(&mut self, x: TensorId, weight: ParamId, bias: ParamId, gelu: bool) -> Result<TensorId> {
        let TensorSpec { rows, columns, .. } = self.tensors[x.0];
        let outputs = self.shape(bias).first().copied().unwrap_or(0);
        self.expect("weight", weight, &[outputs, columns])?;
        let pre = gelu.then(|| self.tensor(rows, outputs, Kind::Activation));
        let out = self.tensor(rows, outputs, Kind::Activation);
        self.nodes.push(Node::Linear { x, weight, bias, pre, out });
        Ok(out)
    }

    /// Self-attention inside each sequence over `[tokens, 3 hidden]` (query, key, value), giving `[tokens, hidden]`.
    pub fn attention(&mut self, qkv: TensorId, heads: usize, dropout: f32) -> Result<TensorId> {
        let columns = self.tensors[qkv.0].columns;
        if heads == 0 || !columns.is_multiple_of(3 * heads) {
            return Err(Error::Graph(format!(
                "{columns} columns of query, key and value do not divide among {heads} heads"
            )));
        }
        let lse = self.tensor(Rows::Tokens, heads, Kind::Statistic);
        let out = self.tensor(Rows::Tokens, columns / 3, Kind::Activation);
        self.nodes.push(Node::Attention { qkv, heads, dropout, lse, out });
        Ok(out)
    }

    /// `norm(residual + dropout(x))`; the executor overwrites `x`.
    pub fn residual_norm(
        &mut self,
        x: TensorId,
        residual: TensorId,
        norm: NormParams,
        dropout: f32,
    ) -> Result<TensorId> {
        self.norm_with(x, Some(residual), norm, dropout)
    }

    /// `norm(x)`.
    pub fn norm(&mut self, x: TensorId, norm: NormParams) -> Result<TensorId> {
        self.norm_with(x, None, norm, 0.0)
    }

    fn norm_with(
        &mut self,
        x: TensorId,
        residual: Option<TensorId>,
        norm: NormParams,
        dropout: f32,
    ) -> Result<TensorId> {
        let TensorSpec { rows, columns, .. } = self.tensors[x.0];
        if residual.is_some_and(|residual| self.tensors[residual.0].columns != columns) {
            return Err(Error::Graph(format!("a residual must have {columns} columns")));
        }
        self.expect_norm(norm, columns)?;
        let stats = self.tensor(rows, 2, Kind::Statistic);
        let out = self.tensor(rows, columns, Kind::Activation);
        self.nodes.push(Node::ResidualNorm { x, residual, norm, dropout, stats, out });
        Ok(out)
    }

    /// The rows of the tokens to be guessed, `[masked, columns]`.
    pub fn masked_rows(&mut self, x: TensorId) -> Result<TensorId> {
        let columns = self.tensors[x.0].columns;
        let out = self.tensor(Rows::Masked, columns, Kind::Activation);
        self.nodes.push(Node::MaskedRows { x, out });
        Ok(out)
    }

    /// Cross-entropy of `x W^T + b` against the labels, x `[masked, hidden]`, W `[vocabulary, hidden]` (tied to the word table).
    pub fn mlm_loss(&mut self, x: TensorId, weight: ParamId, bias: ParamId) -> Result<()> {
        let TensorSpec { rows, columns, .. } = self.tensors[x.0];
        let vocabulary = self.vocabulary;
        self.expect("decoder weight", weight, &[vocabulary, columns])?;
        self.expect("decoder bias", bias, &[vocabulary])?;
        let logits = self.tensor(rows, vocabulary, Kind::Statistic);
        let gradient = self.tensor(rows, vocabulary, Kind::Activation);
        let loss = self.tensor(rows, 1, Kind::Statistic);
        self.nodes.push(Node::MlmLoss { x, weight, bias, logits, gradient, loss });
        Ok(())
    }

    /// Refuses what the executor could not run: it writes some tensors and gradients in place, which only one reader survives.
    pub(crate) fn validate(&self) -> Result<()> {
        let mut readers = vec![0; self.tensors.len()];
        for node in &self.nodes {
            node.inputs().into_iter().for_each(|input| readers[input.0] += 1);
        }
        for node in &self.nodes {
            let only = match *node {
                Node::ResidualNorm { x, .. } | Node::Attention { qkv: x, .. } | Node::MaskedRows { x, .. } => Some(x),
                _ => None,
            };
            if only.is_some_and(|x| readers[x.0] != 1) {
                return Err(Error::Graph(format!("the input of `{}` must have no other reader", node.name())));
            }
            if node.output_with_gradient().is_some_and(|out| readers[out.0] == 0) {
                return Err(Error::Graph(format!("nothing reads the output of `{}`", node.name())));
            }
        }
        match self.nodes.last() {
            Some(Node::MlmLoss { .. }) => Ok(()),
            _ => Err(Error::Graph("a model must end in its loss".into())),
        }
    }

    /// For each tensor: the one that keeps what went into its GELU, if it leaves a GELU and one linear op alone reads it. The backward of that op
    /// then passes the gradient straight through the GELU, and the gradient of the tensor means the gradient of what went in.
    pub(crate) fn gelus_before(&self) -> Vec<Option<TensorId>> {
        let mut readers = vec![Vec::new(); self.tensors.len()];
        for node in &self.nodes {
            for input in node.inputs() {
                readers[input.0].push(matches!(node, Node::Linear { .. }));
            }
        }
        let mut before = vec![None; self.tensors.len()];
        for node in &self.nodes {
            if let Node::Linear { pre: Some(pre), out, .. } = node
                && readers[out.0] == [true]
            {
                before[out.0] = Some(*pre);
            }
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_tensor_that_is_overwritten_while_another_reads_it() {
        let mut graph = Graph::new();
        let [word, position, token_type] =
            ["w", "p", "t"].map(|name| graph.param(ParamSpec::matrix(name, [12, 8], 0.02)));
        let norm = graph.norm_params("norm", 8, 1e-12);
        let x = graph.embeddings(word, position, token_type, norm, 0.0).unwrap();
        let [weight, bias] = [
            graph.param(ParamSpec::matrix("0.weight", [8, 8], 0.02)),
            graph.param(ParamSpec::vector("0.bias", 8, Init::Zeros)),
        ];
        let y = graph.linear(x, weight, bias).unwrap();
        let z = graph.residual_norm(y, x, norm, 0.0).unwrap();
        assert_eq!(
            graph.validate().unwrap_err().to_string(),
            "bad graph: nothing reads the output of `dropout + residual + norm`"
        );
        let masked = graph.masked_rows(z).unwrap();
        let decoder = graph.param(ParamSpec::vector("decoder", 12, Init::Zeros));
        graph.mlm_loss(masked, word, decoder).unwrap();
        assert_eq!(graph.validate(), Ok(()));
        let mut forked = graph.clone();
        forked.linear(y, weight, bias).unwrap();
        assert!(forked.validate().unwrap_err().to_string().contains("must have no other reader"));
    }
}

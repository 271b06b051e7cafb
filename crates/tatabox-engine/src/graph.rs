//! A model as a list of fused ops over named tensors: written once, forward only, knowing no device.
//!
//! The leading dimension of a tensor is symbolic ([`Rows`]), so one graph and one memory plan serve batches of any size up to a capacity.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};

/// A parameter of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// A row for each sequence.
    Sequences,
    /// A row for each example: one sequence or several.
    Examples,
}

/// How the sequences of an example become one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The largest of each column.
    Max,
    /// Their sum, weighted by the softmax of their products with a vector, `[columns]`.
    Attention(ParamId),
}

/// What the outputs of a head are compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// The right one of them, `Batch::labels`: cross-entropy of their softmax. With weights w `[outputs]` and smoothing e, as `torch.nn.CrossEntropyLoss`
    /// computes it with `reduction="sum"`: (1 - e) w\[right\] (-log p\[right\]) + e / outputs * sum of w\[c\] (-log p\[c\]).
    CrossEntropy {
        /// A weight an output; 1 each if there are none.
        weights: Option<Arc<[f32]>>,
        /// The share of the answer that is spread over all outputs.
        smoothing: f32,
    },
    /// Yes or no for each of them, `Batch::targets` from 0 to 1: cross-entropy of their sigmoids, summed over outputs.
    BinaryCrossEntropy {
        /// How often a yes counts, an output; 1 each if there are none.
        positive_weights: Option<Arc<[f32]>>,
    },
    /// A number for each of them, `Batch::targets`: the squared error, summed over outputs.
    SquaredError,
}

impl Objective {
    /// The right token or class, all of them alike.
    pub const PLAIN: Objective = Objective::CrossEntropy { weights: None, smoothing: 0.0 };
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
    /// The learning rate, as a multiple of the step's; 0 freezes it.
    pub rate: f32,
}

impl ParamSpec {
    /// A matrix or table that starts with normal numbers and decays.
    pub fn matrix(name: impl Into<String>, shape: [usize; 2], std: f32) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            init: Init::Normal(std),
            decay: true,
            zero_row: None,
            rate: 1.0,
        }
    }
    /// A vector that starts as `init` and does not decay (biases, LayerNorm).
    pub fn vector(name: impl Into<String>, len: usize, init: Init) -> Self {
        Self { name: name.into(), shape: vec![len], init, decay: false, zero_row: None, rate: 1.0 }
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
    /// `out = dropout(norm(word[id] + position[p] + token_type[t]))`; `sum` and `stats` (mean, 1/std) are kept.
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
    /// `out = x[rows]`: the masked tokens, or the first token of each sequence, as the rows of `out` say.
    TakeRows { x: TensorId, out: TensorId },
    /// `out = tanh(x)`.
    Tanh { x: TensorId, out: TensorId },
    /// `out = dropout(x)`.
    Dropout { x: TensorId, dropout: f32, out: TensorId },
    /// The rows of an example's sequences become one.
    Pool { x: TensorId, pooling: Pooling, out: TensorId },
    /// The loss of `x W^T + b`; `logits` f32, `gradient` of the logits kept in the precision of activations.
    Loss {
        x: TensorId,
        weight: ParamId,
        bias: ParamId,
        objective: Objective,
        logits: TensorId,
        gradient: TensorId,
        loss: TensorId,
    },
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
            Node::TakeRows { .. } => "take rows",
            Node::Tanh { .. } => "tanh",
            Node::Dropout { .. } => "dropout",
            Node::Pool { .. } => "pool",
            Node::Loss { objective: Objective::CrossEntropy { .. }, .. } => "logits + cross-entropy",
            Node::Loss { objective: Objective::BinaryCrossEntropy { .. }, .. } => "logits + binary cross-entropy",
            Node::Loss { objective: Objective::SquaredError, .. } => "outputs + squared error",
        }
    }

    /// Activations that the forward reads.
    pub fn inputs(&self) -> Vec<TensorId> {
        match *self {
            Node::Embeddings { .. } => vec![],
            Node::Linear { x, .. }
            | Node::TakeRows { x, .. }
            | Node::Tanh { x, .. }
            | Node::Dropout { x, .. }
            | Node::Pool { x, .. }
            | Node::Loss { x, .. } => vec![x],
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
            Node::TakeRows { out, .. }
            | Node::Tanh { out, .. }
            | Node::Dropout { out, .. }
            | Node::Pool { out, .. } => vec![out],
            Node::Loss { logits, gradient, loss, .. } => vec![logits, gradient, loss],
        }
    }

    /// Tensors that the backward reads.
    pub fn kept(&self) -> Vec<TensorId> {
        match *self {
            Node::Embeddings { sum, stats, .. } => vec![sum, stats],
            Node::Linear { x, pre, .. } => std::iter::once(x).chain(pre).collect(),
            Node::Attention { qkv, lse, out, .. } => vec![qkv, lse, out],
            Node::ResidualNorm { x, stats, .. } => vec![x, stats],
            Node::TakeRows { .. } | Node::Dropout { .. } => vec![],
            Node::Tanh { out, .. } => vec![out],
            Node::Pool { x, .. } => vec![x],
            Node::Loss { x, gradient, .. } => vec![x, gradient],
        }
    }

    /// The activation whose gradient the backward reads.
    pub fn output_with_gradient(&self) -> Option<TensorId> {
        match *self {
            Node::Embeddings { out, .. }
            | Node::Linear { out, .. }
            | Node::Attention { out, .. }
            | Node::ResidualNorm { out, .. }
            | Node::TakeRows { out, .. }
            | Node::Tanh { out, .. }
            | Node::Dropout { out, .. }
            | Node::Pool { out, .. } => Some(out),
            Node::Loss { .. } => None,
        }
    }

    /// The parameters that it reads, and learns.
    pub fn params(&self) -> Vec<ParamId> {
        match *self {
            Node::Embeddings { word, position, token_type, norm, .. } => {
                vec![word, position, token_type, norm.weight, norm.bias]
            }
            Node::Linear { weight, bias, .. } | Node::Loss { weight, bias, .. } => vec![weight, bias],
            Node::ResidualNorm { norm, .. } => vec![norm.weight, norm.bias],
            Node::Pool { pooling: Pooling::Attention(vector), .. } => vec![vector],
            Node::Attention { .. }
            | Node::TakeRows { .. }
            | Node::Tanh { .. }
            | Node::Dropout { .. }
            | Node::Pool { .. } => vec![],
        }
    }
}

/// Some rows of a matrix count as `W + scale B A`.
#[derive(Clone, Debug)]
pub(crate) struct LowRank {
    pub weight: ParamId,
    pub rows: Range<usize>,
    /// `[rank, inputs]`.
    pub a: ParamId,
    /// `[rows, rank]`.
    pub b: ParamId,
    pub rank: usize,
    pub scale: f32,
}

/// What stands at the end of a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub x: TensorId,
    pub weight: ParamId,
    pub bias: ParamId,
    pub objective: &'a Objective,
    pub loss: TensorId,
    pub rows: Rows,
    pub outputs: usize,
}

/// A model: parameters, tensors and the ops between them, in order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) tensors: Vec<TensorSpec>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) low_rank: Vec<LowRank>,
    /// Rows of the word, position and token type tables.
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
    pub(crate) token_types: usize,
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

    /// Sets the learning rate of every parameter, as a multiple of the step's; 0 freezes it.
    pub fn set_rates(&mut self, rate: impl Fn(&ParamSpec) -> f32) {
        self.params.iter_mut().for_each(|spec| spec.rate = rate(spec));
    }

    /// Freezes the matrix `weight`, `[outputs, inputs]`, and lets `rows` of it learn a low-rank update: they count as `W + alpha / rank B A` with A
    /// `[rank, inputs]`, normal numbers of standard deviation 1 / rank, and B `[rows, rank]`, zeros: the parameters `<name>.lora_A.weight` and
    /// `<name>.lora_B.weight` (LoRA, Hu et al. 2021, section 4.1).
    pub fn low_rank(&mut self, weight: usize, rows: Range<usize>, name: &str, rank: usize, alpha: f32) -> Result<()> {
        let [outputs, inputs] = self.params[weight].shape[..] else {
            return Err(Error::Graph(format!("`{}` is no matrix", self.params[weight].name)));
        };
        if rank == 0 || rows.end > outputs || rows.is_empty() {
            return Err(Error::Graph(format!("a rank of {rank} for rows {rows:?} of {outputs}")));
        }
        self.params[weight].rate = 0.0;
        let a = ParamSpec::matrix(format!("{name}.lora_A.weight"), [rank, inputs], 1.0 / rank as f32);
        let b = ParamSpec::matrix(format!("{name}.lora_B.weight"), [rows.len(), rank], 0.0);
        let (a, b) = (self.param(a), self.param(ParamSpec { init: Init::Zeros, ..b }));
        self.low_rank.push(LowRank { weight: ParamId(weight), rows, a, b, rank, scale: alpha / rank as f32 });
        Ok(())
    }

    /// Whether the gradient of a parameter is of use: it learns, or has a low-rank update that does.
    pub(crate) fn wants_gradient(&self, param: ParamId) -> bool {
        self.params[param.0].rate > 0.0 || self.low_rank.iter().any(|update| update.weight == param)
    }

    /// The first node with a parameter that learns.
    pub(crate) fn first_learning(&self) -> usize {
        let learns = |node: &Node| node.params().into_iter().any(|param| self.wants_gradient(param));
        self.nodes.iter().position(learns).unwrap_or(self.nodes.len())
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

    /// `dropout(norm(word[id] + position[p] + token_type[t]))`, `[tokens, hidden]`. Positions count from 0 in each sequence.
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
        let [token_types, type_hidden] = self.shape(token_type)[..] else {
            return Err(Error::Graph("the token type table must be [token types, hidden]".into()));
        };
        if position_hidden != hidden || type_hidden != hidden {
            return Err(Error::Graph(format!("the embedding tables must all have {hidden} columns")));
        }
        self.expect_norm(norm, hidden)?;
        (self.vocabulary, self.positions, self.token_types) = (vocabulary, positions, token_types);
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
        self.take_rows(x, Rows::Masked)
    }

    /// The rows of the first token of each sequence, `[sequences, columns]`.
    pub fn first_rows(&mut self, x: TensorId) -> Result<TensorId> {
        self.take_rows(x, Rows::Sequences)
    }

    fn take_rows(&mut self, x: TensorId, rows: Rows) -> Result<TensorId> {
        let columns = self.with_rows("rows are taken of", x, Rows::Tokens)?;
        let out = self.tensor(rows, columns, Kind::Activation);
        self.nodes.push(Node::TakeRows { x, out });
        Ok(out)
    }

    fn with_rows(&self, what: &str, x: TensorId, expected: Rows) -> Result<usize> {
        let TensorSpec { rows, columns, .. } = self.tensors[x.0];
        if rows == expected {
            return Ok(columns);
        }
        Err(Error::Graph(format!("{what} a tensor with rows of {rows:?}, expected {expected:?}")))
    }

    /// `tanh(x)`.
    pub fn tanh(&mut self, x: TensorId) -> TensorId {
        let TensorSpec { rows, columns, .. } = self.tensors[x.0];
        let out = self.tensor(rows, columns, Kind::Activation);
        self.nodes.push(Node::Tanh { x, out });
        out
    }

    /// `dropout(x)`.
    pub fn dropout(&mut self, x: TensorId, dropout: f32) -> TensorId {
        let TensorSpec { rows, columns, .. } = self.tensors[x.0];
        let out = self.tensor(rows, columns, Kind::Activation);
        self.nodes.push(Node::Dropout { x, dropout, out });
        out
    }

    /// One row an example of the rows of its sequences: `[sequences, columns]` to `[examples, columns]`.
    pub fn pool(&mut self, x: TensorId, pooling: Pooling) -> Result<TensorId> {
        let columns = self.with_rows("sequences are pooled from", x, Rows::Sequences)?;
        if let Pooling::Attention(vector) = pooling {
            self.expect("the vector of pooling", vector, &[columns])?;
        }
        let out = self.tensor(Rows::Examples, columns, Kind::Activation);
        self.nodes.push(Node::Pool { x, pooling, out });
        Ok(out)
    }

    /// Cross-entropy of `x W^T + b` against the labels, x `[masked, hidden]`, W `[vocabulary, hidden]` (tied to the word table).
    pub fn mlm_loss(&mut self, x: TensorId, weight: ParamId, bias: ParamId) -> Result<()> {
        self.with_rows("tokens are guessed from", x, Rows::Masked)?;
        self.expect("decoder bias", bias, &[self.vocabulary])?;
        self.loss(x, weight, bias, Objective::PLAIN)
    }

    /// The loss of `x W^T + b`: x `[masked or sequences or examples, columns]`, W `[outputs, columns]`, b `[outputs]`.
    pub fn loss(&mut self, x: TensorId, weight: ParamId, bias: ParamId, objective: Objective) -> Result<()> {
        let TensorSpec { rows, columns, .. } = self.tensors[x.0];
        let outputs = self.shape(bias).first().copied().unwrap_or(0);
        self.expect("weight of the head", weight, &[outputs, columns])?;
        let per_output = match &objective {
            Objective::CrossEntropy { weights, .. } => weights,
            Objective::BinaryCrossEntropy { positive_weights } => positive_weights,
            Objective::SquaredError => &None,
        };
        if let Some(weights) = per_output.as_ref().filter(|weights| weights.len() != outputs) {
            return Err(Error::Graph(format!("{} weights for {outputs} outputs", weights.len())));
        }
        let logits = self.tensor(rows, outputs, Kind::Statistic);
        let gradient = self.tensor(rows, outputs, Kind::Activation);
        let loss = self.tensor(rows, 1, Kind::Statistic);
        self.nodes.push(Node::Loss { x, weight, bias, objective, logits, gradient, loss });
        Ok(())
    }

    /// What stands at the end; a validated graph has it.
    pub(crate) fn head(&self) -> Head<'_> {
        match self.nodes.last() {
            Some(Node::Loss { x, weight, bias, objective, logits, loss, .. }) => {
                let TensorSpec { rows, columns, .. } = self.tensors[logits.0];
                Head { x: *x, weight: *weight, bias: *bias, objective, loss: *loss, rows, outputs: columns }
            }
            _ => unreachable!("a graph ends in its loss"),
        }
    }

    /// Refuses what the executor could not run: it writes some tensors and gradients in place, which only one reader survives.
    pub(crate) fn validate(&self) -> Result<()> {
        let mut readers = vec![0; self.tensors.len()];
        for node in &self.nodes {
            node.inputs().into_iter().for_each(|input| readers[input.0] += 1);
        }
        for node in &self.nodes {
            let only = match *node {
                Node::ResidualNorm { x, .. }
                | Node::Attention { qkv: x, .. }
                | Node::Tanh { x, .. }
                | Node::Dropout { x, .. }
                | Node::Pool { x, .. } => Some(x),
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
            Some(Node::Loss { .. }) => Ok(()),
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

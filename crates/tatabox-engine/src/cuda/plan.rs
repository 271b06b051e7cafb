//! The card's memory, planned before anything is taken: where each parameter lies, and how large every buffer is.

use super::input::{self, HeadShape};
use super::kernels::{key_tile, warps};
use super::product::WORKSPACE;
use crate::batch::Capacity;
use crate::element::Precision;
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Objective, ParamId, Rows, TensorId};
use crate::plan::{MemoryPlan, Mode, Slots};

/// Elements of a block of AdamW: parameters begin at multiples of it.
pub(super) const BLOCK: usize = 1024;
/// Numbers of the logits that are there at a time.
const LOGITS: usize = 1 << 23;
/// Partial sums over rows that are kept apart.
pub(super) const MOST_PARTIALS: usize = 512;

/// Sizes in elements, unless it says bytes.
pub(super) struct Plan {
    /// Where each parameter begins.
    pub offsets: Vec<usize>,
    /// Parameters that learn come first, then those whose gradient is wanted for their low-rank updates, then the rest.
    pub learning: usize,
    pub with_gradient: usize,
    pub all: usize,
    pub slots: Slots,
    /// Columns of the logits and their gradient: outputs, filled up to a multiple of 8.
    pub width: usize,
    /// Rows of logits that are computed at a time.
    pub logits_rows: usize,
    pub partials: usize,
    pub delta: usize,
    /// What rows count for where they are pooled.
    pub shares: usize,
    /// Bytes in which products are measured whose result is added to.
    pub measuring: usize,
    pub input_words: usize,
    pub head: HeadShape,
    /// Columns of attention heads, and what the kernels round them up to; 0 without attention.
    pub head_columns: (usize, u32),
}

/// Widest attention head that the kernels can hold in registers.
const WIDEST_HEAD: usize = 128;

impl Plan {
    pub fn of(graph: &Graph, capacity: &Capacity, precision: Precision, mode: Mode) -> Result<Self> {
        let train = mode == Mode::Train;
        let head = graph.head();
        let width = head.outputs.next_multiple_of(8);
        // Logits stand in a buffer of some rows; their gradient has the filled width.
        let mut planned = graph.clone();
        if let Some(Node::Loss { logits, gradient, .. }) = graph.nodes.last() {
            planned.tensors[logits.0].columns = 0;
            planned.tensors[gradient.0].columns = if train { width } else { 0 };
        }
        let has_targets = !matches!(head.objective, Objective::CrossEntropy { .. });
        let shape = HeadShape {
            rows: head.rows,
            outputs: head.outputs,
            has_targets,
            tables: [graph.vocabulary, graph.positions, graph.token_types],
            key_tile: key_tile(precision),
            nodes: graph.nodes.len(),
        };
        let (largest, input_words) = input::largest(*capacity, &shape, train);
        let room =
            Capacity { tokens: largest.tokens, masked: largest.masked, sequences: input::roomy(*capacity).sequences };
        let slots = Slots::plan(&planned, &room, mode);
        let head_columns = attention_head(graph)?;
        let (mut partials, mut delta, mut shares, mut measuring) = (0, 0, 0, 0);
        let width_bytes = if precision == Precision::Bf16 { 2 } else { 4 };
        for node in &graph.nodes {
            let columns = |tensor: TensorId| graph.tensors[tensor.0].columns;
            if let Node::Linear { x, weight, .. } | Node::Loss { x, weight, .. } = node {
                let rows = match graph.tensors[x.0].rows {
                    Rows::Tokens => room.tokens,
                    Rows::Masked => room.masked,
                    Rows::Sequences | Rows::Examples => room.sequences,
                };
                // Gradients are added to what is there: of the weight, f32, and of x, where x has another reader.
                measuring = measuring.max(4 * self::room(&graph.params[weight.0].shape));
                let others = graph.nodes.iter().filter(|node| node.inputs().contains(x)).count();
                measuring = measuring.max(if others > 1 { rows * columns(*x) * width_bytes } else { 0 });
            }
            let needed = match node {
                Node::Embeddings { out, .. } => {
                    let pieces = largest.pieces.iter().copied().max().unwrap_or(0);
                    columns(*out) * pieces.max(2 * MOST_PARTIALS)
                }
                Node::ResidualNorm { out, .. } => 2 * columns(*out) * MOST_PARTIALS,
                Node::Linear { out, .. } => columns(*out) * MOST_PARTIALS,
                Node::Loss { .. } => width * MOST_PARTIALS,
                Node::Pool { out, .. } => columns(*out) * room.sequences,
                _ => 0,
            };
            partials = partials.max(needed);
            match node {
                Node::Embeddings { out, .. } | Node::ResidualNorm { out, .. } if warps(columns(*out), 3).is_none() => {
                    return Err(Error::Graph(format!(
                        "a LayerNorm of {} columns: a GPU takes up to 4096",
                        columns(*out)
                    )));
                }
                Node::Attention { heads, .. } => delta = delta.max(heads * room.tokens),
                Node::Pool { .. } => shares = 2 * room.sequences,
                _ => {}
            }
        }
        let (offsets, [learning, with_gradient, all]) = places(graph);
        let head_rows = match head.rows {
            Rows::Masked => room.masked,
            _ => room.sequences,
        };
        Ok(Self {
            offsets,
            learning,
            with_gradient,
            all,
            slots,
            width,
            logits_rows: (LOGITS / width).next_multiple_of(64).min(head_rows.max(1)),
            partials: if train { partials } else { 0 },
            delta: if train { delta } else { 0 },
            shares,
            // Merging low-rank updates adds to weights in either mode.
            measuring: if train || !graph.low_rank.is_empty() { measuring } else { 0 },
            input_words,
            head: shape,
            head_columns,
        })
    }

    /// In bytes, as a user is told.
    pub fn memory(&self, graph: &Graph, precision: Precision, mode: Mode) -> MemoryPlan {
        let (train, width) = (usize::from(mode == Mode::Train), if precision == Precision::Bf16 { 2 } else { 4 });
        let bases: usize = graph.low_rank.iter().map(|update| graph.params[update.weight.0].len() * 4).sum();
        MemoryPlan {
            parameters: self.all * if precision == Precision::Bf16 { 6 } else { 4 } + bases,
            gradients: train * self.with_gradient * 4,
            moments: train * self.learning * 8,
            activations: self.slots.activations.iter().sum::<usize>() * width
                + self.slots.statistics.iter().sum::<usize>() * 4,
            scratch: WORKSPACE
                + self.measuring
                + 4 * (self.logits_rows * self.width + self.partials + self.delta + self.shares + self.input_words),
        }
    }
}

/// The columns of attention's heads, all alike, and what the kernels round them up to.
fn attention_head(graph: &Graph) -> Result<(usize, u32)> {
    let mut columns = 0;
    for node in &graph.nodes {
        if let Node::Attention { heads, out, .. } = node {
            let mine = graph.tensors[out.0].columns / heads;
            if columns != 0 && columns != mine {
                return Err(Error::Graph(format!(
                    "attention heads of {columns} and of {mine} columns in one model: a GPU takes one size"
                )));
            }
            columns = mine;
        }
    }
    if columns > WIDEST_HEAD {
        return Err(Error::Graph(format!("attention heads of {columns} columns: a GPU takes up to {WIDEST_HEAD}")));
    }
    Ok((columns, columns.next_multiple_of(16) as u32))
}

/// Where parameters begin, and where those that learn, those with a gradient, and all end.
fn places(graph: &Graph) -> (Vec<usize>, [usize; 3]) {
    let mut offsets = vec![0; graph.params.len()];
    let (mut at, mut ends) = (0, [0; 3]);
    let rank = |index: usize| match graph.params[index].rate > 0.0 {
        true => 0,
        false if graph.wants_gradient(ParamId(index)) => 1,
        false => 2,
    };
    for (class, end) in ends.iter_mut().enumerate() {
        for index in (0..graph.params.len()).filter(|index| rank(*index) == class) {
            offsets[index] = at;
            at += room(&graph.params[index].shape).next_multiple_of(BLOCK);
        }
        *end = at;
    }
    (offsets, ends)
}

/// Elements of a parameter with its filling: rows up to a multiple of 8, so that the products of a head are of sizes that tensor cores like.
pub(super) fn room(shape: &[usize]) -> usize {
    let columns: usize = shape[1..].iter().product();
    shape[0].next_multiple_of(8) * columns
}

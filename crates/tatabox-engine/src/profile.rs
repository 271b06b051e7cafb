//! Where the time of a pass goes, and how much of its work is of use.

use crate::batch::Batch;
use crate::graph::{Graph, Node, Rows, TensorId};

/// Where the time of a kind of op went, since the executor was made or its profile was reset.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OpTime {
    /// The op.
    pub op: String,
    /// Seconds forward.
    pub forward_s: f64,
    /// Seconds backward.
    pub backward_s: f64,
    /// Floating-point operations of its matrix products, forward and backward.
    pub matrix_flops: u64,
}

/// Adds to the line of an op.
pub(crate) fn add_time(profile: &mut Vec<OpTime>, op: &str, forward_s: f64, backward_s: f64, matrix_flops: u64) {
    match profile.iter_mut().find(|time| time.op == op) {
        Some(time) => {
            time.forward_s += forward_s;
            time.backward_s += backward_s;
            time.matrix_flops += matrix_flops;
        }
        None => profile.push(OpTime { op: op.to_owned(), forward_s, backward_s, matrix_flops }),
    }
}

/// The useful floating-point operations of a node's forward; its backward has twice as many. (Attention's computes its scores once more, which is work
/// but of no use.)
pub(crate) fn forward_flops(graph: &Graph, node: &Node, batch: &Batch) -> u64 {
    let product = |rows: usize, columns: usize, depth: usize| 2 * (rows * columns * depth) as u64;
    let rows = |tensor: TensorId| match graph.tensors[tensor.0].rows {
        Rows::Tokens => batch.input_ids.len(),
        Rows::Masked => batch.masked_rows.len(),
        Rows::Sequences => batch.sequences(),
        Rows::Examples => batch.examples(),
    };
    let columns = |tensor: TensorId| graph.tensors[tensor.0].columns;
    match *node {
        Node::Linear { x, out, .. } | Node::Loss { x, logits: out, .. } => product(rows(x), columns(out), columns(x)),
        Node::Attention { out, .. } => {
            let lengths = batch.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
            lengths.map(|length| product(length, length, 2 * columns(out))).sum()
        }
        _ => 0,
    }
}

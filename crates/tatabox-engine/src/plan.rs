//! Memory, planned before the first step: which tensors share which buffer.
//!
//! A tensor lives from the op that writes it to the last that reads it, forward or backward; its gradient from the first backward that
//! writes it to the one that reads it. Tensors whose lives do not meet share a buffer. Every step finds the same buffers at the same addresses.

use crate::batch::Capacity;
use crate::element::Precision;
use crate::graph::{Graph, Kind, Rows, TensorId};

/// Whether gradients are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward, backward, optimizer.
    Train,
    /// Forward only, no dropout.
    Evaluate,
}

/// Bytes that an executor holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// Master weights, and their bf16 copies.
    pub parameters: usize,
    /// Gradients of the parameters.
    pub gradients: usize,
    /// AdamW's two moments.
    pub moments: usize,
    /// Activations, their gradients, statistics.
    pub activations: usize,
    /// Packed operands and attention scores, for all threads (an upper bound).
    pub scratch: usize,
}

impl MemoryPlan {
    /// All of it.
    pub fn total(&self) -> usize {
        self.parameters + self.gradients + self.moments + self.activations + self.scratch
    }

    /// The plan of a graph at a capacity, on the threads of the current pool.
    pub fn of(graph: &Graph, capacity: &Capacity, precision: Precision, mode: Mode) -> MemoryPlan {
        let weights: usize = graph.params.iter().map(|spec| spec.len()).sum();
        let width = element_bytes(precision);
        let slots = Slots::plan(graph, capacity, mode);
        let train = usize::from(mode == Mode::Train);
        let widest = graph.tensors.iter().map(|tensor| tensor.columns).max().unwrap_or(0);
        let deepest = capacity.tokens.min(crate::ops::DEPTH_CHUNK).max(widest);
        let longest = graph.positions.min(capacity.tokens);
        let per_thread = 6 * longest * longest + (1 << 20);
        MemoryPlan {
            parameters: weights * (4 + if precision == Precision::Bf16 { 2 } else { 0 }),
            gradients: train * weights * 4,
            moments: train * weights * 8,
            activations: slots.activations.iter().sum::<usize>() * width + slots.statistics.iter().sum::<usize>() * 4,
            scratch: 4 * (widest * deepest + rayon::current_num_threads() * per_thread),
        }
    }
}

fn element_bytes(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    }
}

fn rows_at(rows: Rows, capacity: &Capacity) -> usize {
    match rows {
        Rows::Tokens => capacity.tokens,
        Rows::Masked => capacity.masked,
        Rows::Sequences | Rows::Examples => capacity.sequences,
    }
}

/// Buffers and who uses them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Elements of each buffer of activations and gradients.
    pub activations: Vec<usize>,
    /// Elements of each buffer of statistics.
    pub statistics: Vec<usize>,
    /// Buffer of each tensor, among `activations` or `statistics` by its kind; none if nothing ever writes it.
    pub of_value: Vec<Option<usize>>,
    /// Buffer of each tensor's gradient, among `activations`.
    pub of_gradient: Vec<Option<usize>>,
}

/// A tensor or gradient and its life, in op times: forward of node i is i, its backward is 2 n - 1 - i.
struct Life {
    tensor: TensorId,
    is_gradient: bool,
    start: usize,
    end: usize,
    len: usize,
}

impl Slots {
    pub fn plan(graph: &Graph, capacity: &Capacity, mode: Mode) -> Self {
        let mut slots = Slots {
            of_value: vec![None; graph.tensors.len()],
            of_gradient: vec![None; graph.tensors.len()],
            ..Slots::default()
        };
        let mut lives = lives(graph, capacity, mode);
        lives.sort_by_key(|life| (life.start, std::cmp::Reverse(life.len)));
        let mut busy_until: [Vec<usize>; 2] = Default::default();
        for life in &lives {
            let kind = graph.tensors[life.tensor.0].kind;
            let (sizes, busy) = match kind {
                Kind::Activation => (&mut slots.activations, &mut busy_until[0]),
                Kind::Statistic => (&mut slots.statistics, &mut busy_until[1]),
            };
            let free = (0..sizes.len()).filter(|slot| busy[*slot] < life.start);
            // The smallest that is large enough, else the largest, which grows.
            let best = free.min_by_key(|slot| (sizes[*slot] < life.len, sizes[*slot].abs_diff(life.len)));
            let slot = best.unwrap_or_else(|| {
                sizes.push(0);
                busy.push(0);
                sizes.len() - 1
            });
            sizes[slot] = sizes[slot].max(life.len);
            busy[slot] = life.end;
            let of = if life.is_gradient { &mut slots.of_gradient } else { &mut slots.of_value };
            of[life.tensor.0] = Some(slot);
        }
        slots
    }
}

fn lives(graph: &Graph, capacity: &Capacity, mode: Mode) -> Vec<Life> {
    let nodes = graph.nodes.len();
    let backward_of = |node: usize| 2 * nodes - 1 - node;
    let gelus_before = graph.gelus_before();
    let mut writer = vec![None; graph.tensors.len()];
    // The last forward that reads a tensor, and the last op of all, forward or backward.
    let mut last_reader = vec![None; graph.tensors.len()];
    let mut end = vec![0; graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut used = |tensor: TensorId, time: usize| end[tensor.0] = end[tensor.0].max(time);
        for tensor in node.outputs() {
            writer[tensor.0] = Some(index);
            used(tensor, index);
        }
        for tensor in node.inputs() {
            last_reader[tensor.0] = Some(index);
            used(tensor, index);
            // A consumer that passes gradients through the GELU reads what went into it.
            if let Some(pre) = gelus_before[tensor.0].filter(|_| mode == Mode::Train) {
                used(pre, backward_of(index));
            }
        }
        if mode == Mode::Train {
            node.kept().into_iter().for_each(|tensor| used(tensor, backward_of(index)));
        }
    }
    let mut lives = Vec::new();
    for (index, spec) in graph.tensors.iter().enumerate() {
        let tensor = TensorId(index);
        let Some(writer) = writer[index] else { continue };
        let len = rows_at(spec.rows, capacity) * spec.columns;
        lives.push(Life { tensor, is_gradient: false, start: writer, end: end[index], len });
        let has_gradient = mode == Mode::Train && graph.nodes[writer].output_with_gradient() == Some(tensor);
        if let Some(reader) = last_reader[index].filter(|_| has_gradient) {
            lives.push(Life { tensor, is_gradient: true, start: backward_of(reader), end: backward_of(writer), len });
        }
    }
    lives
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Init, ParamSpec};

    fn chain(layers: usize) -> Graph {
        let mut graph = Graph::new();
        let table = |graph: &mut Graph, name: &str, rows| graph.param(ParamSpec::matrix(name, [rows, 8], 0.02));
        let (word, position, kind) =
            (table(&mut graph, "w", 20), table(&mut graph, "p", 16), table(&mut graph, "t", 2));
        let norm = graph.norm_params("norm", 8, 1e-12);
        let mut x = graph.embeddings(word, position, kind, norm, 0.1).unwrap();
        for layer in 0..layers {
            let weight = graph.param(ParamSpec::matrix(format!("{layer}.w"), [8, 8], 0.02));
            let bias = graph.param(ParamSpec::vector(format!("{layer}.b"), 8, Init::Zeros));
            let y = graph.linear(x, weight, bias).unwrap();
            x = graph.residual_norm(y, x, norm, 0.1).unwrap();
        }
        let x = graph.masked_rows(x).unwrap();
        let bias = graph.param(ParamSpec::vector("decoder", 20, Init::Zeros));
        graph.mlm_loss(x, word, bias).unwrap();
        graph
    }

    const CAPACITY: Capacity = Capacity { tokens: 100, masked: 10, sequences: 0 };

    #[test]
    fn no_two_living_tensors_share_a_buffer() {
        let graph = chain(5);
        for mode in [Mode::Train, Mode::Evaluate] {
            let slots = Slots::plan(&graph, &CAPACITY, mode);
            let lives = lives(&graph, &CAPACITY, mode);
            let place = |life: &Life| {
                let of = if life.is_gradient { &slots.of_gradient } else { &slots.of_value };
                (graph.tensors[life.tensor.0].kind, of[life.tensor.0].expect("every living tensor has a buffer"))
            };
            for (index, one) in lives.iter().enumerate() {
                for other in &lives[..index] {
                    let meet = one.start <= other.end && other.start <= one.end;
                    assert!(!(meet && place(one) == place(other)), "{:?} and {:?}", one.tensor, other.tensor);
                }
            }
        }
    }

    #[test]
    fn a_thousand_layers_are_planned() {
        let slots = Slots::plan(&chain(1000), &CAPACITY, Mode::Train);
        assert!(slots.activations.len() > 1000);
    }

    #[test]
    fn evaluation_needs_the_same_few_buffers_for_any_depth() {
        let of = |layers| Slots::plan(&chain(layers), &CAPACITY, Mode::Evaluate).activations.len();
        assert_eq!(of(2), of(20));
        let train = |layers| Slots::plan(&chain(layers), &CAPACITY, Mode::Train).activations.len();
        assert!(train(20) > train(2) + 18);
    }
}

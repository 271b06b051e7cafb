//! A graph of the engine and its twin in plain f64, built by the same calls.
#![allow(dead_code)] // Each test program uses a part of it.

pub mod check;
#[path = "../cuda/emulated/mod.rs"]
pub mod emulated;
pub mod model;
pub mod plain;

use std::ops::Range;
use tatabox_engine::philox::{Dropout, GROUP};
use tatabox_engine::{Batch, Graph, Init, Isa, NormParams, Objective, ParamId, ParamSpec, Pooling, StepKey, TensorId};

/// A parameter: as the engine knows it, and its index.
#[derive(Clone, Copy)]
pub struct Param(ParamId, pub usize);

/// Gain, bias and epsilon of a LayerNorm.
#[derive(Clone, Copy)]
pub struct Norm(NormParams, usize);

/// A tensor: as the engine knows it, its index here, and its columns.
#[derive(Clone, Copy)]
pub struct Tensor(TensorId, usize, pub usize);

enum Op {
    Embeddings { tables: [usize; 3], norm: Norm, dropout: f32 },
    Linear { x: usize, weight: usize, bias: usize, gelu: bool },
    Attention { qkv: usize, heads: usize, dropout: f32 },
    ResidualNorm { x: usize, residual: Option<usize>, norm: Norm, dropout: f32 },
    MaskedRows { x: usize },
    FirstRows { x: usize },
    Tanh { x: usize },
    Dropout { x: usize, dropout: f32 },
    Pool { x: usize, kind: PoolKind },
    Loss { x: usize, weight: usize, bias: usize, objective: Objective },
}

/// How sequences become an example.
#[derive(Clone, Copy, Debug)]
pub enum PoolKind {
    Mean,
    Max,
    /// With the vector's parameter.
    Attention(usize),
}

/// Some rows of a matrix count as W + scale B A.
struct LowRank {
    weight: usize,
    rows: Range<usize>,
    a: usize,
    b: usize,
    scale: f64,
}

/// Op for op the same as `graph`; op i writes tensor i.
#[derive(Default)]
pub struct Twin {
    pub graph: Graph,
    ops: Vec<(Op, usize)>,
    low_rank: Vec<LowRank>,
}

impl Twin {
    pub fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Param {
        let index = self.graph.params().len();
        Param(self.graph.param(ParamSpec::matrix(name, [rows, columns], 0.02)), index)
    }

    pub fn vector(&mut self, name: &str, len: usize) -> Param {
        let index = self.graph.params().len();
        Param(self.graph.param(ParamSpec::vector(name, len, Init::Zeros)), index)
    }

    pub fn norm_params(&mut self, name: &str, columns: usize) -> Norm {
        let index = self.graph.params().len();
        Norm(self.graph.norm_params(name, columns, 1e-5), index)
    }

    fn push(&mut self, op: Op, tensor: TensorId, columns: usize) -> Tensor {
        self.ops.push((op, columns));
        Tensor(tensor, self.ops.len() - 1, columns)
    }

    pub fn embeddings(
        &mut self,
        [word, position, kind]: [Param; 3],
        norm: Norm,
        hidden: usize,
        dropout: f32,
    ) -> Tensor {
        let tensor = self.graph.embeddings(word.0, position.0, kind.0, norm.0, dropout).unwrap();
        self.push(Op::Embeddings { tables: [word.1, position.1, kind.1], norm, dropout }, tensor, hidden)
    }

    /// A linear layer with parameters of its own.
    pub fn linear(&mut self, name: &str, x: Tensor, outputs: usize, gelu: bool) -> Tensor {
        let weight = self.matrix(&format!("{name}.weight"), outputs, x.2);
        let bias = self.vector(&format!("{name}.bias"), outputs);
        let tensor = if gelu {
            self.graph.linear_gelu(x.0, weight.0, bias.0).unwrap()
        } else {
            self.graph.linear(x.0, weight.0, bias.0).unwrap()
        };
        self.push(Op::Linear { x: x.1, weight: weight.1, bias: bias.1, gelu }, tensor, outputs)
    }

    pub fn attention(&mut self, qkv: Tensor, heads: usize, dropout: f32) -> Tensor {
        let tensor = self.graph.attention(qkv.0, heads, dropout).unwrap();
        self.push(Op::Attention { qkv: qkv.1, heads, dropout }, tensor, qkv.2 / 3)
    }

    pub fn residual_norm(&mut self, name: &str, x: Tensor, residual: Tensor, dropout: f32) -> Tensor {
        let norm = self.norm_params(name, x.2);
        let tensor = self.graph.residual_norm(x.0, residual.0, norm.0, dropout).unwrap();
        self.push(Op::ResidualNorm { x: x.1, residual: Some(residual.1), norm, dropout }, tensor, x.2)
    }

    pub fn norm(&mut self, name: &str, x: Tensor) -> Tensor {
        let norm = self.norm_params(name, x.2);
        let tensor = self.graph.norm(x.0, norm.0).unwrap();
        self.push(Op::ResidualNorm { x: x.1, residual: None, norm, dropout: 0.0 }, tensor, x.2)
    }

    pub fn masked_rows(&mut self, x: Tensor) -> Tensor {
        let tensor = self.graph.masked_rows(x.0).unwrap();
        self.push(Op::MaskedRows { x: x.1 }, tensor, x.2)
    }

    pub fn mlm_loss(&mut self, x: Tensor, weight: Param, bias: Param) {
        self.graph.mlm_loss(x.0, weight.0, bias.0).unwrap();
        self.ops.push((Op::Loss { x: x.1, weight: weight.1, bias: bias.1, objective: Objective::PLAIN }, 0));
    }

    pub fn first_rows(&mut self, x: Tensor) -> Tensor {
        let tensor = self.graph.first_rows(x.0).unwrap();
        self.push(Op::FirstRows { x: x.1 }, tensor, x.2)
    }

    pub fn tanh(&mut self, x: Tensor) -> Tensor {
        let tensor = self.graph.tanh(x.0);
        self.push(Op::Tanh { x: x.1 }, tensor, x.2)
    }

    pub fn dropout(&mut self, x: Tensor, dropout: f32) -> Tensor {
        let tensor = self.graph.dropout(x.0, dropout);
        self.push(Op::Dropout { x: x.1, dropout }, tensor, x.2)
    }

    /// With a vector of its own, where pooling is by attention.
    pub fn pool(&mut self, x: Tensor, pooling: &str) -> Tensor {
        let (pooling, kind) = match pooling {
            "mean" => (Pooling::Mean, PoolKind::Mean),
            "max" => (Pooling::Max, PoolKind::Max),
            _ => {
                let vector = self.vector("pool.vector", x.2);
                (Pooling::Attention(vector.0), PoolKind::Attention(vector.1))
            }
        };
        let tensor = self.graph.pool(x.0, pooling).unwrap();
        self.push(Op::Pool { x: x.1, kind }, tensor, x.2)
    }

    /// A head with parameters of its own.
    pub fn loss(&mut self, x: Tensor, outputs: usize, objective: Objective) {
        let weight = self.matrix("head.weight", outputs, x.2);
        let bias = self.vector("head.bias", outputs);
        self.graph.loss(x.0, weight.0, bias.0, objective.clone()).unwrap();
        self.ops.push((Op::Loss { x: x.1, weight: weight.1, bias: bias.1, objective }, 0));
    }

    /// Freezes a parameter and lets rows of it learn an update.
    pub fn low_rank(&mut self, weight: usize, rows: Range<usize>, rank: usize, alpha: f32) {
        let a = self.graph.params().len();
        self.graph.low_rank(weight, rows.clone(), &format!("{weight}.{}", rows.start), rank, alpha).unwrap();
        self.low_rank.push(LowRank { weight, rows, a, b: a + 1, scale: f64::from(alpha) / rank as f64 });
    }

    fn merged(&self, params: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut merged = params.to_vec();
        for LowRank { weight, rows, a, b, scale } in &self.low_rank {
            let rank = params[*b].len() / rows.len();
            let inputs = params[*a].len() / rank;
            for (index, row) in rows.clone().enumerate() {
                for c in 0..inputs {
                    let update: f64 =
                        (0..rank).map(|r| params[*b][index * rank + r] * params[*a][r * inputs + c]).sum();
                    merged[*weight][row * inputs + c] += scale * update;
                }
            }
        }
        merged
    }

    /// Outputs and losses of the head's rows; with a key, dropout as the engine draws it.
    pub fn run(&self, params: &[Vec<f64>], batch: &Batch, key: Option<StepKey>) -> (Vec<f64>, Vec<f64>) {
        let params = &self.merged(params);
        let mut tensors: Vec<Vec<f64>> = Vec::new();
        for (index, (op, columns)) in self.ops.iter().enumerate() {
            let drop_with = |p: f32| {
                Factors(key.filter(|_| p > 0.0).and_then(|key| Dropout::new(Isa::Portable, p, key.of_op(index))))
            };
            let out = match op {
                Op::Embeddings { tables, norm, dropout } => {
                    let sum = embedded(tables.map(|table| &params[table][..]), *columns, batch);
                    let out = plain::norm(&sum, &params[norm.1], &params[norm.1 + 1], f64::from(norm.0.eps));
                    drop_with(*dropout).rows(out, *columns)
                }
                Op::Linear { x, weight, bias, gelu } => {
                    let out = plain::linear(&tensors[*x], &params[*weight], &params[*bias]);
                    if *gelu { out.into_iter().map(plain::gelu).collect() } else { out }
                }
                Op::Attention { qkv, heads, dropout } => {
                    let factors = drop_with(*dropout);
                    plain::attention(&tensors[*qkv], &batch.offsets, *heads, *columns, |row, head, keys| {
                        factors.of(row, head, keys)
                    })
                }
                Op::ResidualNorm { x, residual, norm, dropout } => {
                    let mut sum = drop_with(*dropout).rows(tensors[*x].clone(), *columns);
                    if let Some(residual) = residual {
                        sum.iter_mut().zip(&tensors[*residual]).for_each(|(sum, other)| *sum += other);
                    }
                    plain::norm(&sum, &params[norm.1], &params[norm.1 + 1], f64::from(norm.0.eps))
                }
                Op::MaskedRows { x } => {
                    let row = |row: &u32| tensors[*x][*row as usize * columns..][..*columns].to_vec();
                    batch.masked_rows.iter().flat_map(row).collect()
                }
                Op::FirstRows { x } => {
                    let row = |row: &u32| tensors[*x][*row as usize * columns..][..*columns].to_vec();
                    batch.offsets[..batch.sequences()].iter().flat_map(row).collect()
                }
                Op::Tanh { x } => tensors[*x].iter().map(|value| value.tanh()).collect(),
                Op::Dropout { x, dropout } => drop_with(*dropout).rows(tensors[*x].clone(), *columns),
                Op::Pool { x, kind } => {
                    let of = |example| {
                        let rows = batch.sequences_of(example);
                        let rows = &tensors[*x][rows.start * columns..rows.end * columns];
                        match kind {
                            PoolKind::Mean => plain::pool_by(rows, &vec![0.0; *columns]),
                            PoolKind::Max => plain::pool_largest(rows, *columns),
                            PoolKind::Attention(vector) => plain::pool_by(rows, &params[*vector]),
                        }
                    };
                    (0..batch.examples()).flat_map(of).collect()
                }
                Op::Loss { x, weight, bias, objective } => {
                    let logits = plain::linear(&tensors[*x], &params[*weight], &params[*bias]);
                    let loss = plain::loss(&logits, batch, params[*bias].len(), objective);
                    return (logits, loss);
                }
            };
            tensors.push(out);
        }
        unreachable!("a twin ends in its loss");
    }
}

fn embedded([word, position, kind]: [&[f64]; 3], hidden: usize, batch: &Batch) -> Vec<f64> {
    let positions = batch.offsets.windows(2).flat_map(|pair| 0..(pair[1] - pair[0]) as usize);
    let rows = batch.input_ids.iter().zip(positions).enumerate();
    rows.flat_map(|(row, (id, position_id))| {
        let type_id = batch.token_types.get(row).map_or(0, |kind| *kind as usize);
        (0..hidden).map(move |c| {
            word[*id as usize * hidden + c] + position[position_id * hidden + c] + kind[type_id * hidden + c]
        })
    })
    .collect()
}

/// Dropout's factors of an op; 1 without dropout.
struct Factors(Option<Dropout>);

impl Factors {
    fn of(&self, row: usize, plane: usize, columns: usize) -> Vec<f64> {
        let mut factors = vec![1.0; columns];
        if let Some(dropout) = self.0 {
            let mut group_factors = [0f32; GROUP];
            for (group, factors) in factors.chunks_mut(GROUP).enumerate() {
                dropout.scales(row as u32, plane as u32, group as u32, &mut group_factors);
                factors.iter_mut().zip(group_factors).for_each(|(factor, drawn)| *factor = f64::from(drawn));
            }
        }
        factors
    }

    fn rows(&self, mut values: Vec<f64>, columns: usize) -> Vec<f64> {
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            values.iter_mut().zip(self.of(row, 0, columns)).for_each(|(value, factor)| *value *= factor);
        }
        values
    }
}

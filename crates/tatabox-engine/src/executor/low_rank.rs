//! Low-rank updates of frozen matrices (LoRA, Hu et al. 2021): some rows of W count as `W + scale B A`.
//!
//! The ops know nothing of it: they read the merged matrix, which is computed once a step, and give its gradient, of which those of A and B are products. So
//! a step costs what full fine-tuning costs, without the moments, and the weights are merged at any moment.

use super::state::State;
use crate::element::Element;
use crate::graph::LowRank;
use crate::kernels::epilogue::Store;
use crate::kernels::pack::View;
use crate::ops::adamw;

impl<E: Element> State<E> {
    /// A parameter without its updates.
    pub fn param(&self, index: usize) -> &[f32] {
        let base = self.bases.iter().find(|(param, _)| param.0 == index).map(|(_, base)| &base[..]);
        base.filter(|base| !base.is_empty()).unwrap_or(&self.master[index])
    }

    /// Replaces a parameter, and merges its updates, or those that it is a part of.
    pub fn set_param(&mut self, index: usize, values: &[f32]) {
        self.master[index].copy_from_slice(values);
        adamw::round(self.gemm.isa(), &self.master[index], &mut self.rounded[index]);
        if let Some((_, base)) = self.bases.iter_mut().find(|(param, _)| param.0 == index) {
            *base = values.to_vec();
        }
        if self.graph.low_rank.iter().any(|update| [update.weight.0, update.a.0, update.b.0].contains(&index)) {
            self.merge_low_rank();
        }
    }

    /// Takes what adapted matrices are now as what they are without their updates, and merges these.
    pub fn remember_bases(&mut self) {
        for (param, base) in &mut self.bases {
            *base = self.master[param.0].to_vec();
        }
        self.merge_low_rank();
    }

    /// `W = base + scale B A` for all adapted matrices.
    pub fn merge_low_rank(&mut self) {
        for (param, base) in self.bases.iter().filter(|(_, base)| !base.is_empty()) {
            self.master[param.0].copy_from_slice(base);
        }
        for update in self.graph.low_rank.clone() {
            let LowRank { weight, ref rows, a, b, rank, scale } = update;
            let inputs = self.graph.params[weight.0].shape[1];
            let mut merged = std::mem::take(&mut self.master[weight.0]);
            let b = View::new(&self.master[b.0][..], rows.len(), rank, rank);
            let a = View::new(&self.master[a.0][..], rank, inputs, inputs);
            let target = &mut merged[rows.start * inputs..rows.end * inputs];
            self.f32_gemm.parallel(b, a, Store::new(target, inputs, inputs).scale(scale).adding(true));
            self.master[weight.0] = merged;
        }
        for param in self.bases.keys() {
            adamw::round(self.gemm.isa(), &self.master[param.0], &mut self.rounded[param.0]);
        }
    }

    /// The gradients of A and B from that of the merged matrix: `dA = scale B^T dW`, `dB = scale dW A^T`; they replace what is there.
    pub fn project_low_rank(&mut self) {
        for update in self.graph.low_rank.clone() {
            let LowRank { weight, ref rows, a, b, rank, scale } = update;
            let inputs = self.graph.params[weight.0].shape[1];
            let mut d_a = std::mem::take(&mut self.gradients[a.0]);
            let mut d_b = std::mem::take(&mut self.gradients[b.0]);
            let d_w = &self.gradients[weight.0][rows.start * inputs..rows.end * inputs];
            let d_w = View::new(d_w, rows.len(), inputs, inputs);
            let b_t = View::new(&self.master[b.0][..], rows.len(), rank, rank).t();
            let a_t = View::new(&self.master[a.0][..], rank, inputs, inputs).t();
            self.f32_gemm.parallel(b_t, d_w, Store::new(&mut d_a[..], inputs, inputs).scale(scale));
            self.f32_gemm.parallel(d_w, a_t, Store::new(&mut d_b[..], rank, rank).scale(scale));
            self.gradients[a.0] = d_a;
            self.gradients[b.0] = d_b;
        }
    }
}

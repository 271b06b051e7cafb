//! Adam with decoupled weight decay (Loshchilov and Hutter 2019).

/// The moments of all weights.
pub(super) struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    step: i32,
}

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

impl Adam {
    pub fn new(weights: usize) -> Self {
        Self { first: vec![0.0; weights], second: vec![0.0; weights], step: 0 }
    }

    /// Moves the weights one step; those of which `decays` says so are drawn to 0 by `rate * decay` of themselves.
    pub fn step(
        &mut self,
        weights: &mut [f32],
        gradient: &[f32],
        rate: f64,
        decay: f64,
        decays: impl Fn(usize) -> bool,
    ) {
        self.step += 1;
        let [whole1, whole2] = [BETA1, BETA2].map(|beta| 1.0 - f64::from(beta).powi(self.step));
        let (size, scale) = ((rate / whole1) as f32, (1.0 / whole2) as f32);
        let shrink = (rate * decay) as f32;
        for at in 0..weights.len() {
            let slope = gradient[at];
            self.first[at] = BETA1 * self.first[at] + (1.0 - BETA1) * slope;
            self.second[at] = BETA2 * self.second[at] + (1.0 - BETA2) * slope * slope;
            let pull = if decays(at) { shrink * weights[at] } else { 0.0 };
            weights[at] -= size * self.first[at] / ((self.second[at] * scale).sqrt() + EPSILON) + pull;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_rate_whatever_the_slope_and_decay_spares_biases() {
        let mut weights = [1.0, 1.0, 1.0];
        Adam::new(3).step(&mut weights, &[1e-3, -50.0, 0.0], 0.1, 0.5, |at| at != 2);
        assert!((weights[0] - (0.9 - 0.05)).abs() < 1e-4 && (weights[1] - (1.1 - 0.05)).abs() < 1e-4, "{weights:?}");
        assert_eq!(weights[2], 1.0);
    }
}

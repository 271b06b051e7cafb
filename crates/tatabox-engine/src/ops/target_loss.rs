//! Losses of outputs that have a target each: yes or no (binary cross-entropy), or a number (squared error). Heads of few outputs: no need for speed.

use crate::element::Element;

/// `loss[row]` is the sum over outputs of the cross-entropy between sigmoid(output) and its target from 0 to 1, a yes counted `positive_weights` times, as
/// `torch.nn.BCEWithLogitsLoss` computes it; with `gradient`, its derivative times the scale. Shapes `[rows, outputs]`.
pub fn binary_cross_entropy<E: Element>(
    logits: &[f32],
    targets: &[f32],
    positive_weights: Option<&[f32]>,
    loss: &mut [f32],
    gradient: Option<(&mut [E], f32)>,
) {
    let outputs = logits.len() / loss.len().max(1);
    each(logits, targets, loss, gradient, |at, logit, target| {
        let positive = positive_weights.map_or(1.0, |weights| weights[at % outputs]);
        // -log sigmoid(x) and -log sigmoid(-x), without overflow on either side.
        let tail = (-logit.abs()).exp().ln_1p();
        let (no, yes) = (logit.max(0.0) + tail, (-logit).max(0.0) + tail);
        let sigmoid = 1.0 / (1.0 + (-logit).exp());
        let value = positive * target * yes + (1.0 - target) * no;
        (value, (1.0 - target) * sigmoid - positive * target * (1.0 - sigmoid))
    });
}

/// `loss[row]` is the sum over outputs of (output - target)^2; with `gradient`, its derivative times the scale. Shapes `[rows, outputs]`.
pub fn squared_error<E: Element>(
    outputs: &[f32],
    targets: &[f32],
    loss: &mut [f32],
    gradient: Option<(&mut [E], f32)>,
) {
    each(outputs, targets, loss, gradient, |_, output, target| {
        let error = output - target;
        (error * error, 2.0 * error)
    });
}

/// Sums `value(at, output, target).0` over each row, and stores the derivative `.1`, scaled.
fn each<E: Element>(
    outputs: &[f32],
    targets: &[f32],
    loss: &mut [f32],
    mut gradient: Option<(&mut [E], f32)>,
    value: impl Fn(usize, f32, f32) -> (f32, f32),
) {
    let columns = outputs.len() / loss.len().max(1);
    for (row, loss) in loss.iter_mut().enumerate() {
        *loss = 0.0;
        for at in row * columns..(row + 1) * columns {
            let (term, derivative) = value(at, outputs[at], targets[at]);
            *loss += term;
            if let Some((gradient, scale)) = &mut gradient {
                gradient[at] = E::from_f32(*scale * derivative);
            }
        }
    }
}

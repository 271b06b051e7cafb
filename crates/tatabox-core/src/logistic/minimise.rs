//! L-BFGS (Liu and Nocedal 1989) for a smooth, convex function.

/// Pairs of steps and changes of slope that are remembered.
const MEMORY: usize = 10;

/// Goes downhill from `start` until no slope is above `tolerance` times the largest at the start (or times 1), or `steps` are done. `objective` gives the value
/// at a point and writes its gradient.
pub(super) fn minimise(
    start: Vec<f64>,
    steps: usize,
    tolerance: f64,
    objective: impl Fn(&[f64], &mut [f64]) -> f64,
) -> Vec<f64> {
    let mut at = start;
    let mut gradient = vec![0.0; at.len()];
    let mut value = objective(&at, &mut gradient);
    let goal = tolerance * largest(&gradient).max(1.0);
    let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..steps {
        if largest(&gradient) <= goal {
            break;
        }
        let direction = downhill(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        let mut size = if memory.is_empty() { 1.0 / largest(&gradient).max(1.0) } else { 1.0 };
        let mut next = vec![0.0; at.len()];
        let mut next_gradient = vec![0.0; at.len()];
        let mut next_value;
        // Halved until the value has fallen enough (Armijo).
        loop {
            for ((next, at), direction) in next.iter_mut().zip(&at).zip(&direction) {
                *next = at + size * direction;
            }
            next_value = objective(&next, &mut next_gradient);
            if next_value <= value + 1e-4 * size * slope {
                break;
            }
            size *= 0.5;
            if size < 1e-12 {
                return at;
            }
        }
        let moved: Vec<f64> = next.iter().zip(&at).map(|(next, at)| next - at).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(next, at)| next - at).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-300 {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push((moved, turned, 1.0 / curvature));
        }
        (at, gradient, value) = (next, next_gradient, next_value);
    }
    at
}

/// The two loops over what is remembered.
fn downhill(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, turned, inverse) in memory.iter().rev() {
        let share = inverse * dot(moved, &direction);
        add(&mut direction, turned, -share);
        shares.push(share);
    }
    if let Some((_, turned, inverse)) = memory.last() {
        let scale = 1.0 / (inverse * dot(turned, turned));
        direction.iter_mut().for_each(|part| *part *= scale);
    }
    for ((moved, turned, inverse), share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = inverse * dot(turned, &direction);
        add(&mut direction, moved, share - back);
    }
    direction
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn add(sum: &mut [f64], more: &[f64], factor: f64) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += factor * more);
}

fn largest(gradient: &[f64]) -> f64 {
    gradient.iter().fold(0.0, |most: f64, slope| most.max(slope.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_a_long_valley() {
        // (x - 1)^2 + 1000 (y + 2)^2 + (x - 1)^4.
        let valley = |at: &[f64], slope: &mut [f64]| {
            let (x, y) = (at[0] - 1.0, at[1] + 2.0);
            slope.copy_from_slice(&[2.0 * x + 4.0 * x.powi(3), 2000.0 * y]);
            x * x + 1000.0 * y * y + x.powi(4)
        };
        let bottom = minimise(vec![10.0, 10.0], 100, 1e-10, valley);
        assert!((bottom[0] - 1.0).abs() < 1e-4 && (bottom[1] + 2.0).abs() < 1e-6, "{bottom:?}");
    }
}

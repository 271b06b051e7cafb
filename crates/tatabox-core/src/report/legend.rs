//! The words of a plot: what its lines and markers are, and all of it for those who do not see it.

use std::fmt::Write;

use super::Curves;
use super::number::plain;

/// The words of a plot of curves.
pub(super) struct Legend {
    /// The whole plot in words.
    pub description: String,
    /// A curve each, with its last value.
    pub series: Vec<String>,
    /// A level each, with its value.
    pub levels: Vec<String>,
    /// An event each, with its place.
    pub events: Vec<String>,
}

impl Legend {
    pub fn of(curves: &Curves) -> Self {
        let mut description = format!("{} by {}.", curves.y_label, curves.x_label);
        let mut series = Vec::new();
        for curve in &curves.series {
            let finite = || curve.points.iter().filter(|point| point.1.is_finite());
            series.push(match (finite().next(), finite().next_back()) {
                (Some(first), Some(last)) => {
                    let [from, to, start, end] = [first.0, last.0, first.1, last.1].map(plain);
                    // Writing to a string cannot fail.
                    let _ = write!(description, " {}: from {start} at {from} to {end} at {to}.", curve.name);
                    format!("{}, last {end}", curve.name)
                }
                _ => format!("{}, no numbers", curve.name),
            });
        }
        let mut levels = Vec::new();
        for level in &curves.levels {
            let y = plain(level.y);
            let _ = write!(description, " {}: {y} throughout.", level.name);
            levels.push(format!("{}, {y}", level.name));
        }
        let event = |event: &super::Event| format!("{} {}: {}", curves.x_label, plain(event.x), event.label);
        Self { description, series, levels, events: curves.events.iter().map(event).collect() }
    }
}

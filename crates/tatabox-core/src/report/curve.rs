//! Plots as SVG elements, drawn by plotters, in fixed colours that the page maps to those of its light or dark scheme.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::number::{grouped, mark};
use super::{Bars, Curves};

/// Colours of series, light and dark scheme; series past the last begin again.
pub(super) const SERIES: [(u32, u32); 12] = [
    (0x0B62C4, 0x6CB0FF),
    (0xB3480B, 0xFF9E5E),
    (0x107A4C, 0x5FD39B),
    (0x7A35D8, 0xC9A4FF),
    (0xA11A55, 0xFF87B5),
    (0x5C6400, 0xCDD25A),
    (0x00707C, 0x54CFDD),
    (0x7D4A16, 0xDDAA6E),
    (0x9A1FA3, 0xF094F8),
    (0xB01E1E, 0xFF9088),
    (0x3B40B8, 0xA3A8FF),
    (0x4A5A2A, 0xA9C48A),
];
/// Colours of text and axes.
pub(super) const INK: (u32, u32) = (0x22272E, 0xE6E9EE);
/// Colours of grid lines.
pub(super) const GRID: (u32, u32) = (0xE1E5EA, 0x333B45);
/// Colours of event markers and levels.
pub(super) const EVENT: (u32, u32) = (0x6B7480, 0x98A2AE);

/// Points of a series that are drawn at most; more cannot be told apart on a page.
const MOST_POINTS: usize = 300;
/// Points up to which each is marked.
const FEW_POINTS: usize = 25;
/// How opaque a single run behind a curve is.
const THIN: f64 = 0.45;
/// Text height asked of plotters, which makes it about a fifth smaller.
const FONT: u32 = 16;

/// Colours of the light scheme whose lines are broken, and how: every second series, for those who do not see the colours, and events and levels.
pub(super) fn dashes() -> impl Iterator<Item = (u32, &'static str)> {
    let series = SERIES.iter().skip(1).step_by(2).map(|color| (color.0, "7 4"));
    series.chain([(EVENT.0, "2 4")])
}

/// Width and height of a plot in pixels.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub width: u32,
    pub height: u32,
}

/// The plot of a page on a screen, and of a file.
pub(super) const WIDE: Size = Size { width: 760, height: 360 };
/// The plot of a page on a phone, so that its text is readable there.
pub(super) const NARROW: Size = Size { width: 360, height: 300 };

/// A colour of the light scheme for plotters.
fn color((light, _): (u32, u32)) -> RGBColor {
    let [_, red, green, blue] = light.to_be_bytes();
    RGBColor(red, green, blue)
}

/// Evenly spread points of a series, its first and last among them, at most `MOST_POINTS`.
pub(super) fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    (0..MOST_POINTS).map(|index| points[index * (points.len() - 1) / (MOST_POINTS - 1)]).collect()
}

/// Lowest and highest of the finite values, widened where they are the same; none if there is no value.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return None;
    }
    let wide = high - low > 1e-12 * high.abs().max(low.abs());
    let margin = if wide { margin * (high - low) } else { 0.5 * high.abs().max(1.0) };
    Some((low - margin, high + margin))
}

/// The largest of 1, 2, 5, 10, … that makes at least `marks` steps of a range.
fn step((low, high): (f64, f64), marks: usize) -> f64 {
    let largest = (high - low) / marks as f64;
    let power = 10f64.powf(largest.log10().floor());
    power * [5.0, 2.0, 1.0].into_iter().find(|factor| factor * power <= largest).unwrap_or(1.0)
}

/// The curves with the decimal logarithm of every x.
fn in_powers(curves: &Curves) -> Curves {
    let mut powers = curves.clone();
    let points = powers.series.iter_mut().flat_map(|series| &mut series.points);
    points.chain(powers.repeats.iter_mut().flat_map(|repeat| &mut repeat.points)).for_each(|(x, _)| *x = x.log10());
    powers.events.iter_mut().for_each(|event| event.x = event.x.log10());
    powers
}

/// Curves as one SVG element; none if no point is finite.
pub(super) fn curves_svg(curves: &Curves, size: Size) -> Option<String> {
    let powers;
    let curves = if curves.x_log {
        powers = in_powers(curves);
        &powers
    } else {
        curves
    };
    let all = || {
        let means = curves.series.iter().flat_map(|series| &series.points);
        let repeats = curves.repeats.iter().flat_map(|repeat| &repeat.points);
        means.chain(repeats).filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    let x_range = range(all().map(|point| point.0), 0.0)?;
    let levels = curves.levels.iter().map(|level| level.y);
    let y_range = range(all().map(|point| point.1).chain(levels), 0.06)?;
    let mut svg = String::new();
    let backend = SVGBackend::with_string(&mut svg, (size.width, size.height));
    draw_curves(curves, size, x_range, y_range, backend).ok()?;
    Some(svg)
}

/// Draws axes, grid, events, levels and lines.
fn draw_curves(
    curves: &Curves,
    size: Size,
    x_range: (f64, f64),
    y_range: (f64, f64),
    backend: SVGBackend,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let root = backend.into_drawing_area();
    let (x_marks, y_marks) = (size.width as usize / 90, size.height as usize / 55);
    let (x_step, y_step) = (step(x_range, x_marks), step(y_range, y_marks));
    let [x_size, y_size] = [x_range, y_range].map(|(low, high)| low.abs().max(high.abs()));
    let widest =
        [y_range.0, y_range.1].map(|y| mark((y / y_step).round() * y_step, y_step, y_size).chars().count() + 1);
    let events: Vec<(usize, f64)> = curves
        .events
        .iter()
        .map(|event| event.x)
        .enumerate()
        .filter(|(_, x)| (x_range.0..=x_range.1).contains(x))
        .collect();
    let mut chart = ChartBuilder::on(&root)
        .margin_top(if events.is_empty() { 8 } else { 34 })
        .margin_right(20)
        .margin_bottom(4)
        .x_label_area_size(46)
        .y_label_area_size(12 + 8 * widest.into_iter().max().unwrap_or(0) as u32)
        .build_cartesian_2d(x_range.0..x_range.1, y_range.0..y_range.1)?;
    let ink = color(INK);
    let font = ("sans-serif", FONT).into_font().color(&ink);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(color(GRID))
        .axis_style(ink)
        .label_style(font.clone())
        .x_labels(if curves.x_log { 0 } else { x_marks })
        .y_labels(y_marks)
        .x_label_formatter(&|x| mark(*x, x_step, x_size))
        .y_label_formatter(&|y| mark(*y, y_step, y_size))
        .x_desc(&curves.x_label)
        .draw()?;
    if curves.x_log {
        let mut places: Vec<f64> =
            curves.series.iter().flat_map(|series| &series.points).map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let mut reached = f64::NEG_INFINITY;
        for x in places.into_iter().filter(|x| x.is_finite()) {
            let (left, bottom) = chart.backend_coord(&(x, y_range.0));
            let text = grouped(10f64.powf(x).round(), 0);
            let half = 4 * text.chars().count() as i32;
            // Numbers that would touch are left out.
            if f64::from(left - half) > reached {
                root.draw(&PathElement::new(vec![(left, bottom), (left, bottom + 5)], ink))?;
                root.draw(&Text::new(text, (left - half, bottom + 8), font.clone()))?;
                reached = f64::from(left + half + 4);
            }
        }
    }
    let mut last = (f64::NEG_INFINITY, 0);
    for (index, x) in events {
        chart.draw_series([PathElement::new(vec![(x, y_range.0), (x, y_range.1)], color(EVENT))])?;
        let (left, top) = chart.backend_coord(&(x, y_range.1));
        // Numbers that would touch take turns in two rows.
        let row = if f64::from(left) - last.0 < 18.0 { 1 - last.1 } else { 0 };
        last = (f64::from(left), row);
        let text = (index + 1).to_string();
        root.draw(&Text::new(text.clone(), (left - 4 * text.len() as i32, top - 16 - 15 * row), font.clone()))?;
    }
    for y in curves.levels.iter().map(|level| level.y).filter(|y| y.is_finite()) {
        chart.draw_series([PathElement::new(vec![(x_range.0, y), (x_range.1, y)], color(EVENT))])?;
    }
    for repeat in &curves.repeats {
        draw_thin(&mut chart, &thinned(&repeat.points), color(SERIES[repeat.series % SERIES.len()]))?;
    }
    for (index, series) in curves.series.iter().enumerate() {
        draw_series(&mut chart, &thinned(&series.points), color(SERIES[index % SERIES.len()]))?;
    }
    root.present()
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws a line, broken where a value is not finite; single and few points get dots.
fn draw_series(
    chart: &mut Chart,
    points: &[(f64, f64)],
    color: RGBColor,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    for piece in points.split(|(x, y)| !x.is_finite() || !y.is_finite()).filter(|piece| !piece.is_empty()) {
        chart.draw_series(LineSeries::new(piece.iter().copied(), color.stroke_width(2)))?;
        if piece.len() == 1 || points.len() <= FEW_POINTS {
            chart.draw_series(piece.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
        }
    }
    Ok(())
}

/// Draws a single run behind a curve, broken where a value is not finite.
fn draw_thin(
    chart: &mut Chart,
    points: &[(f64, f64)],
    color: RGBColor,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    for piece in points.split(|(x, y)| !x.is_finite() || !y.is_finite()).filter(|piece| piece.len() > 1) {
        chart.draw_series(LineSeries::new(piece.iter().copied(), color.mix(THIN).stroke_width(1)))?;
    }
    Ok(())
}

/// Height of a bar with its name above it.
const BAR_ROW: u32 = 44;
/// Room for the number right of the longest bar.
const BAR_NUMBER: u32 = 92;

/// Height of a plot of bars.
pub(super) fn bars_height(bars: &Bars) -> u32 {
    BAR_ROW * bars.bars.len() as u32 + 8
}

/// Bars as one SVG element of this width; none if no value is finite.
pub(super) fn bars_svg(bars: &Bars, width: u32) -> Option<String> {
    let ends = bars.bars.iter().flat_map(|bar| [bar.value - bar.spread(), bar.value + bar.spread()]);
    let (low, high) = range(ends, 0.0)?;
    let (low, high) = (low.min(0.0), high.max(0.0));
    let mut svg = String::new();
    let backend = SVGBackend::with_string(&mut svg, (width, bars_height(bars)));
    draw_bars(bars, width, (low, high), backend).ok()?;
    Some(svg)
}

/// Draws names, bars and numbers.
fn draw_bars(
    bars: &Bars,
    width: u32,
    (low, high): (f64, f64),
    backend: SVGBackend,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let root = backend.into_drawing_area();
    let ink = color(INK);
    let font = ("sans-serif", FONT).into_font().color(&ink);
    let pixel = |value: f64| (f64::from(width - BAR_NUMBER) * (value - low) / (high - low)).round() as i32 + 1;
    for (index, bar) in bars.bars.iter().enumerate() {
        let top = BAR_ROW as i32 * index as i32 + 4;
        let fitting = width as usize / 8;
        let name = if bar.name.chars().count() > fitting {
            bar.name.chars().take(fitting - 1).chain(['…']).collect()
        } else {
            bar.name.clone()
        };
        root.draw(&Text::new(name, (0, top), font.clone()))?;
        let (number, end) = if bar.value.is_finite() {
            let (from, to) = (pixel(bar.value.min(0.0)), pixel(bar.value.max(0.0)));
            root.draw(&Rectangle::new(
                [(from, top + 18), (to, top + 36)],
                color(SERIES[index % SERIES.len()]).filled(),
            ))?;
            let [below, above] = [bar.value - bar.spread(), bar.value + bar.spread()].map(pixel);
            if below < above {
                root.draw(&PathElement::new(vec![(below, top + 27), (above, top + 27)], ink.stroke_width(2)))?;
            }
            (grouped(bar.value, bars.decimals), to.max(above))
        } else {
            ("–".into(), pixel(0.0))
        };
        root.draw(&Text::new(number, (end + 6, top + 20), font.clone()))?;
    }
    root.present()
}

#[cfg(test)]
mod tests {
    use super::super::{Bar, Event, Level, Repeat, Series};
    use super::*;

    fn one(points: Vec<(f64, f64)>) -> Curves {
        Curves {
            x_label: "step".into(),
            y_label: "nats".into(),
            series: vec![Series { name: "loss".into(), points }],
            ..Curves::default()
        }
    }

    #[test]
    fn lines_break_where_a_value_is_not_finite() {
        let lines =
            |points| curves_svg(&one(points), WIDE).unwrap().matches("stroke=\"#0B62C4\" stroke-width=\"2\"").count();
        assert_eq!(lines(vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]), 1);
        assert_eq!(lines(vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0), (4.0, 4.0)]), 2);
    }

    #[test]
    fn a_logarithmic_axis_is_marked_where_the_points_are() {
        let curves = Curves { x_log: true, ..one(vec![(10.0, 1.0), (50.0, 2.0), (100.0, 3.0), (1000.0, 4.0)]) };
        let svg = curves_svg(&curves, WIDE).unwrap();
        let marked: Vec<&str> =
            svg.lines().map(str::trim).filter(|line| ["10", "50", "100", "1,000"].contains(line)).collect();
        assert_eq!(marked, ["10", "50", "100", "1,000"], "{svg}");
        let points = svg.split("<polyline").find(|part| part.contains("#0B62C4")).unwrap();
        let xs: Vec<f64> = points
            .split("points=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .split_whitespace()
            .map(|point| point.split(',').next().unwrap().parse().unwrap())
            .collect();
        // As far from 10 to 100 as from 100 to 1000.
        assert!(((xs[2] - xs[0]) - (xs[3] - xs[2])).abs() <= 2.0, "{xs:?}");
    }

    #[test]
    fn single_runs_are_thin_lines_in_the_colour_of_their_mean() {
        let mut curves = one(vec![(0.0, 1.0), (1.0, 2.0)]);
        curves.repeats = vec![Repeat { series: 0, points: vec![(0.0, -50.0), (1.0, 50.0)] }; 2];
        let svg = curves_svg(&curves, WIDE).unwrap();
        let thin = svg.lines().filter(|line| line.contains("opacity=\"0.45\"") && line.contains("#0B62C4"));
        assert_eq!(thin.count(), 2, "{svg}");
        assert!(svg.contains("−40"), "the axis reaches what they reach: {svg}");
    }

    #[test]
    fn odd_values_still_make_a_plot_or_none() {
        assert!(curves_svg(&one(vec![]), WIDE).is_none());
        assert!(curves_svg(&one(vec![(0.0, f64::NAN), (f64::INFINITY, 1.0)]), WIDE).is_none());
        for points in [
            vec![(5.0, 5.0)],
            vec![(0.0, 0.0), (1.0, 0.0)],
            vec![(1e9, 1e-9), (2e9, 2e-9)],
            vec![(0.0, -1e300), (1.0, 1e300)],
        ] {
            let svg = curves_svg(&one(points.clone()), WIDE).unwrap();
            assert!(svg.contains("</svg>") && !svg.contains("NaN"), "{points:?}: {svg}");
        }
        let bars = |values: &[f64]| Bars {
            label: "x".into(),
            bars: values.iter().map(|&value| Bar { name: "b".into(), value, spread: None }).collect(),
            decimals: 1,
        };
        assert!(bars_svg(&bars(&[f64::NAN]), 360).is_none());
        assert!(bars_svg(&bars(&[0.0, 0.0]), 360).unwrap().contains("0.0"));
        assert!(bars_svg(&bars(&[-2.0, 3.0, f64::NAN]), 360).unwrap().contains("−2.0"));
    }

    #[test]
    fn long_curves_are_thinned_and_keep_their_ends() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|step| (f64::from(step), 1.0)).collect();
        let thin = thinned(&points);
        assert_eq!((thin.len(), thin[0].0, thin[299].0), (300, 0.0, 9_999.0));
        assert!(thin.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn levels_are_lines_within_the_axis() {
        let mut curves = one(vec![(0.0, 8.0), (10.0, 7.0)]);
        assert!(!curves_svg(&curves, WIDE).unwrap().contains(">5<"));
        curves.levels = vec![Level { name: "chain".into(), y: 4.5 }, Level { name: "no number".into(), y: f64::NAN }];
        let svg = curves_svg(&curves, WIDE).unwrap();
        assert_eq!(svg.matches("stroke=\"#6B7480\"").count(), 1);
        assert!(svg.split("<text").any(|text| text.contains("\n5\n")), "the axis reaches down to the level: {svg}");
    }

    #[test]
    fn events_outside_the_axis_are_left_out() {
        let mut curves = one(vec![(0.0, 1.0), (10.0, 2.0)]);
        curves.events = vec![Event { x: 5.0, label: "in".into() }, Event { x: 50.0, label: "out".into() }];
        assert_eq!(curves_svg(&curves, WIDE).unwrap().matches("stroke=\"#6B7480\"").count(), 1);
    }
}

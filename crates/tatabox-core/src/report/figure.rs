//! A plot as an SVG file of its own, with its label and its legend: for papers and slides.

use std::fmt::Write;

use super::curve::{EVENT, INK, SERIES, WIDE, bars_height, dashes};
use super::html::escaped;
use super::legend::Legend;
use super::{Bars, Curves};

/// Height of the label, which comes above the plot.
const LABEL: u32 = 28;
/// Height of a line of the legend, which comes below.
const LINE: u32 = 20;
/// Width of a sign of the legend, with the space behind it.
const SIGN: u32 = 34;

/// What stands before the words of an entry of the legend.
enum Sign {
    /// A line of this colour.
    Line(u32),
    /// The number of an event.
    Number(usize),
}

/// Curves, from their plot of the wide form.
pub(super) fn curves_figure(wide: &str, curves: &Curves, title: &str, legend: &Legend) -> String {
    let colors = SERIES.iter().cycle().map(|color| Sign::Line(color.0));
    let series = colors.zip(&legend.series);
    let levels = legend.levels.iter().map(|words| (Sign::Line(EVENT.0), words));
    let events = legend.events.iter().enumerate().map(|(index, words)| (Sign::Number(index + 1), words));
    let entries: Vec<(Sign, &String)> = series.chain(levels).chain(events).collect();
    figure(wide, WIDE.height, [title, &legend.description, &curves.y_label], &entries)
}

/// Bars, from their plot of the wide form.
pub(super) fn bars_figure(wide: &str, bars: &Bars, title: &str, description: &str) -> String {
    figure(wide, bars_height(bars), [title, description, &bars.label], &[])
}

/// A plot with what belongs to it.
fn figure(plot: &str, plot_height: u32, [title, description, label]: [&str; 3], entries: &[(Sign, &String)]) -> String {
    // A letter is about half as wide as it is high.
    let longest = entries.iter().map(|(_, words)| words.chars().count() as u32).max().unwrap_or(0);
    let column = SIGN + 7 * longest + 12;
    let columns = (WIDE.width / column).max(1) as usize;
    let legend_top = LABEL + plot_height + LINE / 2;
    let (width, height) = (WIDE.width, legend_top + LINE * entries.len().div_ceil(columns) as u32 + 4);
    let [title, description, label] = [title, description, label].map(escaped);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>{title}</title>\n<desc>{description}</desc>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n\
         <text x=\"8\" y=\"19\" fill=\"#{:06X}\">{label}</text>\n{}\n",
        INK.0,
        plot.trim_end().replacen("<svg ", &format!("<svg y=\"{LABEL}\" "), 1)
    );
    for (index, (sign, words)) in entries.iter().enumerate() {
        let (x, y) = (8 + column * (index % columns) as u32, legend_top + LINE * (index / columns) as u32 + LINE / 2);
        // Writing to a string cannot fail.
        let _ = match sign {
            Sign::Line(color) => {
                let end = x + SIGN - 8;
                write!(
                    svg,
                    "<polyline fill=\"none\" stroke=\"#{color:06X}\" stroke-width=\"3\" points=\"{x},{y} {end},{y}\"/>"
                )
            }
            Sign::Number(number) => {
                write!(svg, "<text x=\"{x}\" y=\"{}\" fill=\"#{:06X}\">{number}</text>", y + 4, EVENT.0)
            }
        };
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{}\" fill=\"#{:06X}\">{}</text>", x + SIGN, y + 4, INK.0, escaped(words));
    }
    svg += "</svg>\n";
    // As attributes: not every program that draws SVG knows styles.
    for (color, pattern) in dashes() {
        let stroke = format!("stroke=\"#{color:06X}\"");
        svg = svg.replace(&stroke, &format!("{stroke} stroke-dasharray=\"{pattern}\""));
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::super::curve::{bars_svg, curves_svg};
    use super::super::{Bar, Event, Level, Series};
    use super::*;

    #[test]
    fn a_figure_says_what_its_lines_are() {
        let series = |name: &str, y| Series { name: name.into(), points: vec![(0.0, y), (10.0, y - 0.75)] };
        let curves = Curves {
            x_label: "step".into(),
            y_label: "loss <nats>".into(),
            series: vec![series("a", 8.0), series("b & c", 9.0)],
            levels: vec![Level { name: "guessed".into(), y: 7.5 }],
            events: vec![Event { x: 5.0, label: "wider".into() }],
            ..Curves::default()
        };
        let svg = curves_figure(&curves_svg(&curves, WIDE).unwrap(), &curves, "Loss", &Legend::of(&curves));
        for text in
            ["a, last 7.2500", "b &amp; c, last 8.2500", "guessed, 7.5000", "step 5: wider", "loss &lt;nats&gt;"]
        {
            assert!(svg.contains(&format!(">{text}</text>")), "{text}: {svg}");
        }
        assert!(svg.contains("<title>Loss</title>"), "{svg}");
        // Curves and their entries of the legend look alike: the second dashed, the level dotted.
        let dashed = |color: &str, pattern: &str| {
            svg.matches(&format!("stroke=\"#{color}\" stroke-dasharray=\"{pattern}\"")).count()
        };
        assert!(dashed("B3480B", "7 4") >= 2 && dashed("6B7480", "2 4") >= 2, "{svg}");
        assert!(!svg.contains("stroke=\"#0B62C4\" stroke-dasharray"), "{svg}");
        let entries = svg.matches("stroke-width=\"3\"").count();
        assert_eq!(entries, 3, "two curves and a level: {svg}");
    }

    #[test]
    fn many_entries_stand_below_each_other_within_the_figure() {
        let name = "an arm with quite a long name";
        let series = |_| Series { name: name.into(), points: vec![(0.0, 1.0), (1.0, 2.0)] };
        let curves = Curves { series: (0..9).map(series).collect(), ..Curves::default() };
        let svg = curves_figure(&curves_svg(&curves, WIDE).unwrap(), &curves, "t", &Legend::of(&curves));
        let number = |text: &str| text.split('"').next().unwrap().parse::<u32>().unwrap();
        let height = number(svg.split(" height=\"").nth(1).unwrap());
        let places: Vec<(u32, u32)> = svg
            .match_indices(&format!(">{name}, last"))
            .map(|(at, _)| {
                let text = &svg[svg[..at].rfind("<text").unwrap()..at];
                let value = |key: &str| number(text.split(key).nth(1).unwrap());
                (value("x=\""), value("y=\""))
            })
            .collect();
        assert_eq!(places.len(), 9);
        assert!(
            places.iter().all(|&(x, y)| x + 7 * name.len() as u32 <= WIDE.width && y < height),
            "{places:?} of {height}"
        );
        let distinct: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(distinct.len(), 9, "{places:?}");
    }

    #[test]
    fn bars_have_their_label() {
        let bar = Bar { name: "x".into(), value: 1.0, spread: None };
        let bars = Bars { label: "bits".into(), bars: vec![bar], decimals: 1 };
        let wide = bars_svg(&bars, WIDE.width).unwrap();
        assert!(bars_figure(&wide, &bars, "Bits", "bits: x 1.0.").contains(">bits</text>"));
    }
}

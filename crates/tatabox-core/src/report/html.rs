//! A report as one HTML page that needs nothing else: no script, no network; light or dark as the reader's system asks; every plot has
//! a description, and its numbers in a table below it.

use std::fmt::Write;

use super::curve::{EVENT, GRID, INK, NARROW, SERIES, Size, WIDE, bars_svg, curves_svg, dashes, thinned};
use super::figure::{bars_figure, curves_figure};
use super::legend::Legend;
use super::number::{decimals, grouped};
use super::{Bars, Body, Cell, Curves, Renderer, Report, Section, Table};

/// The report as a self-contained HTML page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Html;

impl Renderer for Html {
    fn render(&self, report: &Report) -> String {
        let title = escaped(&report.title);
        let contents: String = report
            .sections
            .iter()
            .map(|section| format!("<li><a href=\"#{}\">{}</a></li>", identifier(&section.id), escaped(&section.title)))
            .collect();
        let sections: String = report.sections.iter().map(section).collect();
        let subtitle =
            if report.subtitle.is_empty() { String::new() } else { format!("<p>{}</p>\n", escaped(&report.subtitle)) };
        let style = style();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n{subtitle}</header>\n<nav aria-label=\"Sections\"><ul>{contents}</ul></nav>\n\
             <main>\n{sections}</main>\n<footer>Made by Tatabox</footer>\n</body>\n</html>\n"
        )
    }
}

/// The page's style; colours that plotters wrote into the plots are mapped to those of the scheme.
fn style() -> String {
    let mut light = String::new();
    let mut dark = String::new();
    let mut rules = String::new();
    let named = [("ink", INK), ("grid", GRID), ("event", EVENT)].map(|(name, colors)| (name.to_string(), colors));
    let series = SERIES.iter().enumerate().map(|(index, &colors)| (format!("s{index}"), colors));
    for (name, colors) in named.into_iter().chain(series) {
        let written = format!("#{:06X}", colors.0);
        // Writing to a string cannot fail.
        let _ = write!(light, "--{name}:{written};");
        let _ = write!(dark, "--{name}:#{:06X};", colors.1);
        let _ = writeln!(
            rules,
            "svg [stroke=\"{written}\"]{{stroke:var(--{name})}} svg [fill=\"{written}\"]{{fill:var(--{name})}} .{name}{{color:var(--{name})}}"
        );
    }
    for (light, pattern) in dashes() {
        let _ = writeln!(rules, "svg polyline[stroke=\"#{light:06X}\"]{{stroke-dasharray:{pattern}}}");
    }
    format!(
        ":root{{color-scheme:light dark;--page:#FFFFFF;--soft:#F4F6F8;--link:#0B57B0;--faint:#59636E;{light}}}\n\
         @media (prefers-color-scheme:dark){{:root{{--page:#14181D;--soft:#1D232A;--link:#8CBFFF;--faint:#A5AFBB;{dark}}}}}\n\
         {STYLE}{rules}"
    )
}

/// The part of the style that does not depend on colours.
const STYLE: &str = "\
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:52rem;background:var(--page);color:var(--ink);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 .25rem} h2{font-size:1.2rem;margin:2.2rem 0 .5rem}
header p,.note,figcaption,footer{color:var(--faint)} .save{font-size:.9rem;margin:.25rem 0} header p,.note{margin:.25rem 0 .75rem} footer{margin:3rem 0 1rem;font-size:.85rem}
a{color:var(--link)} nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;margin:.75rem 0;padding:0}
figure{margin:0} figcaption{font-size:.9rem;margin:.25rem 0}
svg{display:block;width:100%;height:auto} .narrow{display:none}
@media (max-width:620px){.wide{display:none} .narrow{display:block}}
.legend,.events{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1.25rem;margin:.25rem 0;padding:0;font-size:.9rem}
.swatch{display:inline-block;width:1.6rem;border-top:3px solid currentColor;vertical-align:middle;margin-right:.4rem} .dashed{border-top-style:dashed} .dotted{border-top-style:dotted}
.number{display:inline-block;min-width:1.4em;text-align:center;border:1px dotted var(--event);margin-right:.4rem}
.scroll{overflow-x:auto} .tall{max-height:24rem;overflow-y:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums} th,td{padding:.3rem .75rem .3rem 0;text-align:left;border-bottom:1px solid var(--grid);vertical-align:top}
th{font-weight:600} tbody th{font-weight:400} .n{text-align:right} td,th{white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.25rem 1.25rem;margin:0} dt{color:var(--faint)} dd{margin:0;overflow-wrap:anywhere}
details{margin:.5rem 0} summary{cursor:pointer;color:var(--link)}
@media (max-width:620px){dl{grid-template-columns:1fr;gap:0} dd{margin-bottom:.5rem}}
@media print{.wide{display:block} .narrow,.save{display:none}}
";

/// Text with the characters that mean something in HTML written as references.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            control if control.is_control() && control != '\n' => out.push('\u{FFFD}'),
            other => out.push(other),
        }
    }
    out
}

/// A section's id with letters, digits and `-` only.
fn identifier(id: &str) -> String {
    id.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}

/// A section of the page.
fn section(section: &Section) -> String {
    let id = identifier(&section.id);
    let body = match &section.body {
        Body::Facts { facts } => {
            let facts =
                facts.iter().map(|fact| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(&fact.name), escaped(&fact.value)));
            format!("<dl>\n{}</dl>\n", facts.collect::<String>())
        }
        Body::Table(table) => self::table(table, &section.title, false),
        Body::Curves(curves) => self::curves(curves, &id, &section.title),
        Body::Bars(bars) => self::bars(bars, &id, &section.title),
        Body::Text { paragraphs } => {
            paragraphs.iter().map(|paragraph| format!("<p>{}</p>\n", escaped(paragraph))).collect()
        }
    };
    let note = if section.note.is_empty() {
        String::new()
    } else {
        format!("<p class=\"note\">{}</p>\n", escaped(&section.note))
    };
    format!("<section id=\"{id}\">\n<h2>{}</h2>\n{note}{body}</section>\n", escaped(&section.title))
}

/// A table that scrolls on its own where it is wider than the page, or taller than a screen if it is `long`.
fn table(table: &Table, title: &str, long: bool) -> String {
    let right: Vec<bool> = (0..table.columns.len())
        .map(|column| table.rows.iter().any(|row| row.get(column).is_some_and(Cell::is_number)))
        .collect();
    let class = |column: usize| if right.get(column) == Some(&true) { " class=\"n\"" } else { "" };
    let mut out = format!(
        "<div class=\"scroll{}\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\n<table>\n<thead><tr>",
        if long { " tall" } else { "" },
        escaped(title)
    );
    for (column, name) in table.columns.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(column), escaped(name));
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in &table.rows {
        out += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let (shown, class) = (escaped(&cell.shown()), class(column));
            let _ = match (column, cell) {
                (0, Cell::Text(_)) => write!(out, "<th scope=\"row\"{class}>{shown}</th>"),
                _ => write!(out, "<td{class}>{shown}</td>"),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table>\n</div>\n"
}

/// A plot in both sizes, each with its title and description, of which the page shows the one that fits; and the wide one by itself.
fn figure(id: &str, title: &str, description: &str, plot: impl Fn(Size) -> Option<String>) -> (String, Option<String>) {
    let mut out = String::new();
    let (Some(wide), Some(narrow)) = (plot(WIDE), plot(NARROW)) else {
        return ("<p>There are no numbers to plot.</p>\n".into(), None);
    };
    for (class, svg) in [("wide", &wide), ("narrow", &narrow)] {
        // plotters opens with `<svg width=… height=… viewBox=… xmlns=…>`; the page scales by the view box alone.
        let start = svg.find("viewBox").unwrap_or(0);
        let end = start + svg[start..].find('>').unwrap_or(0);
        let _ = write!(
            out,
            "<div class=\"{class}\"><svg role=\"img\" aria-labelledby=\"{id}-{class}-title {id}-{class}-text\" {}>\n\
             <title id=\"{id}-{class}-title\">{}</title><desc id=\"{id}-{class}-text\">{}</desc>{}</div>\n",
            &svg[start..end],
            escaped(title),
            escaped(description),
            &svg[end + 1..]
        );
    }
    (out, Some(wide))
}

/// A link by which a browser saves a plot as a file; nothing where there is no plot.
fn save(id: &str, figure: Option<String>) -> String {
    let Some(figure) = figure else { return String::new() };
    let mut address = String::with_capacity(2 * figure.len());
    for byte in figure.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:/,;=()".contains(&byte) {
            address.push(char::from(byte));
        } else {
            let _ = write!(address, "%{byte:02X}");
        }
    }
    format!("<p class=\"save\"><a download=\"{id}.svg\" href=\"data:image/svg+xml,{address}\">Save as SVG</a></p>\n")
}

/// A curve plot with legend, events and numbers.
fn curves(curves: &Curves, id: &str, title: &str) -> String {
    let legend = Legend::of(curves);
    let series = legend.series.iter().enumerate().map(|(index, words)| {
        let color = index % SERIES.len();
        let dashed = if color % 2 == 1 { " dashed" } else { "" };
        format!("<li><span class=\"swatch s{color}{dashed}\"></span>{}</li>", escaped(words))
    });
    let levels = legend.levels.iter();
    let levels = levels.map(|words| format!("<li><span class=\"swatch event dotted\"></span>{}</li>", escaped(words)));
    let lines: String = series.chain(levels).collect();
    let events = legend.events.iter().enumerate();
    let events: String = events
        .map(|(index, words)| format!("<li><span class=\"number\">{}</span>{}</li>", index + 1, escaped(words)))
        .collect();
    let events = if events.is_empty() { events } else { format!("<ol class=\"events\">{events}</ol>\n") };
    let (plot, wide) = figure(id, title, &legend.description, |size| curves_svg(curves, size));
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n{plot}<ul class=\"legend\">{lines}</ul>\n{events}</figure>\n{}{}",
        escaped(&curves.y_label),
        save(id, wide.map(|wide| curves_figure(&wide, curves, title, &legend))),
        numbers(&curve_numbers(curves), title, curves)
    )
}

/// The table below a curve plot, closed until it is asked for, with a word on points that are left out.
fn numbers(table: &Table, title: &str, curves: &Curves) -> String {
    let all: usize = curves.series.iter().map(|series| series.points.len()).sum();
    let drawn: usize = curves.series.iter().map(|series| thinned(&series.points).len()).sum();
    let note = if drawn < all {
        format!(" ({} of {} points, evenly spread, as drawn)", grouped(drawn as f64, 0), grouped(all as f64, 0))
    } else {
        String::new()
    };
    format!(
        "<details>\n<summary>Numbers of this plot{note}</summary>\n{}</details>\n",
        self::table(table, &format!("Numbers: {title}"), true)
    )
}

/// The drawn points of all series by x.
fn curve_numbers(curves: &Curves) -> Table {
    let series: Vec<Vec<(f64, f64)>> = curves.series.iter().map(|series| thinned(&series.points)).collect();
    let mut xs: Vec<f64> = series.iter().flatten().map(|point| point.0).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let x_decimals = decimals(xs.iter().copied());
    let y_decimals: Vec<usize> = series.iter().map(|points| decimals(points.iter().map(|point| point.1))).collect();
    let row = |x: f64| {
        let values = series.iter().zip(&y_decimals).map(|(points, &decimals)| {
            // Where a curve goes straight up, the last of its points.
            let point = points[..points.partition_point(|point| point.0 <= x)].last().filter(|point| point.0 == x);
            point.map_or(Cell::Missing, |point| Cell::number(point.1, decimals))
        });
        std::iter::once(Cell::number(x, x_decimals)).chain(values).collect()
    };
    Table {
        columns: std::iter::once(&curves.x_label)
            .chain(curves.series.iter().map(|series| &series.name))
            .cloned()
            .collect(),
        rows: xs.into_iter().map(row).collect(),
    }
}

/// A bar plot and its numbers.
fn bars(bars: &Bars, id: &str, title: &str) -> String {
    let rows: Vec<Vec<Cell>> =
        bars.bars.iter().map(|bar| vec![Cell::text(&bar.name), Cell::number(bar.value, bars.decimals)]).collect();
    let listed: Vec<String> = rows.iter().map(|row| format!("{} {}", row[0].shown(), row[1].shown())).collect();
    let description = format!("{}: {}.", bars.label, listed.join(", "));
    let (plot, wide) = figure(id, title, &description, |size| bars_svg(bars, size.width));
    let table = Table { columns: vec![String::new(), bars.label.clone()], rows };
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n{plot}</figure>\n{}<details>\n<summary>Numbers of this plot</summary>\n{}</details>\n",
        escaped(&bars.label),
        save(id, wide.map(|wide| bars_figure(&wide, bars, title, &description))),
        self::table(&table, &format!("Numbers: {title}"), true)
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Bar, Event, Fact, Level, Series};
    use super::*;

    #[test]
    fn no_text_of_the_report_becomes_markup() {
        let bad = || "<script>alert(1)</script>\"'&".to_string();
        let curves = Curves {
            x_label: bad(),
            y_label: bad(),
            series: vec![Series { name: bad(), points: vec![(0.0, 1.0), (1.0, 2.0)] }],
            levels: vec![Level { name: bad(), y: 1.5 }],
            events: vec![Event { x: 0.5, label: bad() }],
            ..Curves::default()
        };
        let bodies = [
            Body::Curves(curves),
            Body::Bars(Bars { label: bad(), bars: vec![Bar { name: bad(), value: 1.0, spread: None }], decimals: 0 }),
            Body::Table(Table { columns: vec![bad()], rows: vec![vec![Cell::text(bad())]] }),
            Body::Facts { facts: vec![Fact::new(bad(), bad())] },
            Body::Text { paragraphs: vec![bad()] },
        ];
        let sections = bodies.map(|body| Section { id: bad(), title: bad(), note: bad(), body });
        let page = Html.render(&Report { title: bad(), subtitle: bad(), sections: sections.into() });
        assert!(!page.contains("<script") && !page.contains("\"'&") && !page.contains("&\""), "{page}");
        assert!(page.matches("&lt;script&gt;").count() > 20);
    }

    #[test]
    fn the_page_asks_for_nothing_outside_itself() {
        let curves =
            Curves { series: vec![Series { name: "a".into(), points: vec![(0.0, 1.0)] }], ..Curves::default() };
        let page = Html.render(&Report {
            title: "t".into(),
            subtitle: String::new(),
            sections: vec![Section::new("c", "C", Body::Curves(curves))],
        });
        for outside in ["http://", "https://", "src=", "@import", "url(", "<link", "<script"] {
            let found = page.replace("http://www.w3.org/2000/svg", "").contains(outside);
            assert!(!found, "{outside}");
        }
    }

    #[test]
    fn numbers_below_a_plot_are_those_drawn() {
        let series = |name: &str, points: &[(f64, f64)]| Series { name: name.into(), points: points.to_vec() };
        let curves = Curves {
            x_label: "step".into(),
            series: vec![series("train", &[(0.0, 8.0), (10.0, 7.25)]), series("held out", &[(10.0, 7.5)])],
            ..Curves::default()
        };
        let page = self::curves(&curves, "loss", "Loss");
        assert!(
            page.contains("<tr><td class=\"n\">10</td><td class=\"n\">7.2500</td><td class=\"n\">7.5000</td></tr>"),
            "{page}"
        );
        assert!(
            page.contains("<tr><td class=\"n\">0</td><td class=\"n\">8.0000</td><td class=\"n\">–</td></tr>"),
            "{page}"
        );
        assert_eq!(page.matches("<svg role=\"img\"").count(), 2);
        assert_eq!(page.matches("</svg>").count(), 2);
    }
}

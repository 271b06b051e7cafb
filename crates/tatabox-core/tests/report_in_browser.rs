//! A report as a real browser sees it: headless Chromium, where one is installed.

mod chromium;
mod skipped;

use chromium::{browser, shown};
use skipped::skipped;
use tatabox_core::report::{
    Bar, Bars, Body, Cell, Curves, Event, Fact, Html, Level, Renderer, Repeat, Report, Section, Series, Table,
};

fn report() -> Report {
    let curve = |name: &str, lift: f64| Series {
        name: name.into(),
        points: (0..500).map(|step| (f64::from(step), 6.0 + lift + 2.0 * (-f64::from(step) / 80.0).exp())).collect(),
    };
    let curves = Curves {
        x_label: "step".into(),
        x_log: false,
        y_label: "loss (nats a masked token)".into(),
        series: vec![curve("kmer-span", 0.0), curve("random-mask <b>wide</b>", 0.2)],
        repeats: [(0, -0.1), (0, 0.1), (1, 0.3)]
            .map(|(series, lift)| Repeat { series, points: curve("", lift).points })
            .into(),
        levels: vec![Level { name: "guessed".into(), y: 5.5 }],
        events: vec![Event { x: 100.0, label: "phase 2 starts".into() }],
    };
    let bar = |name: &str, value| Bar { name: name.into(), value, spread: Some(0.2) };
    let bars = Bars {
        label: "bits a base".into(),
        bars: vec![bar("this run", 1.93), bar("order-5 Markov", 1.95)],
        decimals: 3,
    };
    let table = Table {
        columns: vec!["model".into(), "loss".into()],
        rows: vec![vec![Cell::text("this run"), Cell::number(5.8, 4)], vec![Cell::text("uniform"), Cell::Missing]],
    };
    Report {
        title: "runs/rice & <others>".into(),
        subtitle: "bert-mini, 500 steps".into(),
        sections: vec![
            Section::new("facts", "Run", Body::Facts { facts: vec![Fact::new("seed", "1")] }),
            Section::new("loss", "Training loss", Body::Curves(curves)).with_note("Lower is better."),
            Section::new("bars", "Bits a base", Body::Bars(bars)),
            Section::new("models", "Models and baselines", Body::Table(table)),
            Section::new("words", "What this means", Body::Text { paragraphs: vec!["<script>fail()</script>".into()] }),
        ],
    }
}

/// The files that the links of a page save: their names and what is in them.
fn saved(dom: &str) -> Vec<(String, String)> {
    let link = |text: &str| {
        let (name, rest) = text.split_once("\" href=\"data:image/svg+xml,").unwrap();
        let mut bytes = Vec::new();
        let mut address = rest.split('"').next().unwrap().bytes();
        while let Some(byte) = address.next() {
            let mut digit = || char::from(address.next().unwrap()).to_digit(16).unwrap() as u8;
            bytes.push(if byte == b'%' { 16 * digit() + digit() } else { byte });
        }
        (name.to_string(), String::from_utf8(bytes).unwrap())
    };
    dom.split("<a download=\"").skip(1).map(link).collect()
}

#[test]
fn chromium_shows_every_section_and_complains_of_nothing() {
    let Some(browser) = browser() else {
        return skipped("no Chromium found");
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let report = report();
    std::fs::write(&page, Html.render(&report)).unwrap();
    let dom = shown(&browser, &page);
    assert!(dom.contains("<title>runs/rice &amp; &lt;others&gt;</title>"), "{dom}");
    assert!(dom.contains("<h1>runs/rice &amp; &lt;others&gt;</h1>"), "{dom}");
    for section in &report.sections {
        let heading = format!("<section id=\"{}\">\n<h2>{}</h2>", section.id, section.title);
        assert!(dom.contains(&heading), "{heading} is not in {dom}");
    }
    // Two plots, each for wide and for narrow screens; parsed as SVG, so that their lines came out as elements.
    assert_eq!(dom.matches("<svg ").count(), 4, "{dom}");
    let lines = dom.matches("stroke-width=\"2\"").count();
    assert_eq!(lines, 8, "two curves and the spreads of two bars, all drawn twice");
    assert_eq!(dom.matches("opacity=\"0.45\"").count(), 6, "three single runs, drawn twice");
    assert_eq!(dom.matches("stroke=\"#6B7480\" stroke-width").count(), 4, "an event and a level, drawn twice");
    assert_eq!(dom.matches("</table>").count(), 3, "the table, and one below each plot");
    assert!(!dom.contains("<script") && !dom.contains("<b>"), "{dom}");

    let figures = saved(&dom);
    let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["loss.svg", "bars.svg"]);
    for (name, svg) in &figures {
        let file = folder.path().join(name);
        std::fs::write(&file, svg).unwrap();
        let dom = shown(&browser, &file);
        assert!(dom.starts_with("<svg ") && !dom.contains("parsererror"), "{dom}");
    }
    assert!(figures[0].1.contains(">random-mask &lt;b&gt;wide&lt;/b&gt;, last "), "{}", figures[0].1);
    assert!(figures[0].1.contains(">step 100: phase 2 starts</text>"), "{}", figures[0].1);
    assert!(figures[1].1.contains(">bits a base</text>"), "{}", figures[1].1);
}

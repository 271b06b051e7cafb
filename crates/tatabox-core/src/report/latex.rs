//! The tables of a report as LaTeX, for a paper: `booktabs`, one `table` each, with the heading and the note as its caption.

use super::{Body, Cell, Renderer, Report, Table};

/// The tables of a report as LaTeX; everything else stays in the page. The document needs `\usepackage{booktabs}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latex;

impl Renderer for Latex {
    fn render(&self, report: &Report) -> String {
        let mut out = format!("% {}\n", report.title.replace(char::is_control, " "));
        for section in &report.sections {
            if let Body::Table(one) = &section.body {
                let caption = [escaped(&format!("{}.", section.title)), marked(&section.note)].join(" ");
                out += &format!(
                    "\n\\begin{{table}}\n\\centering\n{}\\caption{{{}}}\n\\label{{tab:{}}}\n\\end{{table}}\n",
                    table(one),
                    caption.trim_end(),
                    section.id
                );
            }
        }
        out
    }
}

/// A tabular, numbers to the right.
fn table(table: &Table) -> String {
    let right = |column: usize| table.rows.iter().any(|row| row.get(column).is_some_and(Cell::is_number));
    let align: String = (0..table.columns.len()).map(|column| if right(column) { 'r' } else { 'l' }).collect();
    let line = |cells: Vec<String>| cells.join(" & ") + " \\\\\n";
    let mut out = format!("\\begin{{tabular}}{{{align}}}\n\\toprule\n");
    out += &line(table.columns.iter().map(|column| escaped(column)).collect());
    out += "\\midrule\n";
    for row in &table.rows {
        out += &line(row.iter().map(|cell| escaped(&cell.shown())).collect());
    }
    out + "\\bottomrule\n\\end{tabular}\n"
}

/// A note, with what stands between backticks as code.
fn marked(note: &str) -> String {
    if !note.matches('`').count().is_multiple_of(2) {
        return escaped(note);
    }
    let part = |(at, part): (usize, &str)| {
        if at % 2 == 0 { escaped(part) } else { format!("\\texttt{{{}}}", escaped(part)) }
    };
    note.split('`').enumerate().map(part).collect()
}

/// Text without what LaTeX would read as a command.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', letter]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '`' => out.push_str("\\textasciigrave{}"),
            '±' => out.push_str("$\\pm$"),
            '−' => out.push_str("$-$"),
            '–' => out.push_str("--"),
            '†' => out.push_str("$\\dagger$"),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Section;
    use super::*;

    #[test]
    fn a_table_is_a_tabular_and_no_text_becomes_a_command() {
        let models = Table {
            columns: vec!["model".into(), "10 shots".into(), "p".into()],
            rows: vec![
                vec![Cell::text("a_b & \\c{~}"), Cell::text("0.5 ± 0.1"), Cell::number(-0.25, 2)],
                vec![Cell::text("100 %"), Cell::Missing, Cell::Missing],
            ],
        };
        let report = Report {
            title: "A\ntitle".into(),
            subtitle: "sub".into(),
            sections: vec![
                Section::new("m", "Models", Body::Table(models)).with_note("<95 %>, `masked %`"),
                Section::new("t", "Words", Body::Text { paragraphs: vec!["one".into()] }),
            ],
        };
        let expected = "\
% A title

\\begin{table}
\\centering
\\begin{tabular}{llr}
\\toprule
model & 10 shots & p \\\\
\\midrule
a\\_b \\& \\textbackslash{}c\\{\\textasciitilde{}\\} & 0.5 $\\pm$ 0.1 & $-$0.25 \\\\
100 \\% & -- & -- \\\\
\\bottomrule
\\end{tabular}
\\caption{Models. \\textless{}95 \\%\\textgreater{}, \\texttt{masked \\%}}
\\label{tab:m}
\\end{table}
";
        let text = Latex.render(&report);
        assert!(text == expected, "{text}");
    }
}

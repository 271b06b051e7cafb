//! What people read: words on stderr, data on stdout, numbers that can be read aloud.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tatabox_core::io::whole;
pub use tatabox_core::words::{count, counted};

/// Writes a line of words to stderr. A stderr that is closed is nobody's problem.
pub fn say(words: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{words}");
}

/// Writes text to stdout: data, to be read or piped. On a terminal, prose is broken between words.
///
/// # Errors
/// stdout cannot be written, for instance because its reader went away.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    match columns() {
        Some(columns) => print_raw(folded(&text.to_string(), columns)),
        None => print_raw(text),
    }
}

/// Writes words about a file: to stdout, unless the file itself went there.
///
/// # Errors
/// As [`print()`].
pub fn print_about(file: &Path, text: impl Display) -> anyhow::Result<()> {
    if !whole::is_stdout(file) {
        return print(text);
    }
    say(text.to_string().trim_end());
    Ok(())
}

/// Writes one JSON object and a line feed to stdout.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_raw(serde_json::to_string(value)? + "\n")
}

fn print_raw(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// The columns of the terminal that stdout is; none where it is none, or does not say.
#[cfg(unix)]
pub fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// Elsewhere lines stay as they are.
#[cfg(not(unix))]
pub fn columns() -> Option<usize> {
    None
}

/// Text whose long lines of prose are broken between words. Lines with two spaces side by side are rows of tables, and stay whole.
fn folded(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_end().chars().count() <= columns || line.contains("  ") {
            out.push_str(line);
            continue;
        }
        let mut used = 0;
        for word in line.split_inclusive(' ') {
            let length = word.trim_end().chars().count();
            if used > 0 && used + length > columns {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                used = 0;
            }
            out.push_str(word);
            used += word.chars().count();
        }
    }
    out
}

/// True where colour and moving bars are welcome on stderr: a terminal, and nobody has said `NO_COLOR`.
fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The words `error:` and `hint:`, coloured where that is welcome.
pub fn marks() -> (&'static str, &'static str) {
    if colour() { ("\x1b[1;31merror:\x1b[0m", "\x1b[1;36mhint:\x1b[0m") } else { ("error:", "hint:") }
}

/// A moving sign on stderr that something is under way; shown on a terminal only, and only if it takes its time.
pub fn spinner(words: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(words);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// A bar on stderr for work of a known length; shown on a terminal only.
pub fn bar(length: u64, words: &'static str) -> ProgressBar {
    let style = "{msg} {bar:30.cyan} {percent:>3} %  {eta} left";
    let style = ProgressStyle::with_template(style).expect("the template is a constant");
    ProgressBar::new(length).with_style(style.progress_chars("━╸─")).with_message(words)
}

/// `12.3 M`: three digits and a magnitude, for rates and sizes where the rest is noise.
pub fn short(number: f64) -> String {
    let magnitudes = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    // 999.6 k would be printed as 1000 k: round up to the next magnitude a little early.
    let (scale, unit) = magnitudes.into_iter().find(|(scale, _)| number.abs() >= scale * 0.9995).unwrap_or((1.0, ""));
    let value = number / scale;
    match value.abs() {
        value if unit.is_empty() && value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 99.95 => format!("{value:.0}{unit}"),
        size if size >= 9.995 => format!("{value:.1}{unit}"),
        _ => format!("{value:.2}{unit}"),
    }
}

/// `1.5 GB`, powers of ten.
pub fn bytes(number: u64) -> String {
    let text = short(number as f64);
    if text.ends_with(|c: char| c.is_ascii_digit()) { format!("{text} bytes") } else { format!("{text}B") }
}

/// `1 h 02 min`, `3 min 20 s`, `4.2 s`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown".to_string();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} days {:02} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// A table with aligned columns, the first to the left and the others to the right, under its header and a rule.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = (cells.iter().zip(&widths).enumerate())
            .map(
                |(column, (cell, &width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        padded.join("  ").trim_end().to_string() + "\n"
    };
    let mut text = line(header.to_vec());
    text.push_str(&"─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
    text.push('\n');
    rows.iter().for_each(|row| text.push_str(&line(row.iter().map(String::as_str).collect())));
    text
}

/// Lines of `key  value`, the keys padded to one width.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(key, value)| format!("{key:<width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read_aloud() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(short(12.0), "12");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(3_456.0), "3.46 k");
        assert_eq!(short(999_960.0), "1.00 M");
        assert_eq!(short(2_180e9), "2.18 T");
        assert_eq!(bytes(12), "12 bytes");
        assert_eq!(bytes(1_500_000_000), "1.50 GB");
    }

    #[test]
    fn prose_is_broken_between_words_and_rows_of_tables_stay_whole() {
        let text = "model       nats\nkmer-span  1.234\nLower is better; a−b.\n\nlastlonglongword of all";
        let narrow = "model       nats\nkmer-span  1.234\nLower is\nbetter;\na−b.\n\nlastlonglongword\nof all";
        assert_eq!(folded(text, 8), narrow);
        assert_eq!(folded(text, 23), text);
    }

    #[test]
    fn durations_have_two_parts_at_most() {
        assert_eq!(duration(4.24), "4.2 s");
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(3_720.0), "1 h 02 min");
        assert_eq!(duration(90_000.0), "1 days 01 h");
        assert_eq!(duration(f64::INFINITY), "unknown");
    }

    #[test]
    fn a_table_lines_up() {
        let rows =
            vec![vec!["kmer-span".to_string(), "1.5".to_string()], vec!["token".to_string(), "10.25".to_string()]];
        assert_eq!(
            table(&["run", "nats"], &rows),
            "run         nats\n────────────────\nkmer-span    1.5\ntoken      10.25\n"
        );
    }
}

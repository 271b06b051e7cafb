//! Intervals on a genome, 0-based and half-open: BED files, and tables with named columns (Genomic Benchmarks).

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::genome::Genome;
use crate::io::input::Input;
use crate::io::table::{Row, Table};
use crate::io::{lines, malformed};
use crate::seq;

/// A stretch of a contig on one strand.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval {
    /// The contig.
    pub contig: String,
    /// Its first base, 0-based.
    pub start: u64,
    /// The base behind its last.
    pub end: u64,
    /// Whether it is read on the reverse strand.
    pub reverse: bool,
    /// Its name; may be empty.
    pub name: String,
}

impl Interval {
    /// Its bases on its strand.
    ///
    /// # Errors
    /// [`crate::Error::Data`] where the genome has no such contig or the contig ends before the interval does; both name what the genome has.
    pub fn read(&self, genome: &Genome) -> Result<Vec<u8>> {
        let contig = self.check(genome)?;
        let mut codes = Vec::new();
        genome.read(contig, self.start..self.end, &mut codes);
        if self.reverse {
            seq::reverse_complement(&mut codes);
        }
        Ok(codes)
    }

    /// The index of its contig, if it lies on the genome.
    ///
    /// # Errors
    /// As [`Interval::read`].
    pub fn check(&self, genome: &Genome) -> Result<usize> {
        let contig = find(genome, &self.contig)?;
        let bases = genome.contigs()[contig].bases;
        if self.start >= self.end || self.end > bases {
            let what = format!(
                "{}:{}-{} does not lie on contig `{}`, which has {bases} bases",
                self.contig, self.start, self.end, self.contig
            );
            let hint =
                "are the positions those of another assembly (hg19, hg38)? They are 0-based and half-open, as in BED";
            return Err(crate::Error::Data { what, hint: hint.into() });
        }
        Ok(contig)
    }
}

/// The index of a contig.
///
/// # Errors
/// The genome has none of this name; the error names those it has.
pub fn find(genome: &Genome, name: &str) -> Result<usize> {
    genome.contigs().iter().position(|contig| contig.name == name).ok_or_else(|| {
        let all: Vec<String> = genome.contigs().iter().take(8).map(|contig| format!("`{}`", contig.name)).collect();
        let more = genome.contigs().len().saturating_sub(8);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let other = if let Some(bare) = name.strip_prefix("chr") { bare.to_owned() } else { format!("chr{name}") };
        let hint = if genome.contigs().iter().any(|contig| contig.name == other) {
            format!("the genome says `{other}` for `{name}`: rename the contigs of one of the two")
        } else {
            "give the genome that the positions were taken from".into()
        };
        crate::Error::Data { what: format!("the genome has no contig `{name}`; it has {}{more}", all.join(", ")), hint }
    })
}

/// Reads a BED file, plain or gzip, as [`parse`] does.
///
/// # Errors
/// The file cannot be read, or a line is no BED.
pub fn read(path: &Path) -> Result<Vec<Interval>> {
    parse(path, &String::from_utf8_lossy(&Input::open(path)?.read_all()?))
}

/// Reads the text of a BED file of three to six columns or more: contig, start, end, name, score, strand. Comments, `track` and `browser` lines are skipped.
///
/// # Errors
/// A line that is no BED, with its number.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Interval>> {
    parsed(path, text, |_, interval| Ok(interval))
}

/// Reads transcription start sites from a BED file, plain or gzip: intervals of one base, or EPDnew's of 60 (-49..+10), whose thick part begins at the TSS.
///
/// # Errors
/// As [`read`]; or an interval is neither, and nothing says which of its bases is meant.
pub fn read_start_sites(path: &Path) -> Result<Vec<Interval>> {
    parsed(path, &String::from_utf8_lossy(&Input::open(path)?.read_all()?), |row, interval| {
        start_site(row, &interval).ok_or_else(|| {
            let bases = interval.end - interval.start;
            malformed(
                path,
                format!(", line {}", row.line),
                "a TSS of one base, or EPDnew's 60 bases with their thick part from the TSS (8 columns)",
                format!("{bases} bases"),
                "if these are genes or transcripts, keep their first base: awk -v OFS='\\t' '{if ($6 == \"-\") $2 = $3 - 1; $3 = $2 + 1; print}'",
            )
        })
    })
}

/// The TSS of a line of BED.
fn start_site(row: &Row, interval: &Interval) -> Option<Interval> {
    if interval.end - interval.start == 1 {
        return Some(interval.clone());
    }
    // EPDnew as BED, of UCSC's track `epdNew`: 49 bases before the TSS, and a thick part of the TSS and 10 behind it.
    let [_, _, _, _, _, _, from, to] = row.cells.as_slice() else { return None };
    let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
    let Interval { start, end, reverse, .. } = *interval;
    let thick = if reverse { (start, start + 11) } else { (end.checked_sub(11)?, end) };
    let tss = if reverse { to.checked_sub(1)? } else { from };
    (end - start == 60 && (from, to) == thick).then(|| Interval { start: tss, end: tss + 1, ..interval.clone() })
}

/// The lines of a BED file, each made into something.
fn parsed<T>(path: &Path, text: &str, of: impl Fn(&Row, Interval) -> Result<T>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let skipped = ["#", "track", "browser"].iter().any(|word| line.starts_with(word));
        if skipped || line.trim().is_empty() {
            continue;
        }
        let row = Row { line: at as u64 + 1, cells: line.split_whitespace().map(str::to_owned).collect() };
        let wrong = |got: &str| {
            let hint = "BED has contig, start and end, 0-based and half-open, then name, score and strand";
            malformed(path, format!(", line {}", row.line), "a line of BED", got, hint)
        };
        if row.cells.len() < 3 {
            return Err(wrong(&lines::quoted(line)));
        }
        let cell = |at: usize| row.cells.get(at).map(String::as_str);
        let place =
            interval([&row.cells[0], &row.cells[1], &row.cells[2]], cell(5), cell(3)).map_err(|got| wrong(&got))?;
        found.push(of(&row, place)?);
    }
    if found.is_empty() {
        let hint = "check the path, and that the file was downloaded or written whole";
        return Err(malformed(path, "", "lines of BED", "none", hint));
    }
    Ok(found)
}

/// The intervals of a table with columns for contig (`region`, `chrom`, `chr`, `seqnames`), `start` and `end`, and perhaps `strand`, `id` or `name`; none
/// where it has no such columns.
///
/// # Errors
/// A cell that is no position, with its line.
pub fn of_table(table: &Table) -> Result<Option<Vec<Interval>>> {
    let contig = table.column(&["region", "chrom", "chr", "seqnames", "contig"]);
    let (Some(contig), Some(start), Some(end)) = (contig, table.column(&["start"]), table.column(&["end"])) else {
        return Ok(None);
    };
    let (strand, name) = (table.column(&["strand"]), table.column(&["name", "id"]));
    let read = |row: &Row| {
        let cell = |at: usize| row.cells[at].as_str();
        interval([cell(contig), cell(start), cell(end)], strand.map(cell), name.map(cell)).map_err(|got| {
            table.wrong(
                row,
                "an interval: contig, start below end, strand + or -",
                got,
                "positions are 0-based and half-open",
            )
        })
    };
    table.rows.iter().map(read).collect::<Result<_>>().map(Some)
}

/// One interval of its cells, or what is wrong with them.
fn interval(place: [&str; 3], strand: Option<&str>, name: Option<&str>) -> std::result::Result<Interval, String> {
    let [contig, start, end] = place;
    let reverse = match strand.unwrap_or("+") {
        "+" | "." | "" => false,
        "-" => true,
        other => return Err(format!("strand `{other}`")),
    };
    match (start.parse(), end.parse()) {
        (Ok(start), Ok(end)) if start < end && !contig.is_empty() => {
            Ok(Interval { contig: contig.into(), start, end, reverse, name: name.unwrap_or_default().into() })
        }
        _ => Err(format!("`{contig}` `{start}` `{end}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn at(contig: &str, start: u64, end: u64, reverse: bool) -> Interval {
        Interval { contig: contig.into(), start, end, reverse, name: String::new() }
    }

    #[test]
    fn reads_bed_and_named_columns_alike() {
        let bed = parse(Path::new("x.bed"), "track x\nchr1\t5\t9\tA_1\t1\t-\n#\nchr2\t0\t3\n").unwrap();
        assert_eq!(bed, [Interval { name: "A_1".into(), ..at("chr1", 5, 9, true) }, at("chr2", 0, 3, false)]);
        let table =
            Table::parse(Path::new("t.csv"), b"id,region,start,end,strand\nA_1,chr1,5,9,-\n", |_| true).unwrap();
        assert_eq!(of_table(&table).unwrap().unwrap(), bed[..1]);
        let other = Table::parse(Path::new("t.csv"), b"sequence,label\nA,1\n", |_| true).unwrap();
        assert!(of_table(&other).unwrap().is_none());
    }

    #[test]
    fn start_sites_are_one_base_or_epdnews_sixty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tss.bed");
        let sites = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_start_sites(&path)
        };
        // Two lines of UCSC's epdNewPromoter for hg38, and the first of them as one base.
        let text = "chr1\t166839300\t166839360\tPOGK_2\t900\t+\t166839349\t166839360\n\
                    chr1\t166166977\t166167037\tFAM78B_1\t900\t-\t166166977\t166166988\n\
                    chr1\t166839349\t166839350\tPOGK_2\t900\t+\n";
        let found = sites(text).unwrap();
        let places: Vec<(u64, u64)> = found.iter().map(|site| (site.start, site.end)).collect();
        assert_eq!(places, [(166_839_349, 166_839_350), (166_166_987, 166_166_988), (166_839_349, 166_839_350)]);
        for line in ["chr1\t5\t65\ta\t0\t+", "chr1\t5\t65\ta\t0\t+\t5\t65", "chr1\t5\t65\ta\t0\t-\t54\t65"] {
            let error = sites(&format!("chr1\t1\t2\n{line}\n")).unwrap_err();
            assert!(error.to_string().contains(", line 2: expected a TSS of one base"), "{error}");
            assert!(error.hint().unwrap().contains("awk"));
        }
    }

    #[test]
    fn names_a_line_that_is_no_interval() {
        for line in ["chr1\t9\t5", "chr1\tx\t5", "chr1\t5", "chr1\t5\t9\ta\t0\t*"] {
            let error = parse(Path::new("x.bed"), &format!("chr1\t1\t2\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with("`x.bed`, line 2: expected a line of BED, got "), "{error}");
        }
        assert!(parse(Path::new("x.bed"), "#\n").unwrap_err().to_string().ends_with("got none"));
    }

    #[test]
    fn reads_the_strand_and_refuses_what_the_genome_has_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g.fa");
        std::fs::File::create(&path).unwrap().write_all(b">chr1\nAACGT\n").unwrap();
        let genome = Genome::open(&[path], folder.path()).unwrap();
        let text = |interval: Interval| seq::Sequence { codes: interval.read(&genome).unwrap() }.to_string();
        assert_eq!((text(at("chr1", 1, 4, false)), text(at("chr1", 0, 3, true))), ("ACG".into(), "GTT".into()));
        let error = at("1", 0, 3, false).read(&genome).unwrap_err();
        assert_eq!(error.to_string(), "the genome has no contig `1`; it has `chr1`");
        assert!(error.hint().unwrap().contains("says `chr1` for `1`"));
        let error = at("chr1", 3, 6, false).read(&genome).unwrap_err().to_string();
        assert_eq!(error, "chr1:3-6 does not lie on contig `chr1`, which has 5 bases");
    }
}

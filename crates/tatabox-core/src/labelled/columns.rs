//! Which columns of a table are what.

use super::file::ReadOptions;
use crate::error::{Error, Result};
use crate::io::malformed;
use crate::io::table::Table;
use crate::names::nearest;
use crate::seq::class;

const SEQUENCES: [&str; 9] =
    ["sequence", "seq", "sequence1", "seq1", "sequence_1", "dna", "dna_sequence", "text", "sequences"];
const SECONDS: [&str; 3] = ["sequence2", "seq2", "sequence_2"];
const LABELS: [&str; 8] = ["label", "labels", "class", "target", "targets", "category", "y", "classes"];
const IDS: [&str; 4] = ["id", "name", "index", "seq_id"];
const SPLITS: [&str; 3] = ["split", "set", "partition"];
const GROUPS: [&str; 2] = ["group", "cluster"];
const CONTIGS: [&str; 5] = ["region", "chrom", "chr", "seqnames", "contig"];

/// Letters that a cell must have to be taken for a sequence without being called one.
const SHORTEST: usize = 10;

/// The columns of a table, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// The sequence, or the two of a pair; none in a table of labels or intervals alone.
    pub sequences: Vec<usize>,
    /// The label, or several.
    pub labels: Vec<usize>,
    /// The name.
    pub id: Option<usize>,
    /// The part.
    pub split: Option<usize>,
    /// What belongs together.
    pub group: Option<usize>,
}

/// Whether a row names columns: one of its cells is a usual name, or none is a sequence, with or without a wrong letter.
pub(super) fn is_header(cells: &[String]) -> bool {
    let usual = |cell: &String| {
        let names = SEQUENCES.iter().chain(&SECONDS).chain(&LABELS).chain(&IDS).chain(&CONTIGS);
        names.into_iter().any(|name| cell.eq_ignore_ascii_case(name))
    };
    let bases = |cell: &String| cell.len() >= 4 && cell.bytes().all(|byte| b"ACGTUNacgtun".contains(&byte));
    cells.iter().any(usual) || !cells.iter().any(|cell| bases(cell) || is_nearly_sequence(cell))
}

impl Columns {
    /// The columns that were named, and else those with a usual name, and else the only ones that can be meant.
    ///
    /// # Errors
    /// A named column is not there.
    pub fn find(table: &Table, options: &ReadOptions) -> Result<Columns> {
        let mut columns = Columns {
            id: table.column(&IDS),
            split: table.column(&SPLITS),
            group: table.column(&GROUPS),
            ..Columns::default()
        };
        columns.sequences = if options.sequence_columns.is_empty() {
            sniffed_sequences(table)
        } else {
            named(table, "--sequence-column", &options.sequence_columns)?
        };
        columns.labels = if options.label_columns.is_empty() {
            sniffed_labels(table, &columns)
        } else {
            named(table, "--label-column", &options.label_columns)?
        };
        if table.header.is_empty() {
            let taken = |at: &usize| columns.sequences.contains(at) || columns.labels.contains(at);
            columns.id = (0..table.rows[0].cells.len()).find(|at| !taken(at));
        }
        Ok(columns)
    }
}

/// The error of a table in which a column is not found.
pub(super) fn missing(table: &Table, what: &str, usual: &str, option: &str) -> Error {
    let all: Vec<String> = table.header.iter().map(|name| format!("`{name}`")).collect();
    let got =
        if all.is_empty() { "columns without names".to_owned() } else { format!("the columns {}", all.join(", ")) };
    malformed(&table.path, "", format!("a column with {what} ({usual})"), got, format!("name it: `{option} COLUMN`"))
}

fn named(table: &Table, option: &str, names: &[String]) -> Result<Vec<usize>> {
    let find = |name: &String| {
        table.header.iter().position(|column| column == name).ok_or_else(|| {
            let near = nearest(name, table.header.iter().map(String::as_str));
            let all: Vec<String> = table.header.iter().map(|name| format!("`{name}`")).collect();
            let all = if all.is_empty() { "no column names".into() } else { all.join(", ") };
            Error::Value {
                key: option.into(),
                got: format!("`{name}`"),
                expected: format!("`{}` has {all}", table.path.display()),
                hint: near.map_or(String::new(), |near| format!("write `{option} {near}`")),
            }
        })
    };
    names.iter().map(find).collect()
}

/// Whether a cell is nucleotides and nothing else, long enough to be no word.
fn is_sequence(cell: &str) -> bool {
    let letters = cell.bytes().filter(|byte| !byte.is_ascii_whitespace());
    cell.len() >= SHORTEST && letters.clone().count() >= SHORTEST && {
        letters.into_iter().all(|byte| class::OF[usize::from(byte)] & class::BAD == 0)
    }
}

/// Whether a cell is a sequence, if need be but for some wrong letters, which the reader then refuses with their place.
fn is_nearly_sequence(cell: &str) -> bool {
    let bases = cell.bytes().filter(|byte| b"ACGTUNacgtun".contains(byte)).count();
    is_sequence(cell) || cell.len() >= SHORTEST && 4 * bases >= 3 * cell.len()
}

fn sniffed_sequences(table: &Table) -> Vec<usize> {
    if let Some(first) = table.column(&SEQUENCES) {
        return [Some(first), table.column(&SECONDS)].into_iter().flatten().collect();
    }
    let all = |at: &usize| table.rows.iter().take(20).all(|row| is_nearly_sequence(&row.cells[*at]));
    (0..table.rows[0].cells.len()).filter(all).take(2).collect()
}

fn sniffed_labels(table: &Table, columns: &Columns) -> Vec<usize> {
    if let Some(label) = table.column(&LABELS) {
        return vec![label];
    }
    // DeepSTARR: two activities; their scaled forms stand beside them in the published tables.
    let ends = |at: &usize| table.header[*at].to_ascii_lowercase().ends_with("_log2_enrichment");
    let activities: Vec<usize> = (0..table.header.len()).filter(ends).collect();
    if !activities.is_empty() {
        return activities;
    }
    let known = |at: &usize| {
        let places = || ["start", "end", "strand", "score"].into_iter().chain(CONTIGS);
        let name = table.header.get(*at);
        columns.sequences.contains(at)
            || [columns.id, columns.split, columns.group].contains(&Some(*at))
            || name.is_some_and(|name| places().any(|place| name.eq_ignore_ascii_case(place)))
    };
    let left: Vec<usize> = (0..table.rows[0].cells.len()).filter(|at| !known(at)).collect();
    if table.header.is_empty() {
        // Names differ in every row, labels do not.
        let distinct =
            |at: &usize| table.rows.iter().map(|row| &row.cells[*at]).collect::<std::collections::HashSet<_>>().len();
        return left.into_iter().min_by_key(distinct).into_iter().collect();
    }
    if left.len() == 1 { left } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn find(text: &str, options: &ReadOptions) -> Result<Columns> {
        Columns::find(&Table::parse(Path::new("t.csv"), text.as_bytes(), is_header).unwrap(), options)
    }

    fn found(text: &str) -> (Vec<usize>, Vec<usize>, Option<usize>) {
        let columns = find(text, &ReadOptions::default()).unwrap();
        (columns.sequences, columns.labels, columns.id)
    }

    #[test]
    fn usual_names_win_in_any_case() {
        assert_eq!(found("Label,SEQUENCE\n1,ACGT\n"), (vec![1], vec![0], None));
        assert_eq!(found("index\tlabel\ttext\n0\t1\tACGT\n"), (vec![2], vec![1], Some(0)));
        assert_eq!(found("sequence1,sequence2,label\nAC,GT,1\n"), (vec![0, 1], vec![2], None));
        let stars = "ID\tset\tSequence\tDev_log2_enrichment\tHk_log2_enrichment\tDev_log2_enrichment_scaled\nx\tTrain\tACGT\t1.5\t2\t0\n";
        assert_eq!(found(stars), (vec![2], vec![3, 4], Some(0)));
    }

    #[test]
    fn without_usual_names_the_content_says_it() {
        assert_eq!(found("promoter,bases\nyes,ACGTACGTAC\n"), (vec![1], vec![0], None));
        // UCI: class, name, sequence, no header.
        assert_eq!(found("+,S10,\tacgtacgtaa\n+,S11,\tacgtacgtac\n-,S12,ccgtacgtac\n").1, [0]);
        assert_eq!(found("a,b,bases\nyes,1,ACGTACGTAC\n").1, Vec::<usize>::new());
    }

    #[test]
    fn a_named_column_must_be_there() {
        let options = ReadOptions { label_columns: vec!["activty".into()], ..ReadOptions::default() };
        let error = find("sequence,activity,note\nACGT,1,x\n", &options).unwrap_err();
        assert_eq!(error.to_string(), "`--label-column` is `activty`, but `t.csv` has `sequence`, `activity`, `note`");
        assert_eq!(error.hint(), Some("write `--label-column activity`"));
    }
}

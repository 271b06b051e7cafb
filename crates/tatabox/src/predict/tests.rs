use super::*;
use std::fs;

/// A model whose answers are known: the share of C and G, and what is left to 1. It counts what it is asked.
struct Gc {
    outputs: Vec<String>,
    task: Task,
    asked: u64,
    /// After how many sequences it fails, as a process that is killed.
    fails_after: u64,
    pairs: bool,
}

impl Gc {
    fn new() -> Gc {
        Gc {
            outputs: vec!["no".into(), "yes".into()],
            task: Task::Binary,
            asked: 0,
            fails_after: u64::MAX,
            pairs: false,
        }
    }

    fn of(codes: &[u8]) -> f32 {
        codes.iter().filter(|&&code| code == 2 || code == 3).count() as f32 / codes.len() as f32
    }
}

impl Model for Gc {
    fn task(&self) -> Task {
        self.task
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn shortest(&self) -> usize {
        4
    }

    fn pairs(&self) -> bool {
        self.pairs
    }

    fn predict(&mut self, queries: &[Query<'_>]) -> Result<Vec<Vec<f32>>> {
        assert!(queries.is_sorted_by_key(|query| query.codes.len() + query.second.map_or(0, <[u8]>::len)));
        self.asked += queries.len() as u64;
        if self.asked > self.fails_after {
            return Err(tatabox_core::Error::Data { what: "killed".into(), hint: String::new() }.into());
        }
        let answer = |query: &Query<'_>| match (self.task, self.outputs.len()) {
            (Task::Regression, 1) => vec![Gc::of(query.codes)],
            _ => vec![1.0 - Gc::of(query.codes), Gc::of(query.codes)],
        };
        Ok(queries.iter().map(answer).collect())
    }
}

struct Case {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
    options: ReadOptions,
    resume: bool,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Case {
        let folder = tempfile::tempdir().unwrap();
        let path = |(name, text): &(&str, &str)| {
            fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        let paths = files.iter().map(path).collect();
        Case { folder, paths, options: ReadOptions::default(), resume: false }
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("scores.tsv")
    }

    fn sequences(&self, model: &mut Gc) -> Result<Outcome> {
        let inputs = Inputs::Sequences { paths: &self.paths, options: &self.options };
        self.run(model, inputs, Format::Tsv, &AtomicBool::new(false), |_| {})
    }

    fn run(
        &self,
        model: &mut Gc,
        inputs: Inputs<'_>,
        format: Format,
        stop: &AtomicBool,
        mut watch: impl FnMut(&Progress),
    ) -> Result<Outcome> {
        let output = self.output();
        let request = Request {
            inputs,
            output: &output,
            format,
            shown: None,
            threshold: None,
            name: "gc".into(),
            model: json!("gc"),
            resume: self.resume,
        };
        predict(model, &request, &mut watch, stop)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.output()).unwrap()
    }

    fn windows(&self, model: &mut Gc, format: Format, genome: &str, [window, step]: [u64; 2]) -> Result<Outcome> {
        let path = self.folder.path().join("g.fa");
        fs::write(&path, genome).unwrap();
        let genome = Genome::open(&[path], self.folder.path()).unwrap();
        let inputs = Inputs::Windows { genome: &genome, config: WindowConfig { window, step }, regions: None };
        self.run(model, inputs, format, &AtomicBool::new(false), |_| {})
    }
}

/// Sequences of many lengths, enough for several chunks.
fn many() -> String {
    let letters = |at: usize| (0..200 + at % 700).map(move |base| ['A', 'C', 'G', 'T'][(base * (at + 3) / 7) % 4]);
    (0..600).map(|at| format!(">s{at}\n{}\n", letters(at).collect::<String>())).collect()
}

#[test]
fn answers_stand_in_the_order_of_the_input() {
    let case = Case::new(&[("x.fa", ">a\nCCGGCCGG\n>b\nAAAACC\n"), ("y.csv", "id,sequence\nc,ATATATATAT\n")]);
    let outcome = case.sequences(&mut Gc::new()).unwrap();
    assert_eq!(case.text(), "id\tprediction\tno\tyes\na\tyes\t0\t1\nb\tno\t0.6666666\t0.33333334\nc\tno\t1\t0\n");
    assert!(outcome.finished && outcome.notes.is_empty() && outcome.assessment.is_none());
    assert!(!journal::folder(&case.output()).exists());
}

#[test]
fn what_has_no_answer_is_counted_and_said() {
    let case = Case::new(&[("x.fa", ">a\nCCGG\n>a\nCCG\n>c\nNNNNACGN\n>d\nACGTRN\n")]);
    let mut model = Gc::new();
    let outcome = case.sequences(&mut model).unwrap();
    assert_eq!((outcome.unanswered, model.asked), (2, 2));
    assert_eq!(
        outcome.notes,
        [
            "1 sequences are shorter than k = 4 and have no answer",
            "1 sequences hold no 4 known bases in a row and have no answer",
            "2 sequences hold 7 letters other than A, C, G, T, U; they are read as N",
            "1 sequences have an id that another has before them, `a` the first",
        ]
    );
    assert!(case.text().contains("\na\tNA\tNA\tNA\nc\tNA\tNA\tNA\n"), "{}", case.text());
}

#[test]
fn a_prediction_that_was_killed_goes_on_and_ends_with_the_same_bytes() {
    let mut case = Case::new(&[("x.fa", &many())]);
    let mut model = Gc::new();
    case.sequences(&mut model).unwrap();
    let (whole, all) = (fs::read(case.output()).unwrap(), model.asked);
    fs::remove_file(case.output()).unwrap();
    let mut killed = Gc { fails_after: 400, ..Gc::new() };
    assert!(case.sequences(&mut killed).is_err() && !case.output().exists());
    let error = case.sequences(&mut Gc::new()).unwrap_err().to_string();
    assert!(error.contains("holds a prediction that was not finished"), "{error}");
    case.resume = true;
    let mut again = Gc::new();
    let outcome = case.sequences(&mut again).unwrap();
    assert!(again.asked < all && again.asked >= all - 400, "{} of {all}", again.asked);
    assert_eq!((outcome.done, fs::read(case.output()).unwrap()), (600, whole));
}

#[test]
fn a_signal_stops_it_after_a_chunk_and_leaves_no_file() {
    let mut case = Case::new(&[("x.fa", &many())]);
    let stop = AtomicBool::new(false);
    let inputs = || Inputs::Sequences { paths: &case.paths, options: &case.options };
    let mut seen = Vec::new();
    let outcome = case.run(&mut Gc::new(), inputs(), Format::Tsv, &stop, |progress| {
        seen.push(*progress);
        stop.store(true, Ordering::Relaxed);
    });
    let outcome = outcome.unwrap();
    assert!(!outcome.finished && outcome.done > 0 && outcome.done < 600 && !case.output().exists());
    assert_eq!((seen.len(), seen[0].done, seen[0].total), (1, outcome.done, 600));
    assert!(seen[0].per_second > 0.0 && seen[0].seconds_left > 0.0);
    case.resume = true;
    assert_eq!(case.sequences(&mut Gc::new()).unwrap().done, 600);
}

#[test]
fn labels_that_the_model_knows_are_measured() {
    let rows = "id,sequence,label\na,CCGG,yes\nb,AATT,no\nc,AATA,yes\nd,ACG,no\n";
    let case = Case::new(&[("x.csv", rows)]);
    let outcome = case.sequences(&mut Gc::new()).unwrap();
    let found = outcome.assessment.unwrap();
    assert_eq!((found.records, found.confusion.unwrap().counts), (3, vec![vec![1, 0], vec![1, 1]]));
    let page = fs::read_to_string(outcome.report.unwrap()).unwrap();
    assert!(page.contains("ROC (predictions)") && page.contains("Calibration (predictions)"));
    let json = fs::read(case.output().with_extension("assessment.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["records"], 3);
    assert!(outcome.notes.contains(&"1 sequences without an answer are not measured".to_string()));
    let headers = Case::new(&[("x.fa", ">a|yes\nCCGG\n>b|no\nAATT\n")]);
    assert_eq!(headers.sequences(&mut Gc::new()).unwrap().assessment.unwrap().records, 2);
    let none = Case::new(&[("x.fa", ">a|yes\nCCGG\n>b\nAATT\n")]);
    assert!(none.sequences(&mut Gc::new()).unwrap().assessment.is_none());
}

#[test]
fn labels_that_the_model_does_not_know_are_said_or_refused() {
    let rows = "id,sequence,label\na,CCGG,yes\nb,AATT,perhaps\n";
    let mut case = Case::new(&[("x.csv", rows)]);
    let outcome = case.sequences(&mut Gc::new()).unwrap();
    assert!(outcome.assessment.is_none());
    let note = &outcome.notes[0];
    assert!(
        note.contains("the column `label` is not used to measure") && note.contains("line 3 has `perhaps`"),
        "{note}"
    );
    case.options.label_columns = vec!["label".into()];
    let error = case.sequences(&mut Gc::new()).unwrap_err().to_string();
    assert!(error.ends_with("line 3: expected a label that the model knows (no, yes), got `perhaps`"), "{error}");
}

#[test]
fn numbers_of_a_regression_are_measured_and_have_no_class() {
    let case = Case::new(&[("x.csv", "id,sequence,activity\na,CCGG,2\nb,AATT,0\nc,ACAC,1\n")]);
    let mut model = Gc { outputs: vec!["activity".into()], task: Task::Regression, ..Gc::new() };
    let outcome = case.sequences(&mut model).unwrap();
    assert_eq!(case.text(), "id\tactivity\na\t1\nb\t0\nc\t0.5\n");
    let pearson = outcome.assessment.unwrap().metrics[&tatabox_core::assess::Metric::Pearson].value;
    assert!((pearson - 1.0).abs() < 1e-12);
}

#[test]
fn windows_of_a_genome_become_a_table() {
    let case = Case::new(&[]);
    let outcome = case.windows(&mut Gc::new(), Format::Tsv, ">a\nCCCCAAAANAAAA\n>b\nGGGG\n", [4, 4]).unwrap();
    assert_eq!((outcome.records, outcome.windows_over_n), (3, 1));
    assert_eq!(outcome.notes, ["1 windows touch an N and are left out"]);
    let text = "contig\tstart\tend\tprediction\tno\tyes\na\t0\t4\tyes\t0\t1\na\t4\t8\tno\t1\t0\nb\t0\t4\tyes\t0\t1\n";
    assert_eq!(case.text(), text);
}

#[test]
fn a_bedgraph_has_the_mean_over_the_windows_of_each_base() {
    let case = Case::new(&[]);
    // Windows 0-4: 1, 3-7: 0.25, 6-10: 0; then a gap, and b.
    let genome = ">a\nCCCCAAAAAANNNCCCC\n>b\nGGGGAAAA\n";
    case.windows(&mut Gc::new(), Format::BedGraph, genome, [4, 3]).unwrap();
    let expected = "a\t0\t3\t1\na\t3\t4\t0.625\na\t4\t6\t0.25\na\t6\t7\t0.125\na\t7\t10\t0\nb\t0\t3\t1\nb\t3\t4\t0.625\nb\t4\t7\t0.25\n";
    assert_eq!(case.text(), expected);
    // Steps longer than windows leave gaps.
    case.windows(&mut Gc::new(), Format::BedGraph, ">a\nCCCCAAAAAACC\n", [4, 6]).unwrap();
    assert_eq!(case.text(), "a\t0\t4\t1\na\t6\t10\t0\n");
}

#[test]
fn bed_has_the_windows_from_the_threshold_on_with_whole_scores() {
    let case = Case::new(&[]);
    case.windows(&mut Gc::new(), Format::Bed, ">a\nCCCCAAAAACCCCCAA\n", [4, 4]).unwrap();
    assert_eq!(case.text(), "a\t0\t4\tyes\t1000\t.\na\t8\t12\tyes\t750\t.\na\t12\t16\tyes\t500\t.\n");
    let mut model = Gc { outputs: vec!["my activity".into()], task: Task::Regression, ..Gc::new() };
    let error = case.windows(&mut model, Format::Bed, ">a\nCCCC\n", [4, 4]).unwrap_err().to_string();
    assert!(error.contains("`--threshold` is not given"), "{error}");
}

#[test]
fn tracks_need_places_and_one_output() {
    let case = Case::new(&[("x.fa", ">a\nCCGG\n")]);
    let inputs = Inputs::Sequences { paths: &case.paths, options: &case.options };
    let error = case.run(&mut Gc::new(), inputs, Format::Bed, &AtomicBool::new(false), |_| {}).unwrap_err();
    assert!(error.to_string().contains("need places on a genome") && error.is_usage());
    let mut labels = Gc { task: Task::MultiLabel, ..Gc::new() };
    let error = case.windows(&mut labels, Format::BigWig, ">a\nCCCC\n", [4, 4]).unwrap_err().to_string();
    assert_eq!(error, "`--class` is not given, but a track shows one of no, yes");
}

#[test]
fn pairs_and_single_sequences_are_not_mixed_up() {
    let files = [("x.csv", "id,sequence\na,CCGG\n"), ("y.csv", "id,sequence1,sequence2\na,CCGG,AATT\n")];
    for (file, pairs, part) in [(files[0], true, "expected a pair"), (files[1], false, "expected one sequence")] {
        let error = Case::new(&[file]).sequences(&mut Gc { pairs, ..Gc::new() }).unwrap_err();
        assert!(error.to_string().contains(part) && error.hint().unwrap().contains("--sequence-column"), "{error}");
        assert!(Case::new(&[file]).sequences(&mut Gc { pairs: !pairs, ..Gc::new() }).is_ok());
    }
    let error = Case::new(&[]).windows(&mut Gc { pairs: true, ..Gc::new() }, Format::Tsv, ">a\nCCCC\n", [4, 4]);
    assert!(error.unwrap_err().to_string().contains("learnt from pairs"));
}

#[test]
fn another_genome_under_the_same_intervals_is_another_prediction() {
    let case = Case::new(&[("x.bed", "a\t0\t4\n")]);
    let genome = |name: &str, bases: &str| {
        let path = case.folder.path().join(name);
        fs::write(&path, format!(">a\n{bases}\n")).unwrap();
        Genome::open(&[path], case.folder.path()).unwrap()
    };
    let identity = |genome: Genome| {
        let options = ReadOptions { genome: Some(genome), ..ReadOptions::default() };
        super::Asked::identity(&sequences::Asked::of(&case.paths, &options, &Gc::new()).unwrap())
    };
    let (one, other) = (identity(genome("one.fa", "CCGG")), identity(genome("other.fa", "AAGG")));
    assert_ne!(one, other);
    assert_eq!(one, identity(genome("same.fa", "CCGG")));
}

#[test]
fn a_directory_is_refused() {
    let case = Case { paths: vec![".".into()], ..Case::new(&[]) };
    let error = case.sequences(&mut Gc::new()).unwrap_err();
    assert!(error.is_usage() && error.hint().unwrap().contains("give files"), "{error}");
}

#[test]
fn standard_input_is_copied_and_the_copy_goes() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("scores.tsv");
    let given = [PathBuf::from("x.fa"), PathBuf::from("-")];
    let spool = Spool::of(&given, &output, &mut ">a\nCCGG\n".as_bytes()).unwrap();
    assert_eq!(spool.paths[0], given[0]);
    assert_eq!(std::fs::read(&spool.paths[1]).unwrap(), b">a\nCCGG\n");
    drop(spool);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let error = Spool::of(&["-".into(), "-".into()], &output, &mut io::empty()).map(drop).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("twice"), "{error}");
}

use super::*;
use crate::assess::Metric;
use crate::labelled::{Example, Split, Target};
use crate::promoters::{deepromoter, permuted_blocks};
use crate::report::{Renderer, Text};
use crate::rng::{Purpose, SeededRng};
use crate::seq::{Composition, reverse_complement};

/// A chain in which a base follows the one before it more often than any other.
fn chain(bases: usize, index: u64) -> Vec<u8> {
    let mut rng = SeededRng::new(3, Purpose::Test, 9, index);
    let mut last = rng.below(4) as u8;
    let step = |_| {
        last = if rng.chance(0.4) { (last + 1) % 4 } else { rng.below(4) as u8 };
        last
    };
    (0..bases).map(step).collect()
}

/// Base codes and a class.
type Row = (Vec<u8>, u32);

fn data(parts: Vec<(SplitName, Vec<Row>)>) -> Labelled {
    let example = |(codes, class)| Example {
        id: String::new(),
        codes,
        second: None,
        target: Target::Class(class),
        origin: None,
        group: None,
    };
    let splits = parts
        .into_iter()
        .map(|(name, rows)| Split {
            name,
            examples: rows.into_iter().map(example).collect(),
            letters: Composition::default(),
        })
        .collect();
    let id2label = vec!["no".into(), "yes".into()];
    Labelled { task: Task::Binary, id2label, targets: Vec::new(), splits, files: Vec::new(), problems: Vec::new() }
}

/// Sequences from `first` on, classes in turn.
fn rows(first: u64, count: u64, bases: usize) -> Vec<Row> {
    (first..first + count).map(|at| (chain(bases, at), (at % 2) as u32)).collect()
}

fn finding<'a>(audit: &'a Audit, id: &str) -> Option<&'a Problem> {
    audit.findings.iter().find(|finding| finding.id == id)
}

#[test]
fn leaks_are_counted_by_kind_and_are_serious() {
    let train = rows(0, 100, 200);
    let mut test = rows(1_000, 50, 200);
    test[0].0 = train[0].0.clone();
    test[1].0 = train[1].0.clone();
    reverse_complement(&mut test[1].0);
    // Shifted by 60 of 200 bases, and on the other strand.
    let mut shifted = [&train[2].0[60..], &chain(60, 5_077)[..]].concat();
    reverse_complement(&mut shifted);
    test[2].0 = shifted;
    // Shifted by 150: too little is left.
    test[3].0 = [&train[3].0[150..], &chain(150, 5_078)[..]].concat();
    // Five bases changed in 200.
    test[4].0 = train[4].0.clone();
    (0..5).for_each(|at| test[4].0[17 + 37 * at] ^= 2);
    test[6].0 = test[5].0.clone();
    let audit = Audit::of(&data(vec![(SplitName::Train, train), (SplitName::Test, test)]), 6, 1);
    let across = &audit.duplicates.across[0];
    assert_eq!((across.name, across.other, across.of), (SplitName::Test, SplitName::Train, 50));
    assert_eq!((across.records, across.reverse, across.near), (2, 1, 2));
    assert_eq!(audit.duplicates.within[1].records, 1);
    assert_eq!(audit.duplicates.contradictions, 1);
    assert_eq!(finding(&audit, "leak-test-train").unwrap().severity, Severity::Serious);
    assert!(audit.is_serious() && audit.findings[0].severity == Severity::Serious);
    assert!(Text.render(&audit.page("x")).contains(
        "2 of 50 records of test stand in train too (1 of them as reverse complements), 2 more nearly: 8.0 %"
    ));
}

#[test]
fn clean_data_has_no_serious_finding() {
    let audit =
        Audit::of(&data(vec![(SplitName::Train, rows(0, 200, 120)), (SplitName::Test, rows(1_000, 60, 120))]), 6, 1);
    assert!(audit.findings.is_empty(), "{:?}", audit.findings);
    let simple = audit.simple.unwrap();
    assert!(simple.gc_auroc.unwrap() < 0.65 && simple.length_auroc == Some(0.5));
    let auroc = simple.kmers.unwrap().metrics[&Metric::Auroc];
    let interval = auroc.interval.unwrap();
    assert!(interval.low < auroc.value && auroc.value < interval.high);
    assert!(interval.low < 0.5 && 0.5 < interval.high, "{auroc:?}");
}

#[test]
fn gc_content_and_kmers_that_give_the_class_away_are_said() {
    let mut rows = rows(0, 300, 100);
    for (codes, class) in &mut rows {
        if *class == 1 {
            codes.iter_mut().step_by(3).for_each(|code| *code = 2);
        }
    }
    let audit = Audit::of(&data(vec![(SplitName::All, rows)]), 6, 1);
    assert!(finding(&audit, "gc").is_some() && finding(&audit, "kmers").is_some(), "{:?}", audit.findings);
    let simple = audit.simple.unwrap();
    assert!(simple.divided && simple.records == 60 && simple.gc[1].mean > simple.gc[0].mean + 0.1);
}

/// Sequences whose share of C and G is the first number, and whose second says nothing; or, of labels, whether they have much of it.
fn of_task(task: Task) -> Labelled {
    let mut made = data(vec![(SplitName::All, rows(0, 300, 100))]);
    (made.task, made.id2label, made.targets) = match task {
        Task::Regression => (task, Vec::new(), vec!["gc".into(), "noise".into()]),
        _ => (task, vec!["rich".into(), "odd".into()], Vec::new()),
    };
    let mut rng = SeededRng::new(5, Purpose::Test, 0, 0);
    for (at, example) in made.splits[0].examples.iter_mut().enumerate() {
        example.codes.iter_mut().take(at % 50).for_each(|code| *code = 2 | (*code & 1));
        let share = example.codes.iter().filter(|&&code| code == 2 || code == 3).count() as f64 / 100.0;
        example.target = match task {
            Task::Regression => Target::Values(vec![share, rng.unit()]),
            _ => Target::Labels(vec![share > 0.62, rng.chance(0.5)]),
        };
    }
    made
}

#[test]
fn regressions_and_labels_have_baselines_too() {
    let audit = Audit::of(&of_task(Task::Regression), 6, 1);
    let simple = audit.simple.as_ref().unwrap();
    assert!(simple.gc_spearman.unwrap() > 0.99 && simple.length_spearman.is_none() && simple.gc_auroc.is_none());
    let pearson = simple.kmers.as_ref().unwrap().metrics[&Metric::Pearson].value;
    // One of two targets can be had from k-mers; the whole is the mean of both.
    assert!((0.3..0.7).contains(&pearson), "{pearson}");
    assert!(finding(&audit, "gc").unwrap().what.contains("rank correlation of 1.000"), "{:?}", audit.findings);
    assert!(Text.render(&audit.page("x")).contains("5-mer regression: Spearman"));
    let audit = Audit::of(&of_task(Task::MultiLabel), 6, 1);
    let simple = audit.simple.as_ref().unwrap();
    assert!((0.6..0.9).contains(&simple.gc_auroc.unwrap()) && simple.gc[0].mean > simple.gc[1].mean + 0.05);
    assert!(simple.kmers.as_ref().unwrap().metrics.contains_key(&Metric::MicroF1));
}

#[test]
fn negatives_made_of_blocks_are_found_at_their_borders_and_others_are_not() {
    let positives: Vec<Vec<u8>> = (0..600).map(|at| chain(300, at)).collect();
    let made = |make: &dyn Fn(&[u8], u64) -> Vec<u8>| {
        let rows =
            positives.iter().enumerate().flat_map(|(at, codes)| [(codes.clone(), 1), (make(codes, at as u64), 0)]);
        Blocks::of(&data(vec![(SplitName::All, rows.collect())])).unwrap()
    };
    for blocks in [made(&|codes, at| permuted_blocks(codes, 1, at)), made(&|codes, at| deepromoter(codes, 1, at))] {
        assert_eq!((blocks.found, blocks.blocks, blocks.label.as_str()), (true, 20, "no"), "{blocks:?}");
    }
    let other = made(&|_, at| chain(300, 10_000 + at));
    assert!(!other.found, "{other:?}");
    // Promoters that begin their TATA box at one place, at a border of 15 blocks, break there and nowhere else.
    let rows = positives.iter().enumerate().flat_map(|(at, codes)| {
        let mut own = codes.clone();
        own[218..225].copy_from_slice(&[3, 3, 1, 0, 1, 0, 0]);
        [(own, 1), (chain(300, 20_000 + at as u64), 0)]
    });
    let boxes = Blocks::of(&data(vec![(SplitName::All, rows.collect())])).unwrap();
    assert!(!boxes.found, "{boxes:?}");
    let random = made(&|_, at| {
        let mut rng = SeededRng::new(1, Purpose::Test, 4, at);
        (0..300).map(|_| rng.below(4) as u8).collect()
    });
    assert!(!random.found, "{random:?}");
}

/// Bases of which C and G have six in ten, and none depends on another.
fn rich(bases: usize, index: u64) -> Vec<u8> {
    let mut rng = SeededRng::new(3, Purpose::Test, 10, index);
    (0..bases).map(|_| if rng.chance(0.7) { 2 + rng.below(2) as u8 } else { rng.below(2) as u8 }).collect()
}

#[test]
fn replaced_blocks_are_found_where_no_base_depends_on_its_neighbours() {
    let made = |make: &dyn Fn(u64) -> Vec<u8>| {
        let rows = (0..1_000).flat_map(|at| [(rich(300, at), 1), (make(at), 0)]).collect();
        Blocks::of(&data(vec![(SplitName::All, rows)])).unwrap()
    };
    let replaced = made(&|at| deepromoter(&rich(300, at), 1, at));
    assert_eq!((replaced.found, replaced.sign, replaced.blocks), (true, Sign::Mosaic, 20), "{replaced:?}");
    let other = made(&|at| rich(300, 10_000 + at));
    assert!(!other.found, "{other:?}");
    // Long stretches of another composition, anywhere: of one piece, but not block by block.
    let patchy = made(&|at| {
        let mut codes = rich(300, at);
        let start = (at * 37 % 240) as usize;
        codes[start..start + 60].copy_from_slice(&chain(60, at));
        codes
    });
    assert!(!patchy.found, "{patchy:?}");
}

#[test]
fn the_same_data_gives_the_same_audit_whatever_the_number_of_threads() {
    let data = data(vec![(SplitName::Train, rows(0, 300, 80)), (SplitName::Test, rows(290, 60, 80))]);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Audit::of(&data, 6, 1))
    };
    assert_eq!(with(1), with(4));
}

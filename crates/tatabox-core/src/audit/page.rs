//! The audit as a page: findings first, then what they rest on.

use super::{Audit, Shared, Sign};
use crate::report::{Body, Cell, Fact, Report, Section, Table};

impl Audit {
    /// The page, to be rendered as text or HTML.
    pub fn page(&self, name: &str) -> Report {
        let card = &self.card;
        let records: u64 = card.splits.iter().map(|split| split.records).sum();
        let classes = if card.id2label.is_empty() {
            format!("targets {}", card.targets.join(", "))
        } else {
            format!("labels {}", card.id2label.join(", "))
        };
        let pairs = if card.pairs { " of pairs" } else { "" };
        let mut sections = vec![self.finding_rows(), self.parts(), self.shared()];
        sections.extend(self.simple());
        sections.extend(self.block_borders());
        Report {
            title: format!("Audit of {name}"),
            subtitle: format!("{}{pairs}, {records} records, {classes}", card.task),
            sections,
        }
    }

    fn finding_rows(&self) -> Section {
        if self.findings.is_empty() {
            return Section::new("findings", "Findings", Body::Text { paragraphs: vec!["Nothing was found.".into()] });
        }
        let row = |finding: &crate::labelled::Problem| {
            let severity = format!("{:?}", finding.severity).to_lowercase();
            let hint = if finding.hint.is_empty() { String::new() } else { format!(" – {}", finding.hint) };
            vec![Cell::text(severity), Cell::text(format!("{}{hint}", finding.what))]
        };
        let rows = self.findings.iter().map(row).collect();
        Section::new(
            "findings",
            "Findings",
            Body::Table(Table { columns: vec!["severity".into(), "what".into()], rows }),
        )
    }

    fn parts(&self) -> Section {
        let columns = ["part", "records", "shortest", "median", "longest", "not ACGT"].map(str::to_owned);
        let columns = columns.into_iter().chain(self.card.id2label.iter().cloned()).collect();
        let row = |split: &crate::labelled::SplitCard| {
            let number = |value: u64| Cell::number(value as f64, 0);
            let lengths = [split.lengths.min, split.lengths.median, split.lengths.max].map(number);
            let mut cells = vec![Cell::text(split.name.to_string()), number(split.records)];
            cells.extend(lengths);
            cells.push(number(split.letters.bases - split.letters.known()));
            cells.extend(split.classes.iter().map(|class| number(class.records)));
            cells
        };
        let rows = self.card.splits.iter().map(row).collect();
        Section::new("parts", "Parts", Body::Table(Table { columns, rows }))
            .with_note("Records, bases a sequence, letters that are not A, C, G, T or U, records by label.")
    }

    fn shared(&self) -> Section {
        let columns =
            ["records of", "that stand in", "of", "same", "of these reverse", "nearly"].map(str::to_owned).to_vec();
        let row = |shared: &Shared| {
            let number = |value: u64| Cell::number(value as f64, 0);
            let other = if shared.name == shared.other { "it before".into() } else { shared.other.to_string() };
            vec![
                Cell::text(shared.name.to_string()),
                Cell::text(other),
                number(shared.of),
                number(shared.records),
                number(shared.reverse),
                number(shared.near),
            ]
        };
        let rows = self.duplicates.across.iter().chain(&self.duplicates.within).map(row).collect();
        let note = format!(
            "Same: the sequence or its reverse complement. Nearly: at least {:.0} % of the {}-mers of the one with fewer, strands joined.",
            100.0 * self.duplicates.near_share,
            self.duplicates.near_k
        );
        Section::new("duplicates", "Sequences that stand twice", Body::Table(Table { columns, rows })).with_note(&note)
    }

    fn simple(&self) -> Option<Section> {
        let simple = self.simple.as_ref()?;
        let mut facts = Vec::new();
        if !simple.gc.is_empty() {
            let of = simple.gc.iter().map(|of| format!("{} {:.3} ± {:.3}", of.label, of.mean, of.sd));
            facts.push(Fact::new("GC content by class", of.collect::<Vec<_>>().join("; ")));
        }
        let alone = if simple.gc.is_empty() {
            [("rank correlation of GC content alone", simple.gc_spearman), ("of length alone", simple.length_spearman)]
        } else {
            [("AUROC of GC content alone", simple.gc_auroc), ("AUROC of length alone", simple.length_auroc)]
        };
        for (name, value) in alone {
            facts.push(Fact::new(name, value.map_or("not defined".to_owned(), |value| format!("{value:.3}"))));
        }
        if let Some(kmers) = &simple.kmers {
            for (metric, of) in &kmers.metrics {
                let ends = of.interval.map(|ends| format!(" ({:.3} to {:.3})", ends.low, ends.high));
                facts.push(Fact::new(
                    format!("{}-mer regression: {}", kmers.k, metric.title()),
                    format!("{:.3}{}", of.value, ends.unwrap_or_default()),
                ));
            }
        }
        let divided = if simple.divided { ", a fifth of the data that the audit took" } else { "" };
        let note = format!(
            "Learnt from {}, measured on {} ({} records{divided}); bootstrap intervals of 95 %.",
            simple.learnt_from, simple.measured_on, simple.records
        );
        Some(Section::new("simple", "Without a model", Body::Facts { facts }).with_note(&note))
    }

    fn block_borders(&self) -> Option<Section> {
        let blocks = self.blocks.as_ref()?;
        let facts = vec![
            Fact::new("class that shows it most", blocks.label.clone()),
            Fact::new("of so many", format!("{} blocks", blocks.blocks)),
            Fact::new(
                "sign",
                if blocks.sign == Sign::Breaks { "breaks at the borders" } else { "blocks of one piece" },
            ),
            Fact::new("z", format!("{:.1} ({})", blocks.z, if blocks.found { "more than chance" } else { "chance" })),
        ];
        let note = "Whether neighbouring bases depend on each other less at regular borders than elsewhere, or blocks between such borders are of one piece, compared with the other class; below -6, or -5 for pieces, is more than chance.";
        Some(Section::new("blocks", "Block borders", Body::Facts { facts }).with_note(note))
    }
}

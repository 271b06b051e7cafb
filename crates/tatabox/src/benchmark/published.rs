//! Figures that papers printed, as they printed them, for the same data.

use tatabox_core::assess::Metric;

/// A model's figures in a paper, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// The model as the table names it.
    pub model: &'static str,
    /// Where the figures stand.
    pub source: &'static str,
    /// What they are.
    pub metric: Metric,
    /// Data set, and the output where there are several (the beginning of its name), and the figure.
    pub figures: &'static [(&'static str, Option<&'static str>, f64)],
}

const TABLE_3: &str = "RandomMask, Table 3";

/// What is wrong with figures: data set, model, and what; shown where they are.
pub const DOUBTS: [(&str, &str, &str); 7] = [
    (
        "PD-notata",
        "NT",
        "the columns notata and tata are swapped in print: DNABERT-2's Table 4 has 90.75 for notata and 78.07 for tata",
    ),
    ("PD-tata", "NT", "the columns notata and tata are swapped in print: DNABERT-2's Table 4 has 78.07 for tata"),
    ("PD-notata", "HyenaDNA", "notata and tata are probably swapped, as for NT"),
    ("PD-tata", "HyenaDNA", "notata and tata are probably swapped, as for NT"),
    ("EMP-H3K79me3", "NT", "probably a misprint: DNABERT-2's Table 4 has 58.35, and the rest of the row agrees"),
    ("TF-M-2", "NT", "probably a misprint: DNABERT-2's Table 4 has 61.67, and the rest of the row agrees"),
    ("EAP", "", "one correlation is printed, but there are two targets; which, or what mean, is not said"),
];

macro_rules! row {
    ($model:literal, $metric:ident, [$($set:literal: $figure:literal),+ $(,)?]) => {
        Published { model: $model, source: TABLE_3, metric: Metric::$metric, figures: &[$(($set, None, $figure)),+] }
    };
}

/// All of them.
pub const PUBLISHED: [Published; 13] = [
    row!("NT", Mcc, [
        "EMP-H3": 69.67, "EMP-H3K14ac": 33.55, "EMP-H3K36me3": 44.14, "EMP-H3K4me1": 37.15, "EMP-H3K4me2": 30.87,
        "EMP-H3K4me3": 24.06, "EMP-H3K79me3": 58.53, "EMP-H3K9ac": 45.81, "EMP-H4": 76.17, "EMP-H4ac": 33.74,
        "TF-M-0": 31.04, "TF-M-1": 75.04, "TF-M-2": 64.67, "TF-M-3": 29.17, "TF-M-4": 29.27,
        "TF-H-0": 61.59, "TF-H-1": 66.75, "TF-H-2": 53.58, "TF-H-3": 42.95, "TF-H-4": 60.81,
        "CPD-notata": 66.58, "CPD-tata": 71.91, "CPD-all": 63.01, "PD-notata": 78.07, "PD-tata": 90.75, "PD-all": 87.71,
        "SSP": 80.39,
    ]),
    row!("NT*", Mcc, [
        "EMP-H3": 72.60, "EMP-H3K14ac": 39.11, "EMP-H3K36me3": 44.25, "EMP-H3K4me1": 35.47, "EMP-H3K4me2": 27.59,
        "EMP-H3K4me3": 23.49, "EMP-H3K79me3": 59.14, "EMP-H3K9ac": 51.39, "EMP-H4": 77.07, "EMP-H4ac": 34.54,
        "TF-M-0": 50.54, "TF-M-1": 77.73, "TF-M-2": 78.05, "TF-M-3": 61.01, "TF-M-4": 42.64,
        "TF-H-0": 66.95, "TF-H-1": 67.29, "TF-H-2": 62.20, "TF-H-3": 47.29, "TF-H-4": 76.03,
        "CPD-notata": 68.71, "CPD-tata": 73.90, "CPD-all": 68.55, "PD-notata": 93.37, "PD-tata": 80.49, "PD-all": 90.88,
        "SSP": 84.34,
    ]),
    row!("HyenaDNA", Mcc, [
        "EMP-H3": 77.57, "EMP-H3K14ac": 61.80, "EMP-H3K36me3": 59.71, "EMP-H3K4me1": 49.82, "EMP-H3K4me2": 44.86,
        "EMP-H3K4me3": 58.17, "EMP-H3K79me3": 65.74, "EMP-H3K9ac": 63.37, "EMP-H4": 74.53, "EMP-H4ac": 54.50,
        "TF-M-0": 47.55, "TF-M-1": 79.85, "TF-M-2": 74.58, "TF-M-3": 58.77, "TF-M-4": 41.81,
        "TF-H-0": 60.96, "TF-H-1": 56.68, "TF-H-2": 60.66, "TF-H-3": 51.01, "TF-H-4": 72.73,
        "CPD-notata": 63.77, "CPD-tata": 64.16, "CPD-all": 63.97, "PD-notata": 53.19, "PD-tata": 85.14, "PD-all": 91.55,
        "SSP": 81.48,
    ]),
    row!("DNABERT", Mcc, [
        "EMP-H3": 75.82, "EMP-H3K14ac": 48.07, "EMP-H3K36me3": 51.52, "EMP-H3K4me1": 43.92, "EMP-H3K4me2": 31.01,
        "EMP-H3K4me3": 37.13, "EMP-H3K79me3": 58.98, "EMP-H3K9ac": 52.07, "EMP-H4": 77.85, "EMP-H4ac": 41.74,
        "TF-M-0": 46.27, "TF-M-1": 78.84, "TF-M-2": 74.41, "TF-M-3": 59.04, "TF-M-4": 43.45,
        "TF-H-0": 67.06, "TF-H-1": 69.83, "TF-H-2": 61.78, "TF-H-3": 47.08, "TF-H-4": 74.77,
        "CPD-notata": 71.88, "CPD-tata": 76.06, "CPD-all": 70.47, "PD-notata": 93.05, "PD-tata": 61.56, "PD-all": 90.48,
        "SSP": 85.44,
    ]),
    row!("DNABERT+RandomMask", Mcc, [
        "EMP-H3": 77.62, "EMP-H3K14ac": 65.07, "EMP-H3K36me3": 63.68, "EMP-H3K4me1": 54.47, "EMP-H3K4me2": 53.88,
        "EMP-H3K4me3": 62.19, "EMP-H3K79me3": 72.67, "EMP-H3K9ac": 65.02, "EMP-H4": 79.44, "EMP-H4ac": 64.22,
        "TF-M-0": 55.61, "TF-M-1": 82.72, "TF-M-2": 77.61, "TF-M-3": 74.06, "TF-M-4": 49.81,
        "TF-H-0": 67.13, "TF-H-1": 72.55, "TF-H-2": 71.64, "TF-H-3": 60.14, "TF-H-4": 77.20,
        "CPD-notata": 70.24, "CPD-tata": 76.65, "CPD-all": 70.89, "PD-notata": 93.40, "PD-tata": 84.03, "PD-all": 92.74,
        "SSP": 87.20,
    ]),
    row!("NT", Pearson, ["EAP": 38.94]),
    row!("NT*", Pearson, ["EAP": 64.67]),
    row!("HyenaDNA", Pearson, ["EAP": 63.34]),
    row!("DNABERT", Pearson, ["EAP": 68.43]),
    row!("DNABERT+RandomMask", Pearson, ["EAP": 69.56]),
    Published {
        model: "DeepSTARR",
        source: "de Almeida et al. 2022, Nature Genetics 54, 613",
        metric: Metric::Pearson,
        figures: &[
            ("DeepSTARR", Some("Dev"), 68.0),
            ("DeepSTARR", Some("Hk"), 74.0),
            ("EAP", Some("Dev"), 68.0),
            ("EAP", Some("Hk"), 74.0),
        ],
    },
    Published {
        model: "CNN of Genomic Benchmarks",
        source: "HyenaDNA (Nguyen et al. 2023), Table 4.1",
        metric: Metric::Accuracy,
        figures: &[
            ("dummy_mouse_enhancers_ensembl", None, 69.0),
            ("demo_coding_vs_intergenomic_seqs", None, 87.6),
            ("demo_human_or_worm", None, 93.0),
            ("human_enhancers_cohn", None, 69.5),
            ("human_enhancers_ensembl", None, 68.9),
            ("human_ensembl_regulatory", None, 93.3),
            ("human_nontata_promoters", None, 84.6),
            ("human_ocr_ensembl", None, 68.0),
        ],
    },
    Published {
        model: "HyenaDNA",
        source: "HyenaDNA (Nguyen et al. 2023), Table 4.1",
        metric: Metric::Accuracy,
        figures: &[
            ("dummy_mouse_enhancers_ensembl", None, 85.1),
            ("demo_coding_vs_intergenomic_seqs", None, 91.3),
            ("demo_human_or_worm", None, 96.6),
            ("human_enhancers_cohn", None, 74.2),
            ("human_enhancers_ensembl", None, 89.2),
            ("human_ensembl_regulatory", None, 93.8),
            ("human_nontata_promoters", None, 96.6),
            ("human_ocr_ensembl", None, 80.9),
        ],
    },
];

impl Published {
    /// The figure for a data set, of all outputs together or of one by its name.
    pub fn figure(&self, dataset: &str, output: Option<&str>) -> Option<f64> {
        let same = |of: &Option<&str>| match (of, output) {
            (None, None) => true,
            (Some(start), Some(name)) => name.starts_with(start),
            _ => false,
        };
        self.figures.iter().find(|(set, of, _)| *set == dataset && same(of)).map(|(_, _, figure)| *figure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Suite;

    #[test]
    fn every_figure_belongs_to_a_data_set_of_a_suite() {
        let ids: Vec<String> = ["gue", "genomic-benchmarks", "deepstarr"]
            .iter()
            .flat_map(|name| Suite::open(name).unwrap().datasets)
            .map(|one| one.id)
            .collect();
        for published in PUBLISHED {
            assert!(published.figures.iter().all(|(set, _, _)| ids.iter().any(|id| id == set)), "{}", published.model);
        }
    }

    #[test]
    fn the_averages_that_table_3_prints_come_out() {
        let mean = |model: &str, group: &str| {
            let row = PUBLISHED.iter().find(|one| one.model == model && one.metric == Metric::Mcc).unwrap();
            let figures: Vec<f64> =
                row.figures.iter().filter(|(set, _, _)| set.starts_with(group)).map(|(_, _, figure)| *figure).collect();
            figures.iter().sum::<f64>() / figures.len() as f64
        };
        for (model, averages) in [
            ("NT", [45.37, 45.84, 57.14]),
            ("NT*", [46.47, 61.99, 63.95]),
            ("HyenaDNA", [61.01, 60.51, 60.41]),
            ("DNABERT", [51.81, 60.40, 64.10]),
            ("DNABERT+RandomMask", [65.83, 67.96, 69.73]),
        ] {
            for (group, average) in ["EMP", "TF-M", "TF-H"].iter().zip(averages) {
                assert!(
                    (mean(model, group) - average).abs() < 0.0051,
                    "{model} {group}: {} {average}",
                    mean(model, group)
                );
            }
        }
    }

    #[test]
    fn an_output_is_found_by_the_beginning_of_its_name() {
        let starr = PUBLISHED.iter().find(|one| one.model == "DeepSTARR").unwrap();
        assert_eq!(starr.figure("EAP", Some("Hk_log2_enrichment")), Some(74.0));
        assert_eq!((starr.figure("EAP", None), starr.figure("PD-all", None)), (None, None));
    }
}

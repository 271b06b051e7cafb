//! The suites: which data sets there are, where they lie, and how each is learnt and measured.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tatabox_core::assess::Metric;
use tatabox_core::labelled::Task;
use tatabox_core::names::{FOLDER_RULE, is_folder, nearest};

use crate::error::{Error, Result};

/// A data set of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name in the columns of the table, and in paths: unique.
    pub id: String,
    /// Which table it stands in.
    pub group: String,
    /// Where it may lie below the folder of the data, the first that is there.
    pub places: Vec<String>,
    /// What is asked; else the labels say it.
    pub task: Option<Task>,
    /// The metric of the table; else that of the task.
    pub metric: Option<Metric>,
    /// The fine-tuning preset.
    pub preset: String,
    /// Epochs, where they are not the preset's.
    pub epochs: Option<u64>,
    /// Records of train, dev and test as published, where that is known; without a dev part, what is taken for one counts as train.
    pub records: Option<[u64; 3]>,
    /// The name of the genome that its intervals lie on; none for the one without a name.
    pub genome: Option<String>,
}

/// A list of data sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// The data sets in the order of the tables.
    pub datasets: Vec<Dataset>,
}

/// The suites that have a name.
pub const NAMED: [&str; 3] = ["gue", "genomic-benchmarks", "deepstarr"];

impl Suite {
    /// A suite by its name, or of a TOML file.
    ///
    /// # Errors
    /// There is neither; the file is not what a suite is.
    pub fn open(name: &str) -> Result<Suite> {
        match name {
            "gue" => return Ok(gue()),
            "genomic-benchmarks" => return Ok(genomic_benchmarks()),
            "deepstarr" => return Ok(deepstarr()),
            _ => {}
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") || path.is_file() {
            let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
            return Suite::parse(&text, path);
        }
        Err(Error::Recipe {
            place: "--suite".to_string(),
            what: format!("there is no suite `{name}`"),
            hint: match nearest(name, NAMED) {
                Some(near) => format!("the nearest name is `{near}`; a suite of one's own is a TOML file"),
                None => format!("the suites are {}, or a TOML file of one's own", NAMED.join(", ")),
            },
        })
    }

    /// The suite of a TOML text; paths in it are relative to the file.
    fn parse(text: &str, path: &Path) -> Result<Suite> {
        let refuse = |place: String, what: String, hint: &str| Error::Recipe { place, what, hint: hint.to_string() };
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            refuse(
                format!("{}, line {line}", path.display()),
                error.message().to_string(),
                "a data set is `[[datasets]]` with `name` and `path`, and may have `group`, `task`, `metric`, `preset`, `epochs`, `genome`",
            )
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut datasets: Vec<Dataset> = Vec::new();
        for one in file.datasets {
            let place = format!("{}, data set `{}`", path.display(), one.name.escape_debug());
            if !is_folder(&one.name) {
                return Err(refuse(place, "a name becomes a folder".to_string(), FOLDER_RULE));
            }
            if datasets.iter().any(|other| other.id.eq_ignore_ascii_case(&one.name)) {
                return Err(refuse(place, "two data sets have this name".to_string(), "name one of them otherwise"));
            }
            datasets.push(Dataset {
                id: one.name,
                group: one.group.unwrap_or_default(),
                places: vec![one.path.clone(), folder.join(&one.path).display().to_string()],
                task: one.task,
                metric: one.metric,
                preset: one.preset.unwrap_or_else(|| "default".to_string()),
                epochs: one.epochs,
                records: None,
                genome: one.genome,
            });
        }
        if datasets.is_empty() {
            let hint = "write `[[datasets]]` with `name` and `path`";
            return Err(refuse(path.display().to_string(), "there is no data set".to_string(), hint));
        }
        let stem = || path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
        let name = file.name.unwrap_or_else(stem);
        if NAMED.contains(&name.as_str()) {
            let hint = "write another `name = \"…\"` at its top";
            return Err(refuse(
                path.display().to_string(),
                format!("`{name}` is the name of a suite that the program has, and of its printed figures"),
                hint,
            ));
        }
        Ok(Suite { name, datasets })
    }

    /// Only these data sets, by name or by group.
    ///
    /// # Errors
    /// A word is neither.
    pub fn only(mut self, words: &[String]) -> Result<Suite> {
        let known: Vec<&str> = self
            .datasets
            .iter()
            .flat_map(|one| [one.id.as_str(), one.group.as_str()])
            .filter(|name| !name.is_empty())
            .collect();
        if let Some(word) = words.iter().find(|word| !known.contains(&word.as_str())) {
            let mut seen = std::collections::BTreeSet::new();
            let all: Vec<&str> = known.iter().copied().filter(|name| seen.insert(*name)).collect();
            return Err(Error::Recipe {
                place: "--only".to_string(),
                what: format!("suite {} has no data set and no group `{word}`", self.name),
                hint: match nearest(word, known.iter().copied()) {
                    Some(near) => format!("the nearest name is `{near}`"),
                    None => format!("it has {}", all.join(", ")),
                },
            });
        }
        if !words.is_empty() {
            self.datasets.retain(|one| words.contains(&one.id) || words.contains(&one.group));
        }
        Ok(self)
    }
}

impl Dataset {
    /// Where it lies below a folder; none where it does not.
    pub fn find(&self, root: &Path) -> Option<PathBuf> {
        let holds_data = |folder: &Path| -> bool {
            let Ok(mut entries) = std::fs::read_dir(folder) else { return false };
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
                    ["train", "dev", "val", "test"].iter().any(|word| name.contains(word))
                })
            })
        };
        let roots = [root.to_path_buf(), root.join("GUE"), root.join("datasets")];
        let places = self.places.iter().flat_map(|place| roots.iter().map(move |root| root.join(place)));
        places.into_iter().find(|place| place.is_file() || holds_data(place))
    }
}

/// A suite as its file says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    datasets: Vec<FileDataset>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDataset {
    name: String,
    path: String,
    group: Option<String>,
    task: Option<Task>,
    metric: Option<Metric>,
    preset: Option<String>,
    epochs: Option<u64>,
    genome: Option<String>,
}

fn dataset(
    group: &str,
    name: &str,
    places: &[&str],
    metric: Metric,
    preset: &str,
    records: Option<[u64; 3]>,
) -> Dataset {
    Dataset {
        id: if name.is_empty() { group.to_string() } else { format!("{group}-{name}") },
        group: group.to_string(),
        places: places.iter().map(|place| place.to_string()).collect(),
        task: None,
        metric: Some(metric),
        preset: preset.to_string(),
        epochs: None,
        records,
        genome: None,
    }
}

/// GUE (Zhou et al. 2023) in RandomMask's groups, its 28 data sets (EAP, DeepSTARR's, is not GUE's), and GUE's own 28th, the variants of SARS-CoV-2. Paths as in GUE's
/// archive and in its copy on the Hugging Face hub (leannmlindsey/GUE). Sizes as in GUE's archive: 80, 10 and 10 % of each source.
fn gue() -> Suite {
    let mut datasets = Vec::new();
    let sized = |train: u64, rest: u64| Some([train, rest, rest]);
    for (name, records) in [
        ("H3", sized(11_971, 1_497)),
        ("H3K14ac", sized(26_438, 3_305)),
        ("H3K36me3", sized(27_904, 3_488)),
        ("H3K4me1", sized(25_341, 3_168)),
        ("H3K4me2", sized(24_545, 3_069)),
        ("H3K4me3", sized(29_439, 3_680)),
        ("H3K79me3", sized(23_069, 2_884)),
        ("H3K9ac", sized(22_224, 2_779)),
        ("H4", sized(11_679, 1_461)),
        ("H4ac", sized(27_275, 3_410)),
    ] {
        let places = [format!("EMP/{name}"), format!("emp_{name}")];
        datasets.push(dataset("EMP", name, &[&places[0], &places[1]], Metric::Mcc, "randommask-emp", records));
    }
    for (name, records) in [
        ("0", sized(6_478, 810)),
        ("1", sized(53_952, 6_745)),
        ("2", sized(2_620, 328)),
        ("3", sized(1_904, 239)),
        ("4", sized(15_064, 1_883)),
    ] {
        let places = [format!("mouse/{name}"), format!("mouse_{name}")];
        datasets.push(dataset("TF-M", name, &[&places[0], &places[1]], Metric::Mcc, "randommask-tf", records));
    }
    for (name, train) in [("0", 32_378), ("1", 30_672), ("2", 19_000), ("3", 27_294), ("4", 19_000)] {
        let places = [format!("tf/{name}"), format!("human_tf_{name}")];
        datasets.push(dataset(
            "TF-H",
            name,
            &[&places[0], &places[1]],
            Metric::Mcc,
            "randommask-tf",
            sized(train, 1_000),
        ));
    }
    for (group, length, preset) in [("PD", "300", "randommask-pd"), ("CPD", "core", "randommask-cpd")] {
        for (name, records) in
            [("notata", sized(42_452, 5_307)), ("tata", sized(4_904, 613)), ("all", sized(47_356, 5_920))]
        {
            let places = [format!("prom/prom_{length}_{name}"), format!("prom_{length}_{name}")];
            datasets.push(dataset(group, name, &[&places[0], &places[1]], Metric::Mcc, preset, records));
        }
    }
    let splice = ["splice/reconstructed", "splice_reconstructed"];
    datasets.push(dataset("SSP", "", &splice, Metric::Mcc, "randommask-ssp", sized(36_496, 4_562)));
    let starr = ["EAP", "DeepSTARR", "deepstarr"];
    datasets.push(dataset("EAP", "", &starr, Metric::Pearson, "randommask-eap", Some([402_296, 40_570, 41_186])));
    let covid = ["virus/covid", "virus_covid"];
    datasets.push(dataset("CVC", "", &covid, Metric::MacroF1, "gue-virus", Some([77_669, 7_000, 7_000])));
    Suite { name: "gue".to_string(), datasets }
}

/// Genomic Benchmarks (Gresova et al. 2023): accuracy; no dev parts. Its papers train from scratch, so that the presets here are RandomMask's for data of this kind.
/// Sizes as its package's tests have them; genomes by its metadata, the human one without a name.
fn genomic_benchmarks() -> Suite {
    let sets = [
        ("dummy_mouse_enhancers_ensembl", 968, 242, Some("mouse")),
        ("demo_coding_vs_intergenomic_seqs", 75_000, 25_000, None),
        ("demo_human_or_worm", 75_000, 25_000, Some("human-and-worm")),
        ("human_enhancers_cohn", 20_843, 6_948, None),
        ("human_enhancers_ensembl", 123_872, 30_970, None),
        ("human_ensembl_regulatory", 231_348, 57_713, None),
        ("human_nontata_promoters", 27_097, 9_034, None),
        ("human_ocr_ensembl", 139_804, 34_952, None),
        ("drosophila_enhancers_stark", 5_184, 1_730, Some("fly")),
    ];
    let one = |(name, train, test, genome): (&str, u64, u64, Option<&str>)| Dataset {
        id: name.to_string(),
        genome: genome.map(str::to_string),
        ..dataset("Genomic Benchmarks", name, &[name], Metric::Accuracy, "randommask-pd", Some([train, 0, test]))
    };
    Suite { name: "genomic-benchmarks".to_string(), datasets: sets.map(one).to_vec() }
}

/// DeepSTARR (de Almeida et al. 2022): two activities of Drosophila enhancers.
fn deepstarr() -> Suite {
    let one = Dataset {
        id: "DeepSTARR".to_string(),
        ..dataset(
            "EAP",
            "",
            &["", "DeepSTARR", "deepstarr", "EAP"],
            Metric::Pearson,
            "randommask-eap",
            Some([402_296, 40_570, 41_186]),
        )
    };
    Suite { name: "deepstarr".to_string(), datasets: vec![one] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetune::Preset;

    #[test]
    fn gue_has_the_papers_twenty_eight_and_covid_and_every_preset_exists() {
        let suite = Suite::open("gue").unwrap();
        assert_eq!(suite.datasets.len(), 29);
        let count = |group: &str| suite.datasets.iter().filter(|one| one.group == group).count();
        assert_eq!(["EMP", "TF-M", "TF-H", "PD", "CPD", "SSP", "EAP", "CVC"].map(count), [10, 5, 5, 3, 3, 1, 1, 1]);
        for name in NAMED {
            let suite = Suite::open(name).unwrap();
            for one in &suite.datasets {
                assert!(is_folder(&one.id) && Preset::named(&one.preset).is_some(), "{one:?}");
            }
        }
    }

    #[test]
    fn data_sets_are_found_in_the_layouts_of_the_archive_and_of_the_hub() {
        let folder = tempfile::tempdir().unwrap();
        let suite = Suite::open("gue").unwrap();
        for place in ["GUE/EMP/H3", "mouse_0", "tf/4"] {
            std::fs::create_dir_all(folder.path().join(place)).unwrap();
            std::fs::write(folder.path().join(place).join("test.csv.gz"), "").unwrap();
        }
        std::fs::create_dir_all(folder.path().join("prom_core_all")).unwrap();
        let found: Vec<&str> =
            suite.datasets.iter().filter(|one| one.find(folder.path()).is_some()).map(|one| one.id.as_str()).collect();
        assert_eq!(found, ["EMP-H3", "TF-M-0", "TF-H-4"]);
    }

    #[test]
    fn a_suite_of_ones_own_is_a_file() {
        let text = "name = \"mine\"\n[[datasets]]\nname = \"a\"\npath = \"x/a\"\nmetric = \"auroc\"\nepochs = 3\n[[datasets]]\nname = \"b\"\npath = \"b.csv\"\n";
        let suite = Suite::parse(text, Path::new("suites/own.toml")).unwrap();
        assert_eq!((suite.name.as_str(), suite.datasets.len()), ("mine", 2));
        let first = &suite.datasets[0];
        assert_eq!((first.metric, first.epochs, first.preset.as_str()), (Some(Metric::Auroc), Some(3), "default"));
        assert_eq!(first.places, ["x/a", "suites/x/a"]);
        let only = suite.clone().only(&["b".to_string()]).unwrap();
        assert_eq!(only.datasets.len(), 1);
        assert!(suite.only(&["c".to_string()]).unwrap_err().hint().is_some());
    }

    #[test]
    fn a_wrong_suite_is_refused_with_its_place() {
        for (text, word) in [
            ("[[datasets]]\nname = \"a\"\n", "path"),
            ("[[datasets]]\nname = \"a\"\npath = \"x\"\nmertic = \"mcc\"\n", "mertic"),
            ("[[datasets]]\nname = \"a/b\"\npath = \"x\"\n", "folder"),
            ("[[datasets]]\nname = \"a\"\npath = \"x\"\n[[datasets]]\nname = \"A\"\npath = \"x\"\n", "two data sets"),
            ("[[datasets]]\nname = \"a\"\npath = \"x\"\nmetric = \"mcv\"\n", "mcc"),
            ("name = \"x\"\n", "no data set"),
            ("name = ", "own.toml, line 1"),
            ("name = \"gue\"\n[[datasets]]\nname = \"a\"\npath = \"x\"\n", "a suite that the program has"),
        ] {
            let error = Suite::parse(text, Path::new("own.toml")).expect_err(word);
            assert!(error.to_string().contains(word) && error.is_usage() && error.hint().is_some(), "{word}: {error}");
        }
        assert!(Suite::open("geu").unwrap_err().hint().unwrap().contains("`gue`"));
    }
}

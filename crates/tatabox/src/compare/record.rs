//! `compare.toml`: what a comparison is, so that it can go on without its command line, and so that nothing else is mixed into it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use tatabox_core::io::input::fingerprint;

use super::arm::{ARMS, Arm, in_arm};
use super::design::{Design, ResolvedArm};
use crate::error::{Error, Result};
use crate::experiment::{Folder, Kind};
use crate::recipe::RunConfig;
use crate::run::{DATASET, FROZEN};
use crate::settings::{Settings, Value};

/// Comparisons as experiments.
pub const COMPARE: Kind = Kind {
    verb: "compare",
    noun: "comparison",
    record: "compare.toml",
    arguments: "genome.fa --recipe FILE -o DIR",
    leftovers: &[FROZEN, DATASET],
};

const FILES: &str = "files";
const COMMON: &str = "common";

/// What a directory holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub design: Design,
    /// SHA-256 of `frozen.jsonl`.
    pub frozen: String,
    /// Files that the arms' recipes name, with their SHA-256.
    pub files: BTreeMap<String, String>,
}

impl Record {
    /// Adds the files that the arms name and that are not recorded yet.
    pub fn note_files(&mut self) -> Result<()> {
        for file in self.design.arms.iter().filter_map(|arm| arm.config.mask.scores_file()) {
            if !self.files.contains_key(file) {
                self.files.insert(file.to_string(), sha256(Path::new(file))?);
            }
        }
        Ok(())
    }

    /// Refuses files that are not what they were when the comparison began.
    pub fn check_files(&self) -> Result<()> {
        for (file, recorded) in &self.files {
            let got = sha256(Path::new(file))?;
            if got != *recorded {
                let hint = "put that file back, or compare in another directory";
                let expected = format!("the file with SHA-256 {recorded}, with which this comparison began");
                return Err(Error::format(file, "", expected, got, hint));
            }
        }
        Ok(())
    }

    pub fn write(&self, folder: &Folder) -> Result<()> {
        COMPARE.write(folder, self)
    }

    /// Reads the record of a comparison.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(COMPARE.record);
        let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let wrong = |expected: &str, got: String| Error::format(&path, "", expected, got, "");
        let (mut top, parts) = Settings::parse_parts(&text, &path.display().to_string(), ARMS)?;
        let seeds: Option<Vec<u64>> = match top.take("seeds") {
            Some((Value::List(seeds), _)) => seeds
                .iter()
                .map(|seed| match seed {
                    Value::Integer(seed) => u64::try_from(*seed).ok(),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        let seeds = seeds.ok_or_else(|| wrong("`seeds`, a list of whole numbers", "something else".to_string()))?;
        let against = top.take("against").map(|(value, _)| plain(&value));
        let frozen = top.take("frozen_sha256").map(|(value, _)| plain(&value)).unwrap_or_default();
        let mut files = BTreeMap::new();
        for key in top.given().map(|(key, _)| key.to_string()).collect::<Vec<_>>() {
            if let Some(file) = key.strip_prefix(FILES).and_then(|rest| rest.strip_prefix('.'))
                && let Some((sha256, _)) = top.take(&key)
            {
                files.insert(file.to_string(), plain(&sha256));
            }
        }
        let mut common = Settings::empty();
        for key in top.given().map(|(key, _)| key.to_string()).collect::<Vec<_>>() {
            if let Some(inner) = key.strip_prefix(COMMON).and_then(|rest| rest.strip_prefix('.'))
                && let Some((value, place)) = top.take(&key)
            {
                common.default_to(inner, value, &place);
            }
        }
        top.finish()?;
        let arms = parts.into_iter().map(|(name, settings)| {
            Arm::new(&name, Settings::empty(), &format!("{}, [arms.{name}]", path.display()))?;
            let config = RunConfig::stored(settings).map_err(|error| in_arm(error, &name))?;
            Ok(ResolvedArm { name, config })
        });
        let arms: Vec<ResolvedArm> = arms.collect::<Result<_>>()?;
        if arms.is_empty() || seeds.is_empty() {
            return Err(wrong("at least one arm and one seed", "none".to_string()));
        }
        // A comparison of before this was recorded: its arms differ in what they set, and in nothing else.
        let common = if common.given().next().is_none() { arms[0].config.clone() } else { RunConfig::stored(common)? };
        let design = Design::recorded(arms, seeds, against, common, &path.display().to_string())?;
        Ok(Self { design, frozen, files })
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        /// The arms in their order.
        struct Arms<'a>(&'a [ResolvedArm]);
        impl Serialize for Arms<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|arm| (&arm.name, &arm.config)))
            }
        }
        let Design { arms, seeds, against, common, .. } = &self.design;
        let mut record = serializer.serialize_struct("Record", 6)?;
        record.serialize_field("seeds", seeds)?;
        record.serialize_field("against", against)?;
        record.serialize_field("frozen_sha256", &self.frozen)?;
        record.serialize_field(FILES, &self.files)?;
        record.serialize_field(COMMON, common)?;
        record.serialize_field(ARMS, &Arms(arms))?;
        record.end()
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn sha256(path: &Path) -> Result<String> {
    Ok(fingerprint(path)?.sha256)
}

#[cfg(test)]
mod tests {
    use super::super::design::tests::design;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.b scores.tsv");
        std::fs::write(&file, "one").unwrap();
        let learned = format!("z:mask.strategy=pmi,mask.scores=\"{}\"", file.display());
        let mut design = design(&[&learned, "a.b:mask.strategy=random-mask,mask.spans=[4, 6]"], &[3, 1], &[]).unwrap();
        design.against = Some("a.b".to_string());
        let mut record = Record {
            design: Design::recorded(design.arms, design.seeds, design.against, design.common, "x").unwrap(),
            frozen: "f0".to_string(),
            files: BTreeMap::new(),
        };
        record.note_files().unwrap();
        let dir = folder.path().join("cmp");
        record.write(&COMPARE.open(&dir).unwrap()).unwrap();
        let read = Record::read(&dir).unwrap();
        assert_eq!(read, record);
        read.check_files().unwrap();
        std::fs::write(&file, "two").unwrap();
        let error = read.check_files().unwrap_err().to_string();
        assert!(error.contains("a.b scores.tsv") && error.contains("with which this comparison began"), "{error}");
    }

    #[test]
    fn a_record_changed_by_hand_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let good = Record { design: design(&["a"], &[1], &[]).unwrap(), frozen: String::new(), files: BTreeMap::new() };
        let good = toml::to_string(&good).unwrap();
        for (from, to, message) in [
            ("seeds = [1]", "seeds = [1.5]", "`seeds`, a list of whole numbers"),
            ("seeds = [1]", "sedes = [1]", "`seeds`"),
            ("steps = 6", "steps = 0", "arm `a`"),
            ("[arms.a]", "[arms.\"a/b\"]", "a name becomes a folder"),
            ("seeds = [1]", "seeds = [1]\nagainst = \"b\"", "`b`"),
            ("seeds = [1]", "seeds = [1", "expected TOML"),
        ] {
            std::fs::write(folder.path().join(COMPARE.record), good.replace(from, to)).unwrap();
            let error = Record::read(folder.path()).expect_err(message);
            assert!(error.to_string().contains(message) && error.to_string().contains(COMPARE.record), "{error}");
        }
    }
}

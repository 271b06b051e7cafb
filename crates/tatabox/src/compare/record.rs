//! `compare.toml`: what a comparison is, so that it can go on without its command line, and so that nothing else is mixed into it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use tatabox_core::io::input::fingerprint;
use tatabox_core::io::whole;

use super::arm::{Arm, in_arm};
use super::design::{Design, ResolvedArm};
use crate::error::{Error, Result};
use crate::recipe::RunConfig;
use crate::settings::{Settings, Value};

/// The record's name; its presence makes a directory a comparison.
pub const COMPARE: &str = "compare.toml";

/// What a directory holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub design: Design,
    /// SHA-256 of `frozen.jsonl`.
    pub frozen: String,
}

impl Record {
    /// The text of `compare.toml`.
    pub fn to_toml(&self) -> Result<String> {
        let wrong = |error: toml::ser::Error| Error::Recipe {
            place: COMPARE.to_string(),
            what: format!("cannot be written: {error}"),
            hint: String::new(),
        };
        let mut text = String::from("# This comparison, resolved: `tatabox compare --resume` goes on with it.\n");
        let _ = writeln!(text, "seeds = {:?}", self.design.seeds);
        if let Some(against) = &self.design.against {
            let _ = writeln!(text, "against = \"{against}\"");
        }
        let _ = writeln!(text, "frozen_sha256 = \"{}\"", self.frozen);
        for arm in &self.design.arms {
            let one = BTreeMap::from([("arms", BTreeMap::from([(&arm.name, &arm.config)]))]);
            let _ = write!(text, "\n{}", toml::to_string(&one).map_err(wrong)?);
        }
        Ok(text)
    }

    pub fn write(&self, dir: &Path) -> Result<()> {
        let text = self.to_toml()?;
        Ok(whole::write(&dir.join(COMPARE), |out| out.write_all(text.as_bytes()))?)
    }

    /// Reads the record of a comparison.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(COMPARE);
        let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let wrong = |expected: &str, got: String| Error::format(&path, "", expected, got, "");
        let (mut top, parts) = Settings::parse_parts(&text, &path.display().to_string(), super::arm::ARMS)?;
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
        top.finish()?;
        let arms = parts.into_iter().map(|(name, settings)| {
            Arm::new(&name, Settings::empty(), &format!("{}, [arms.{name}]", path.display()))?;
            let config = RunConfig::resolve(settings).map_err(|error| in_arm(error, &name))?;
            Ok(ResolvedArm { name, config })
        });
        let arms: Vec<ResolvedArm> = arms.collect::<Result<_>>()?;
        if arms.is_empty() || seeds.is_empty() {
            return Err(wrong("at least one arm and one seed", "none".to_string()));
        }
        Ok(Self { design: Design::recorded(arms, seeds, against), frozen })
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
        let mut design = design(&["z", "a.b:mask.strategy=random-mask,mask.spans=[4, 6]"], &[3, 1], &[]).unwrap();
        design.notes.clear();
        design.against = Some("a.b".to_string());
        let record =
            Record { design: Design::recorded(design.arms, design.seeds, design.against), frozen: "f0".to_string() };
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), record);
    }

    #[test]
    fn a_record_changed_by_hand_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let good = Record { design: design(&["a"], &[1], &[]).unwrap(), frozen: String::new() }.to_toml().unwrap();
        for (from, to, message) in [
            ("seeds = [1]", "seeds = [1.5]", "`seeds`, a list of whole numbers"),
            ("seeds = [1]", "sedes = [1]", "`seeds`"),
            ("steps = 6", "steps = 0", "arm `a`"),
            ("[arms.a]", "[arms.\"a/b\"]", "a name becomes a folder"),
            ("seeds = [1]", "seeds = [1", "expected TOML"),
        ] {
            std::fs::write(folder.path().join(COMPARE), good.replace(from, to)).unwrap();
            let error = Record::read(folder.path()).expect_err(message);
            assert!(error.to_string().contains(message) && error.to_string().contains(COMPARE), "{error}");
        }
    }
}

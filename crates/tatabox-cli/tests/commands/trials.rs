//! What the tests of `fewshot` and of `benchmark` share.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use crate::shell::Shell;

/// When each finished run was written last.
pub fn written(shell: &Shell, output: &str) -> BTreeMap<String, SystemTime> {
    let ours = |file: &String| file.starts_with(&format!("{output}/runs/")) && file.ends_with(".json");
    let when = |file: &String| fs::metadata(shell.path(file)).unwrap().modified().unwrap();
    shell.files().into_iter().filter(ours).map(|file| (file.clone(), when(&file))).collect()
}

/// The bytes of the tables.
pub fn tables(shell: &Shell, output: &str, names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| shell.bytes(&format!("{output}/{name}"))).collect()
}

/// All keys of an object and below.
pub fn keys(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(inside) => inside
            .iter()
            // Names of metrics and outputs are values, not keys.
            .flat_map(|(key, value)| {
                [vec![key.clone()], if key == "metrics" || key == "by_output" { Vec::new() } else { keys(value) }]
                    .concat()
            })
            .collect(),
        serde_json::Value::Array(inside) => {
            inside.iter().filter(|one| !one["mean"].is_number()).flat_map(keys).collect()
        }
        _ => Vec::new(),
    }
}

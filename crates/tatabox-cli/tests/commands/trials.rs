//! What the tests of `fewshot` and of `benchmark` share.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use crate::shell::{Shell, project};

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

/// The section of the reference on a command's JSON.
pub fn described(command: &str) -> String {
    let reference = fs::read_to_string(project().join("docs/reference/json.md")).unwrap();
    let section =
        reference.split(&format!("## `{command}`")).nth(1).unwrap_or_else(|| panic!("no section on {command}"));
    section.split("\n## ").next().unwrap().to_string()
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

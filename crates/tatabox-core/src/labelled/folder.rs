//! Folders of labelled files: which file is which part, and which class, by the names on the way to it.

use std::path::{Path, PathBuf};

use super::file::{self, RawFile, ReadOptions};
use super::{Labelled, SplitName, origins, task};
use crate::error::{Error, Result};
use crate::genome::FileCard;
use crate::io::malformed;

/// Folders below the given one that are looked into.
const DEPTH: usize = 3;

/// Files of one folder that have one record in the card together.
const MANY: usize = 20;

/// What a folder holds beside its data.
const OTHER: [&str; 8] = ["dataset.json", origins::FILE, "json", "md", "yaml", "yml", "html", "toml"];

/// Reads labelled data from files or folders.
///
/// A part is named by a column of the table, else by a word of the file's name or of a folder above it (train; dev, val, valid, validation; test; the cv and ind
/// of cross-validation and independent sets). A class is named by a column or a header, else by the folder, else by the rest of the file's name.
///
/// # Errors
/// Nothing is found; a file is not what its form asks for; files contradict each other; labels do not fit the task.
pub fn read(paths: &[PathBuf], options: &ReadOptions) -> Result<Labelled> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, path, DEPTH, &mut found)?;
        } else {
            found.push((path.clone(), path.file_name().map(PathBuf::from).unwrap_or_default()));
        }
    }
    if found.is_empty() {
        let all: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        let what = format!("there is no labelled data in {}", all.join(", "));
        let hint = "give a table (CSV, TSV, JSON lines), FASTA, or a folder with train, dev and test files, or one folder a class";
        return Err(Error::Data { what, hint: hint.into() });
    }
    found.sort();
    let mut files = Vec::new();
    for (path, relative) in found {
        let name = Name::of(&relative);
        files.push((file::read(&path, options)?, name));
    }
    check_one_data_set(&files)?;
    let mut files = together(joined(files)?);
    files.iter_mut().try_for_each(|(file, _)| origins::put_back(file))?;
    // Where some files say which part they are, the others are something else.
    let parted = files.iter().any(|(_, name)| name.split.is_some());
    let (files, left): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|(file, name)| !parted || name.split.is_some() || file.rows.iter().any(|row| row.split.is_some()));
    let left = left.into_iter().map(|(file, _)| file.card.path).collect();
    task::understood(files, left, options)
}

/// The part that a word stands for.
pub(super) fn split_word(word: &str) -> Option<SplitName> {
    match word.to_ascii_lowercase().as_str() {
        "train" | "training" | "cv" => Some(SplitName::Train),
        "dev" | "val" | "valid" | "validation" => Some(SplitName::Dev),
        "test" | "testing" | "ind" | "independent" => Some(SplitName::Test),
        _ => None,
    }
}

/// What a file's place says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Its part.
    pub split: Option<SplitName>,
    /// Its class, where its content names none.
    pub class: String,
    /// The folder that it lies in, below that which was given.
    pub folder: PathBuf,
}

impl Name {
    fn of(relative: &Path) -> Name {
        let mut parts: Vec<String> =
            relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let file = parts.pop().unwrap_or_default();
        let bare = file.strip_suffix(".gz").unwrap_or(&file);
        let stem = bare.rsplit_once('.').map_or(bare, |(stem, _)| stem);
        let words: Vec<&str> = stem.split(['.', '_', '-', ' ']).collect();
        let split = (words.iter().copied().find_map(split_word))
            .or_else(|| parts.iter().rev().find_map(|part| split_word(part)));
        let rest: Vec<&str> = words.iter().copied().filter(|word| split_word(word).is_none()).collect();
        let folder = parts.iter().rev().find(|part| split_word(part).is_none());
        // A file for every sequence has a folder for its class; a file for every class has its own name.
        let class = match folder {
            Some(folder) if rest.is_empty() || rest.iter().all(|word| word.parse::<u64>().is_ok()) => folder.clone(),
            _ => rest.join("_"),
        };
        Name { split, class, folder: relative.parent().map(PathBuf::from).unwrap_or_default() }
    }
}

fn walk(folder: &Path, root: &Path, depth: usize, found: &mut Vec<(PathBuf, PathBuf)>) -> Result<()> {
    let failed = |source| Error::File { action: "read", path: folder.into(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || OTHER.contains(&name.as_str()) || OTHER.contains(&extension.as_str()) {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                walk(&path, root, depth - 1, found)?;
            }
        } else {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            found.push((path, relative));
        }
    }
    Ok(())
}

/// Refuses a folder of several data sets: two labelled files of one part in different folders.
fn check_one_data_set(files: &[(RawFile, Name)]) -> Result<()> {
    let labelled = || files.iter().filter(|(file, _)| file.has_labels);
    for (file, name) in labelled() {
        let other = |(_, other): &&(RawFile, Name)| other.split == name.split && other.folder != name.folder;
        if let Some((second, _)) = labelled().find(other) {
            let part = name.split.map_or("no part".to_string(), |split| format!("part {split}"));
            let [one, two] = [file, second].map(|file| file.path.display().to_string());
            let [first, last] =
                [file, second].map(|file| file.path.parent().unwrap_or(Path::new(".")).display().to_string());
            return Err(Error::Data {
                what: format!("`{one}` and `{two}` are both labelled and of {part}: are these two data sets?"),
                hint: format!(
                    "give one of them (`{first}`); or, if they are one data set, each by itself: `{first} {last}`"
                ),
            });
        }
    }
    Ok(())
}

/// Sequences without labels and labels without sequences of one part are rows of one file, in the same order (DeepSTARR).
fn joined(files: Vec<(RawFile, Name)>) -> Result<Vec<(RawFile, Name)>> {
    let (labels, mut files): (Vec<_>, Vec<_>) = files.into_iter().partition(|(file, _)| !file.has_sequences);
    for (table, name) in labels {
        let partner = |(file, other): &&mut (RawFile, Name)| !file.has_labels && other.split == name.split;
        let Some((file, _)) = files.iter_mut().find(partner) else {
            return Err(table.without_sequences());
        };
        if file.rows.len() != table.rows.len() {
            let expected = format!("{} rows, one a sequence of `{}`", file.rows.len(), file.path.display());
            let hint = "the rows must stand in the order of the sequences";
            return Err(malformed(&table.path, "", expected, table.rows.len().to_string(), hint));
        }
        for (row, labels) in file.rows.iter_mut().zip(table.rows) {
            row.labels = labels.labels;
        }
        (file.has_labels, file.targets) = (true, table.targets);
        file.blank += table.blank;
        let card = FileCard {
            path: format!("{} and {}", file.card.path, table.card.path),
            bytes: file.card.bytes + table.card.bytes,
            sha256: hash_of(&[&file.card.sha256, &table.card.sha256]),
        };
        file.card = card;
    }
    Ok(files)
}

/// Many files of one class and part become one.
fn together(files: Vec<(RawFile, Name)>) -> Vec<(RawFile, Name)> {
    if files.len() <= MANY {
        return files;
    }
    let mut out: Vec<(RawFile, Name, Vec<String>)> = Vec::new();
    for (file, name) in files {
        let same = out.last_mut().filter(|(last, other, _)| *other == name && last.path.parent() == file.path.parent());
        match same {
            Some((last, _, hashes)) => {
                last.rows.extend(file.rows);
                (last.blank, last.with_u, last.with_t) =
                    (last.blank + file.blank, last.with_u + file.with_u, last.with_t + file.with_t);
                last.card.bytes += file.card.bytes;
                hashes.push(file.card.sha256);
            }
            None => {
                let hashes = vec![file.card.sha256.clone()];
                out.push((file, name, hashes));
            }
        }
    }
    let merged = |(mut file, name, hashes): (RawFile, Name, Vec<String>)| {
        if hashes.len() > 1 {
            let folder = file.path.parent().unwrap_or(Path::new(".")).display().to_string();
            file.card.path = format!("{folder} ({} files)", hashes.len());
            file.card.sha256 = hash_of(&hashes.iter().map(String::as_str).collect::<Vec<_>>());
        }
        (file, name)
    };
    out.into_iter().map(merged).collect()
}

/// The hash of several files: of their hashes in hexadecimal, one a line.
fn hash_of(hashes: &[&str]) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hashes.iter().for_each(|one| hash.update(format!("{one}\n")));
    crate::io::input::hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_part_and_class() {
        for (path, split, class) in [
            ("train.csv", Some(SplitName::Train), ""),
            ("enhancer.ind.txt.gz", Some(SplitName::Test), "enhancer"),
            ("train/positive/12.txt", Some(SplitName::Train), "positive"),
            ("test/negative.csv.gz", Some(SplitName::Test), "negative"),
            ("Sequences_Val.fa", Some(SplitName::Dev), "Sequences"),
            ("Ecoli_non_prom.fa", None, "Ecoli_non_prom"),
        ] {
            let name = Name::of(Path::new(path));
            assert_eq!((name.split, name.class.as_str()), (split, class), "{path}");
        }
    }
}

//! Weights in safetensors files, under the names that Hugging Face gives to the tensors of a BERT.
//!
//! The engine keeps query, key and value of a layer as one tensor `….attention.self.qkv.{weight,bias}`, rows `[query | key | value]`;
//! the file has three. The decoder of the masked language model is the word embedding and is not in the file.
//! Names follow `modeling_bert.py` of transformers; `LayerNorm.gamma` and `beta` are what files older than 2019 call weight and bias.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tatabox_engine::ParamSpec;

use crate::error::{Error, Result};

/// A tensor to write, or the name and shape of one to read.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its name in the engine.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its values, row after row; empty where only name and shape are of use.
    pub values: &'a [f32],
}

/// Parameters by name and shape, to be read.
pub fn wanted<'a>(specs: impl IntoIterator<Item = &'a ParamSpec>) -> Vec<Tensor<'a>> {
    specs.into_iter().map(|spec| Tensor { name: &spec.name, shape: &spec.shape, values: &[] }).collect()
}

/// The Hugging Face names of an engine tensor, with the rows of each: three for a joined query, key and value, else one.
fn hugging_face_names(name: &str) -> Vec<String> {
    match name.split_once(".self.qkv.") {
        Some((layer, kind)) => {
            ["query", "key", "value"].iter().map(|part| format!("{layer}.self.{part}.{kind}")).collect()
        }
        None => vec![name.to_string()],
    }
}

fn part_shape(shape: &[usize], parts: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if parts > 1 {
        shape[0] /= parts;
    }
    shape
}

/// Writes the weights of a model, `f32`, under their Hugging Face names. The file is synced, not renamed: it is one of a folder that is.
///
/// # Errors
/// The file cannot be written.
pub fn write_weights(path: &Path, tensors: &[Tensor<'_>]) -> Result<()> {
    let mut parts = Vec::new();
    for tensor in tensors {
        let names = hugging_face_names(tensor.name);
        let shape = part_shape(tensor.shape, names.len());
        let part = tensor.values.len() / names.len();
        for (name, values) in names.into_iter().zip(tensor.values.chunks_exact(part)) {
            parts.push((name, shape.clone(), values));
        }
    }
    write_plain(path, &parts)
}

/// Writes tensors `(name, shape, values)` under the names they have, `f32`; synced, not renamed.
///
/// # Errors
/// The file cannot be written.
pub fn write_plain(path: &Path, tensors: &[(String, Vec<usize>, &[f32])]) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the folder that it is in is temporary, and is renamed when it is whole"
    )]
    let file = File::create(path).map_err(Error::file("create", path))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write_to(&mut out, tensors).and_then(|()| out.flush()).map_err(Error::file("write", path))?;
    out.get_ref().sync_all().map_err(Error::file("write", path))
}

/// The format: the length of the header, the header in JSON padded with spaces to 8 bytes, the values end to end.
fn write_to(out: &mut impl Write, tensors: &[(String, Vec<usize>, &[f32])]) -> std::io::Result<()> {
    let mut header = serde_json::Map::new();
    // transformers refuses a file without this entry.
    header.insert("__metadata__".to_string(), serde_json::json!({"format": "pt"}));
    let mut at = 0;
    for (name, shape, values) in tensors {
        let end = at + 4 * values.len();
        header.insert(name.clone(), serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for value in tensors.iter().flat_map(|(_, _, values)| values.iter()) {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// What was read from a file of weights.
#[derive(Debug)]
pub struct Weights {
    /// The values of each tensor asked for, in that order; `None` where the head is missing and may be.
    pub values: Vec<Option<Vec<f32>>>,
    /// Words for the user: what was left out and why.
    pub notes: Vec<String>,
}

/// Whether a file must hold what comes after the encoder: a masked language model's head, or pooler and classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It must: the model is to be evaluated.
    Required,
    /// A file without one is taken, and the head stays as it is: training starts from the encoder.
    Optional,
}

/// The parts after the encoder: how their names begin, and what they are called.
const HEADS: [(&str, &str); 3] = [
    ("cls.predictions.", "masked language model head"),
    ("bert.pooler.", "pooler"),
    ("classifier.", "classification head"),
];

/// Reads the weights of a model written by Tatabox or transformers: `f32`, `f16` or `bf16`, with or without the prefix `bert.`.
///
/// `wanted` names the engine's tensors and their shapes. Poolers and classifiers are left out with a word.
///
/// # Errors
/// The file cannot be read or is torn; a tensor is missing, has another shape or element type, or belongs to another model. All such
/// tensors are named at once, with the shape expected and the shape found.
pub fn read_weights(path: &Path, wanted: &[Tensor<'_>], head: Head) -> Result<Weights> {
    with_bytes(path, |bytes| parse_weights(bytes, path, wanted, head))
}

/// As [`read_weights`], from the bytes of the file; `path` is for messages only.
///
/// # Errors
/// As [`read_weights`], except that the file was read already.
pub fn parse_weights(bytes: &[u8], path: &Path, wanted: &[Tensor<'_>], head: Head) -> Result<Weights> {
    with_tensors(bytes, path, |file| {
        let mut rest: BTreeMap<String, TensorView<'_>> =
            file.iter().map(|(name, view)| (modern_name(name), view)).collect();
        let mut problems = BTreeSet::new();
        let mut notes = Vec::new();
        let missing: Vec<&str> = HEADS
            .iter()
            .filter(|(prefix, what)| {
                let asked = wanted.iter().any(|tensor| tensor.name.starts_with(prefix));
                let missing = head == Head::Optional && asked && !rest.keys().any(|name| name.starts_with(prefix));
                if missing {
                    notes.push(format!("the file has no {what}: it starts fresh"));
                }
                missing
            })
            .map(|(prefix, _)| *prefix)
            .collect();
        let has_decoder = wanted.iter().any(|tensor| tensor.name.starts_with("cls."));
        let tied = rest.remove("cls.predictions.decoder.weight");
        // Both names hold the same values where both are there.
        if let Some(bias) = rest.remove("cls.predictions.decoder.bias") {
            rest.entry("cls.predictions.bias".to_string()).or_insert(bias);
        }
        let mut values = Vec::with_capacity(wanted.len());
        for tensor in wanted {
            if missing.iter().any(|prefix| tensor.name.starts_with(prefix)) {
                values.push(None);
                continue;
            }
            let names = hugging_face_names(tensor.name);
            let shape = part_shape(tensor.shape, names.len());
            let mut joined = Vec::with_capacity(tensor.shape.iter().product());
            for name in names {
                match rest.remove(&name) {
                    None => drop(problems.insert(format!("`{name}`: expected shape {shape:?}, got no such tensor"))),
                    Some(view) if view.shape() != shape => {
                        problems.insert(format!("`{name}`: expected shape {shape:?}, got {:?}", view.shape()));
                    }
                    Some(view) => {
                        if let Err(got) = append(&view, &mut joined) {
                            problems.insert(format!("`{name}`: expected F32, F16 or BF16 values, got {got:?}"));
                        }
                    }
                }
            }
            if tensor.name == "bert.embeddings.word_embeddings.weight" {
                check_tied(tied.as_ref(), &joined, &mut problems);
            }
            values.push(Some(joined));
        }
        let mut left_out = BTreeSet::new();
        for name in rest.keys() {
            match no_use_for(name, has_decoder) {
                Some("") => {}
                Some(what) => drop(left_out.insert(what)),
                None => drop(problems.insert(format!("`{name}`: expected no such tensor, got one"))),
            }
        }
        notes.extend(left_out.into_iter().map(|what| format!("the file's {what} is left out: nothing here uses it")));
        if problems.is_empty() {
            return Ok(Weights { values, notes });
        }
        let shown = 8.min(problems.len());
        let mut text: String = problems.iter().take(shown).map(|problem| format!("\n  {problem}")).collect();
        if problems.len() > shown {
            text.push_str(&format!("\n  … and {} more", problems.len() - shown));
        }
        Err(Error::Weights {
            path: path.to_path_buf(),
            problems: text,
            hint: "check that `config.json` beside it belongs to these weights".to_string(),
        })
    })
}

/// Reads tensors written by [`write_plain`].
///
/// # Errors
/// The file cannot be read, or a tensor is missing or has another shape.
pub fn read_plain(path: &Path, wanted: &[(String, Vec<usize>)]) -> Result<Vec<Vec<f32>>> {
    with_bytes(path, |bytes| {
        with_tensors(bytes, path, |file| {
            let read = |(name, shape): &(String, Vec<usize>)| {
                let mut values = Vec::new();
                let got = match file.tensor(name) {
                    Err(_) => "no such tensor".to_string(),
                    Ok(view) if view.shape() != shape => format!("shape {:?}", view.shape()),
                    Ok(view) => match append(&view, &mut values) {
                        Ok(()) => return Ok(values),
                        Err(dtype) => format!("{dtype:?} values"),
                    },
                };
                Err(Error::Weights {
                    path: path.to_path_buf(),
                    problems: format!("\n  `{name}`: expected shape {shape:?}, got {got}"),
                    hint: String::new(),
                })
            };
            wanted.iter().map(read).collect()
        })
    })
}

fn with_bytes<T>(path: &Path, read: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let file = File::open(path).map_err(Error::file("read", path))?;
    // SAFETY: checkpoints are replaced by rename, never written in place, so a mapped file keeps its bytes.
    #[allow(unsafe_code)]
    let bytes = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::file("read", path))?;
    read(&bytes)
}

fn with_tensors<T>(bytes: &[u8], path: &Path, read: impl FnOnce(&SafeTensors<'_>) -> Result<T>) -> Result<T> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
        Error::format(
            path,
            "",
            "a complete safetensors file",
            error.to_string(),
            "the file is torn or of another format",
        )
    })?;
    read(&tensors)
}

/// The name of today's transformers for the name in an older file.
fn modern_name(name: &str) -> String {
    let name = match name.strip_suffix(".gamma").map(|stem| format!("{stem}.weight")) {
        Some(name) => name,
        None => match name.strip_suffix(".beta") {
            Some(stem) => format!("{stem}.bias"),
            None => name.to_string(),
        },
    };
    // A bare BertModel has no prefix.
    match name.split('.').next() {
        Some("embeddings" | "encoder" | "pooler") => format!("bert.{name}"),
        _ => name,
    }
}

/// What a tensor is that the model has no use for; an empty word where the user need not know; `None` where it does not belong. A model with a decoder of its
/// own knows every tensor of one.
fn no_use_for(name: &str, has_decoder: bool) -> Option<&'static str> {
    if name == "bert.embeddings.position_ids" || name == "bert.embeddings.token_type_ids" {
        return Some("");
    }
    if name.starts_with("cls.seq_relationship.") {
        return Some("next sentence head");
    }
    let (prefix, what) = HEADS.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    (*prefix != "cls.predictions." || !has_decoder).then_some(what)
}

fn check_tied(decoder: Option<&TensorView<'_>>, embedding: &[f32], problems: &mut BTreeSet<String>) {
    let mut values = Vec::new();
    let Some(decoder) = decoder else { return };
    if append(decoder, &mut values).is_err() || values != embedding {
        problems.insert(
            "`cls.predictions.decoder.weight`: expected the word embeddings (a tied decoder), got other values"
                .to_string(),
        );
    }
}

fn append(view: &TensorView<'_>, values: &mut Vec<f32>) -> std::result::Result<(), Dtype> {
    let pairs = || view.data().chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    match view.dtype() {
        Dtype::F32 => values.extend(
            view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
        ),
        Dtype::F16 => values.extend(pairs().map(|bits| half::f16::from_bits(bits).to_f32())),
        Dtype::BF16 => values.extend(pairs().map(|bits| half::bf16::from_bits(bits).to_f32())),
        other => return Err(other),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "bert.embeddings.word_embeddings.weight";
    const QKV: &str = "bert.encoder.layer.0.attention.self.qkv.weight";
    const NORM: &str = "bert.embeddings.LayerNorm.weight";
    const HEAD: &str = "cls.predictions.bias";

    fn asked() -> Vec<Tensor<'static>> {
        vec![
            Tensor { name: WORDS, shape: &[3, 2], values: &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0] },
            Tensor { name: NORM, shape: &[2], values: &[0.5, 0.25] },
            Tensor { name: QKV, shape: &[6, 2], values: &[0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.] },
            Tensor { name: HEAD, shape: &[3], values: &[7.0, 8.0, 9.0] },
        ]
    }

    fn file(tensors: &[(&str, &[usize], &[f32])]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors: Vec<_> =
            tensors.iter().map(|(name, shape, values)| (name.to_string(), shape.to_vec(), *values)).collect();
        write_plain(&path, &tensors).unwrap();
        (folder, path)
    }

    /// The file that transformers would write for [`asked`], with `change` made to it.
    fn changed(
        change: impl FnOnce(&mut Vec<(&'static str, &'static [usize], &'static [f32])>),
    ) -> (tempfile::TempDir, std::path::PathBuf) {
        let mut tensors: Vec<(&'static str, &'static [usize], &'static [f32])> = vec![
            (WORDS, &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            (NORM, &[2], &[0.5, 0.25]),
            ("bert.encoder.layer.0.attention.self.query.weight", &[2, 2], &[0., 1., 2., 3.]),
            ("bert.encoder.layer.0.attention.self.key.weight", &[2, 2], &[4., 5., 6., 7.]),
            ("bert.encoder.layer.0.attention.self.value.weight", &[2, 2], &[8., 9., 10., 11.]),
            (HEAD, &[3], &[7.0, 8.0, 9.0]),
        ];
        change(&mut tensors);
        file(&tensors)
    }

    fn assert_reads_all(path: &Path) -> Vec<String> {
        let weights = read_weights(path, &asked(), Head::Required).unwrap();
        for (values, tensor) in weights.values.iter().zip(asked()) {
            assert_eq!(values.as_deref().unwrap(), tensor.values, "{}", tensor.name);
        }
        weights.notes
    }

    #[test]
    fn splits_query_key_and_value_and_joins_them_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        write_weights(&path, &asked()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let key = file.tensor("bert.encoder.layer.0.attention.self.key.weight").unwrap();
        assert_eq!(key.shape(), [2, 2]);
        let mut values = Vec::new();
        append(&key, &mut values).unwrap();
        assert_eq!(values, [4., 5., 6., 7.]);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
        assert!(assert_reads_all(&path).is_empty());
    }

    #[test]
    fn reads_old_names_and_bare_models_and_tied_decoders() {
        let (_folder, path) = changed(|tensors| {
            tensors[1].0 = "embeddings.LayerNorm.gamma";
            tensors[2].0 = "encoder.layer.0.attention.self.query.weight";
            tensors[5].0 = "cls.predictions.decoder.bias";
            tensors.push(("cls.predictions.decoder.weight", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        });
        assert!(assert_reads_all(&path).is_empty());
    }

    #[test]
    fn leaves_out_poolers_and_classifiers_with_a_word() {
        let (_folder, path) = changed(|tensors| {
            tensors.push(("bert.pooler.dense.weight", &[2, 2], &[0.0; 4]));
            tensors.push(("classifier.weight", &[2, 2], &[0.0; 4]));
        });
        let notes = assert_reads_all(&path);
        assert!(notes[0].contains("classification head") && notes[1].contains("pooler"), "{notes:?}");
    }

    #[test]
    fn reads_half_precision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("half.safetensors");
        let f16: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
        let bf16: Vec<u8> = [0.5f32, 3.0].iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
        let views = [
            (NORM, TensorView::new(Dtype::F16, vec![2], &f16).unwrap()),
            (HEAD, TensorView::new(Dtype::BF16, vec![2], &bf16).unwrap()),
        ];
        safetensors::serialize_to_file(views, None, &path).unwrap();
        let wanted = [Tensor { name: NORM, shape: &[2], values: &[] }, Tensor { name: HEAD, shape: &[2], values: &[] }];
        let weights = read_weights(&path, &wanted, Head::Required).unwrap();
        assert_eq!(weights.values, [Some(vec![1.5, -2.0]), Some(vec![0.5, 3.0])]);
    }

    #[test]
    fn names_missing_extra_and_misshaped_tensors_at_once() {
        let (_folder, path) = changed(|tensors| {
            tensors[0].1 = &[2, 3];
            tensors[3].0 = "bert.encoder.layer.9.attention.self.key.weight";
        });
        let text = read_weights(&path, &asked(), Head::Required).unwrap_err().to_string();
        assert!(text.contains("word_embeddings.weight`: expected shape [3, 2], got [2, 3]"), "{text}");
        assert!(
            text.contains("layer.0.attention.self.key.weight`: expected shape [2, 2], got no such tensor"),
            "{text}"
        );
        assert!(text.contains("layer.9.attention.self.key.weight`: expected no such tensor, got one"), "{text}");
    }

    #[test]
    fn refuses_a_decoder_that_is_not_tied() {
        let (_folder, path) = changed(|tensors| {
            tensors.push(("cls.predictions.decoder.weight", &[3, 2], &[9.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        });
        assert!(read_weights(&path, &asked(), Head::Required).unwrap_err().to_string().contains("a tied decoder"));
    }

    #[test]
    fn a_model_without_a_head_serves_as_a_start_but_not_for_evaluation() {
        let (_folder, path) = changed(|tensors| tensors.truncate(5));
        let weights = read_weights(&path, &asked(), Head::Optional).unwrap();
        assert!(weights.values[3].is_none() && weights.values[0].is_some());
        assert!(weights.notes[0].contains("starts fresh"));
        assert!(read_weights(&path, &asked(), Head::Required).is_err());
    }

    #[test]
    fn a_torn_file_is_an_error_at_every_length() {
        let (_folder, path) = changed(|_| {});
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 1, 7, 8, 9, 100, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(read_weights(&path, &asked(), Head::Required).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn no_space_left_is_an_error_of_the_file() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let error = write_weights(Path::new("/dev/full"), &asked()).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("free some space")), "{error}");
    }
}

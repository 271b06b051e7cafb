//! The cache of converted genomes: `<sha256>.2bit`, and beside it `<sha256>.json` with what was counted and where it came from.
//!
//! The JSON is written last, so a conversion that was interrupted is not there. What is there is used only if the .2bit file has the size
//! and the contigs that the JSON says; otherwise it is made again.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::acgt_segments;
use super::card::{ContigCard, FileCard, GenomeCard};
use super::convert::Converter;
use crate::error::{Error, Result};
use crate::io::input::{Fingerprint, Input, STDIN, fingerprint, hex};
use crate::io::twobit::TwoBit;
use crate::io::whole;
use crate::seq::Composition;

/// Changed whenever a conversion of the same input gives another result.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Entry {
    format: u32,
    /// Bytes of the .2bit file.
    stored_bytes: u64,
    /// The inputs as they were found on disk; none of a stream.
    inputs: Vec<Option<Key>>,
    card: GenomeCard,
}

/// A file as the file system knows it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    path: PathBuf,
    bytes: u64,
    modified_ns: u64,
}

impl Key {
    /// The key of a regular file, none of a stream.
    fn of(path: &Path) -> Option<Key> {
        if path == Path::new(STDIN) {
            return None;
        }
        let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file())?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let modified_ns = u64::try_from(modified.as_nanos()).ok()?;
        Some(Key { path: fs::canonicalize(path).ok()?, bytes: metadata.len(), modified_ns })
    }
}

/// Opens the .2bit file of FASTA inputs, converting them first where the cache does not have them.
pub fn fasta(inputs: &[PathBuf], cache: &Path) -> Result<(TwoBit, GenomeCard)> {
    let keys: Vec<Option<Key>> = inputs.iter().map(|path| Key::of(path)).collect();
    if let Some((name, entry)) = find(inputs, &keys, cache)?
        && let Some(store) = open_stored(&cache.join(format!("{name}.2bit")), &entry)
    {
        return Ok((store, entry.card));
    }

    // Inputs are opened one after the other; a path that is not there is told before the first is read.
    for path in inputs.iter().filter(|path| path.as_path() != Path::new(STDIN)) {
        fs::metadata(path).map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
    }
    create(cache)?;
    let unwritable = |source| Error::File { action: "write", path: cache.to_path_buf(), source };
    let mut converter = Converter::new(BufWriter::with_capacity(1 << 20, scratch(cache)?));
    for path in inputs {
        converter.read(Input::open(path)?, path.display().to_string(), &unwritable)?;
    }
    let done = converter.finish();

    let mut records = done.records.into_inner().map_err(|error| unwritable(error.into_error()))?;
    records.rewind().map_err(unwritable)?;
    let name = name_of(&done.files);
    let path = cache.join(format!("{name}.2bit"));
    let mut stored_bytes = done.head.len() as u64;
    whole::write(&path, |out| {
        out.write_all(&done.head)?;
        stored_bytes += io::copy(&mut records, out)?;
        Ok(())
    })?;
    let entry = Entry { format: FORMAT, stored_bytes, inputs: keys, card: GenomeCard::new(done.files, done.contigs) };
    write_entry(&entry, &name, cache)?;
    Ok((TwoBit::open(&path)?, entry.card))
}

/// Opens a .2bit file as it is. What it holds is counted once and remembered in the cache.
pub fn twobit(path: &Path, cache: &Path) -> Result<(TwoBit, GenomeCard)> {
    let inputs = [path.to_path_buf()];
    let keys = [Key::of(path)];
    let store = TwoBit::open(path)?;
    if let Some((_, entry)) = find(&inputs, &keys, cache)?
        && holds(&store, &entry.card)
    {
        return Ok((store, entry.card));
    }
    let contigs = (0..store.contigs()).map(|i| count(&store, i)).collect();
    let Fingerprint { bytes, sha256 } = fingerprint(path)?;
    let files = vec![FileCard { path: path.display().to_string(), bytes, sha256 }];
    let name = name_of(&files);
    let [key] = keys;
    let entry = Entry { format: FORMAT, stored_bytes: bytes, inputs: vec![key], card: GenomeCard::new(files, contigs) };
    create(cache)?;
    write_entry(&entry, &name, cache)?;
    Ok((store, entry.card))
}

/// The stored genome of files with these hashes, whether the files are still there or not; none where the cache has none.
pub fn stored(files: &[FileCard], cache: &Path) -> Option<(TwoBit, GenomeCard)> {
    let name = name_of(files);
    let entry: Entry = serde_json::from_slice(&fs::read(cache.join(format!("{name}.json"))).ok()?).ok()?;
    let same = entry.format == FORMAT
        && entry.card.files.iter().map(|file| &file.sha256).eq(files.iter().map(|file| &file.sha256));
    let store = open_stored(&cache.join(format!("{name}.2bit")), &entry).filter(|_| same)?;
    Some((store, entry.card))
}

/// Looks for inputs in the cache: by path, size and time, then by size and hash. A cache that cannot be read has nothing.
fn find(inputs: &[PathBuf], keys: &[Option<Key>], cache: &Path) -> Result<Option<(String, Entry)>> {
    let Some(keys) = keys.iter().cloned().collect::<Option<Vec<Key>>>() else { return Ok(None) };
    let mut of_same_size = Vec::new();
    for path in fs::read_dir(cache).into_iter().flatten().flatten().map(|file| file.path()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else { continue };
        let entry: Option<Entry> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let Some(mut entry) = entry.filter(|entry| entry.format == FORMAT) else { continue };
        let same = |(stored, key): (&Option<Key>, &Key)| stored.as_ref() == Some(key);
        if entry.inputs.len() == keys.len() && entry.inputs.iter().zip(&keys).all(same) {
            rename_files(&mut entry.card, inputs);
            return Ok(Some((name.to_owned(), entry)));
        }
        let sizes = entry.card.files.iter().map(|file| file.bytes);
        if entry.card.files.len() == keys.len() && sizes.eq(keys.iter().map(|key| key.bytes)) {
            of_same_size.push((name.to_owned(), entry));
        }
    }
    if of_same_size.is_empty() {
        return Ok(None);
    }
    let hashes: Vec<String> =
        inputs.iter().map(|path| Ok(fingerprint(path)?.sha256)).collect::<Result<Vec<String>>>()?;
    let same = |entry: &Entry| entry.card.files.iter().map(|file| &file.sha256).eq(&hashes);
    let Some((name, mut entry)) = of_same_size.into_iter().find(|(_, entry)| same(entry)) else { return Ok(None) };
    // The same content in another place, or touched: remembered, so that the next time needs no hash.
    entry.inputs = keys.into_iter().map(Some).collect();
    rename_files(&mut entry.card, inputs);
    write_entry(&entry, &name, cache)?;
    Ok(Some((name, entry)))
}

fn rename_files(card: &mut GenomeCard, inputs: &[PathBuf]) {
    card.files.iter_mut().zip(inputs).for_each(|(file, path)| file.path = path.display().to_string());
}

/// The stored file of an entry, if it is whole.
fn open_stored(path: &Path, entry: &Entry) -> Option<TwoBit> {
    if fs::metadata(path).ok()?.len() != entry.stored_bytes {
        return None;
    }
    TwoBit::open(path).ok().filter(|store| holds(store, &entry.card))
}

fn holds(store: &TwoBit, card: &GenomeCard) -> bool {
    let stored = (0..store.contigs()).map(|i| (store.name(i), store.bases(i)));
    stored.eq(card.contigs.iter().map(|contig| (contig.name.as_str(), contig.composition.bases)))
}

fn count(store: &TwoBit, contig: usize) -> ContigCard {
    let bases = store.bases(contig);
    let segments = acgt_segments(store, contig);
    let known: u64 = segments.iter().map(|segment| segment.end - segment.start).sum();
    let composition = Composition {
        bases,
        n: bases - known,
        other: Default::default(),
        soft_masked: store.masked(contig, 0..bases).map(|run| run.end - run.start).sum(),
        gc: segments.into_iter().map(|segment| store.gc(contig, segment)).sum(),
    };
    ContigCard { name: store.name(contig).to_owned(), composition }
}

/// The hash of one file, or of the hashes of several.
fn name_of(files: &[FileCard]) -> String {
    match files {
        [file] => file.sha256.clone(),
        files => {
            let mut hash = Sha256::new();
            files.iter().for_each(|file| hash.update(&file.sha256));
            hex(&hash.finalize())
        }
    }
}

fn write_entry(entry: &Entry, name: &str, cache: &Path) -> Result<()> {
    whole::write(&cache.join(format!("{name}.json")), |out| Ok(serde_json::to_writer_pretty(out, entry)?))
}

fn create(cache: &Path) -> Result<()> {
    fs::create_dir_all(cache).map_err(|source| Error::File { action: "create", path: cache.to_path_buf(), source })
}

/// A file without a name, for the records of a genome until the table before them is known.
fn scratch(cache: &Path) -> Result<File> {
    tempfile::tempfile_in(cache).map_err(|source| Error::File { action: "create", path: cache.to_path_buf(), source })
}

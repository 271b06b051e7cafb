//! A stream of text from a file or standard input, plain or compressed, hashed while it is read.
//!
//! What a file is, its first bytes say, not its name: gzip and bgzip (which is gzip in many members) are unpacked, other packings are named.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::GzHeader;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::io::malformed;

/// The name that stands for standard input.
pub const STDIN: &str = "-";

/// The empty block that ends every whole bgzip file (SAM specification, 4.1.2).
const BGZIP_END: [u8; LAST] =
    [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0, 0x1b, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Bytes of a file's end that are kept.
const LAST: usize = 28;

const BUFFER: usize = 1 << 18;

/// What was read: how many bytes, and their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Bytes of the file as it lies on disk, packed if it is packed.
    pub bytes: u64,
    /// Their SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A source that hashes what passes, and remembers the end of it.
struct Watched {
    source: Box<dyn Read + Send>,
    hash: Sha256,
    bytes: u64,
    last: [u8; LAST],
}

impl Read for Watched {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(out)?;
        let new = &out[..count];
        self.hash.update(new);
        self.bytes += count as u64;
        let kept = LAST.saturating_sub(count);
        self.last.copy_within(LAST - kept.., 0);
        self.last[kept..].copy_from_slice(&new[count - (LAST - kept)..]);
        Ok(count)
    }
}

enum Packing {
    Plain(BufReader<Watched>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<Watched>>>>),
}

/// An open input: unpacked bytes to read, and the hash of the packed ones.
pub struct Input {
    path: PathBuf,
    packing: Packing,
}

/// True for standard input, and for what is no file: it can be read once only.
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new(STDIN) || path.metadata().is_ok_and(|data| !data.is_file())
}

impl Input {
    /// Opens a file, or standard input for [`STDIN`].
    ///
    /// # Errors
    /// The file cannot be opened, or is packed in a way that is not read.
    pub fn open(path: &Path) -> Result<Input> {
        if path == Path::new(STDIN) {
            return Input::from_reader(PathBuf::from("standard input"), io::stdin());
        }
        let file =
            File::open(path).map_err(|source| Error::File { action: "read", path: path.to_path_buf(), source })?;
        Input::from_reader(path.to_path_buf(), file)
    }

    /// An input over any source of bytes; `path` is what errors call it.
    ///
    /// # Errors
    /// The first bytes cannot be read, or are those of a packing that is not read.
    pub fn from_reader(path: PathBuf, source: impl Read + Send + 'static) -> Result<Input> {
        let watched = Watched { source: Box::new(source), hash: Sha256::new(), bytes: 0, last: [0; LAST] };
        let mut packed = BufReader::with_capacity(BUFFER, watched);
        let head = packed.fill_buf().map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
        if let Some((packing, tool)) = other_packing(head) {
            let name = path.display().to_string();
            let got = format!("{packing} data");
            let hint = format!("unpack it on the way in: `{tool} {name} | tatabox … -`");
            return Err(malformed(&path, "", "plain, gzip or bgzip text", got, hint));
        }
        let packing = if head.starts_with(&[0x1f, 0x8b]) {
            Packing::Gzip(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(packed))))
        } else {
            Packing::Plain(packed)
        };
        Ok(Input { path, packing })
    }

    /// What errors call this input.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next unpacked bytes, empty at the end. `place` says where in the text that is, for errors.
    ///
    /// # Errors
    /// The source cannot be read, or its gzip data is torn.
    pub fn fill(&mut self, place: impl Fn() -> String) -> Result<&[u8]> {
        // Asked twice because a borrow that is returned cannot also be looked at; the second time finds the buffer filled.
        let failed = match &mut self.packing {
            Packing::Plain(text) => text.fill_buf().err(),
            Packing::Gzip(text) => match text.fill_buf().map(<[u8]>::is_empty) {
                Ok(ended) => (ended && lacks_its_end(text.get_ref())).then(|| io::ErrorKind::UnexpectedEof.into()),
                Err(error) => Some(error),
            },
        };
        if let Some(error) = failed {
            return Err(self.read_error(error, place()));
        }
        let filled = match &mut self.packing {
            Packing::Plain(text) => text.fill_buf(),
            Packing::Gzip(text) => text.fill_buf(),
        };
        filled.map_err(|source| Error::File { action: "read", path: self.path.clone(), source })
    }

    /// All that is left, unpacked.
    ///
    /// # Errors
    /// The source cannot be read, or its gzip data is torn.
    pub fn read_all(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let new = self.fill(String::new)?;
            let count = new.len();
            if count == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(new);
            self.consume(count);
        }
    }

    /// Marks bytes of the last [`Input::fill`] as read.
    pub fn consume(&mut self, count: usize) {
        match &mut self.packing {
            Packing::Plain(text) => text.consume(count),
            Packing::Gzip(text) => text.consume(count),
        }
    }

    /// Reads what is left and says what the whole was.
    ///
    /// # Errors
    /// The source cannot be read.
    pub fn finish(mut self) -> Result<Fingerprint> {
        let watched = match &mut self.packing {
            Packing::Plain(text) => text.get_mut(),
            Packing::Gzip(text) => text.get_mut().get_mut().get_mut(),
        };
        io::copy(watched, &mut io::sink()).map_err(|source| Error::File {
            action: "read",
            path: self.path.clone(),
            source,
        })?;
        Ok(Fingerprint { bytes: watched.bytes, sha256: hex(&watched.hash.finalize_reset()) })
    }

    fn read_error(&self, error: io::Error, place: String) -> Error {
        let packed = matches!(self.packing, Packing::Gzip(_));
        match error.kind() {
            io::ErrorKind::UnexpectedEof if packed => malformed(
                &self.path,
                place,
                "more gzip data",
                "the end of the file",
                "the file was cut short; copy or download it again (`gzip -t` checks it)",
            ),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if packed => malformed(
                &self.path,
                place,
                "whole gzip data",
                format!("damaged data ({error})"),
                "copy or download the file again (`gzip -t` checks it)",
            ),
            _ => Error::File { action: "read", path: self.path.clone(), source: error },
        }
    }
}

/// The hash of a file as it lies on disk.
///
/// # Errors
/// The file cannot be read.
pub fn fingerprint(path: &Path) -> Result<Fingerprint> {
    let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
    let file = File::open(path).map_err(failed)?;
    let mut watched = Watched { source: Box::new(file), hash: Sha256::new(), bytes: 0, last: [0; LAST] };
    let mut buffer = vec![0; BUFFER];
    while watched.read(&mut buffer).map_err(failed)? > 0 {}
    Ok(Fingerprint { bytes: watched.bytes, sha256: hex(&watched.hash.finalize()) })
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// True if the member of gzip that was read last is a block of bgzip and not the one that ends a whole file. The last, because bgzip and gzip are
/// both gzip, and files of either kind may be joined with `cat`.
fn lacks_its_end(decoder: &MultiGzDecoder<BufReader<Watched>>) -> bool {
    let blocked = decoder.header().and_then(GzHeader::extra).is_some_and(|extra| extra.starts_with(b"BC"));
    blocked && decoder.get_ref().get_ref().last != BGZIP_END
}

fn other_packing(head: &[u8]) -> Option<(&'static str, &'static str)> {
    [
        (&b"PK\x03\x04"[..], ("zip", "unzip -p")),
        (b"BZh", ("bzip2", "bzip2 -dc")),
        (b"\xfd7zXZ\0", ("xz", "xz -dc")),
        (b"\x28\xb5\x2f\xfd", ("zstd", "zstd -dc")),
        (b"CRAM", ("CRAM", "samtools fasta")),
    ]
    .into_iter()
    .find_map(|(magic, packing)| head.starts_with(magic).then_some(packing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// One bgzip block: gzip with the block's size in an extra field.
    fn bgzip_block(text: &[u8]) -> Vec<u8> {
        let plain = gzip(text);
        let mut block = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0];
        block.extend(((plain.len() + 8 - 1) as u16).to_le_bytes());
        block.extend(&plain[10..]);
        block
    }

    fn read(bytes: Vec<u8>) -> Result<Vec<u8>> {
        let mut input = Input::from_reader("a.fa".into(), io::Cursor::new(bytes))?;
        let mut text = Vec::new();
        loop {
            let count = {
                let new = input.fill(String::new)?;
                text.extend_from_slice(new);
                new.len()
            };
            if count == 0 {
                return Ok(text);
            }
            input.consume(count);
        }
    }

    #[test]
    fn unpacks_gzip_of_one_and_of_many_members() {
        assert_eq!(read(b">a\nACGT".to_vec()).unwrap(), b">a\nACGT");
        assert_eq!(read(gzip(b">a\nACGT")).unwrap(), b">a\nACGT");
        assert_eq!(read([gzip(b">a\nAC"), gzip(b"GT\n")].concat()).unwrap(), b">a\nACGT\n");
        let blocks = [bgzip_block(b">a\nAC"), bgzip_block(b"GT\n"), BGZIP_END.to_vec()].concat();
        assert_eq!(read(blocks).unwrap(), b">a\nACGT\n");
    }

    #[test]
    fn refuses_gzip_cut_at_any_byte() {
        let whole = gzip(b">a\nACGTTTGACCAGT\n");
        for length in 2..whole.len() {
            let error = read(whole[..length].to_vec()).unwrap_err();
            assert!(error.to_string().contains("the end of the file"), "{length}: {error}");
            assert!(error.hint().unwrap().contains("cut short"));
        }
    }

    #[test]
    fn refuses_bgzip_cut_between_two_blocks() {
        let cut = [bgzip_block(b">a\nAC"), bgzip_block(b"GT\n")].concat();
        assert!(read(cut.clone()).unwrap_err().hint().unwrap().contains("cut short"));
        assert!(read([gzip(b">b\nGG\n"), cut].concat()).unwrap_err().hint().unwrap().contains("cut short"));
    }

    #[test]
    fn unpacks_gzip_and_bgzip_joined_in_either_order() {
        let whole = || [bgzip_block(b">a\nAC"), bgzip_block(b"GT\n"), BGZIP_END.to_vec()].concat();
        assert_eq!(read([whole(), gzip(b">b\nGG\n")].concat()).unwrap(), b">a\nACGT\n>b\nGG\n");
        assert_eq!(read([gzip(b">b\nGG\n"), whole()].concat()).unwrap(), b">b\nGG\n>a\nACGT\n");
        assert_eq!(read([whole(), whole()].concat()).unwrap(), b">a\nACGT\n>a\nACGT\n");
    }

    #[test]
    fn says_that_damaged_gzip_is_damaged() {
        let mut damaged = gzip(&b">a\nACGTTTGACCAGT\n".repeat(40));
        let crc = damaged.len() - 8;
        damaged[crc] ^= 1;
        assert!(read(damaged).unwrap_err().to_string().contains("damaged data"));
    }

    #[test]
    fn names_a_packing_that_it_does_not_read() {
        let error = read(b"\xfd7zXZ\0...".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "`a.fa`: expected plain, gzip or bgzip text, got xz data");
        assert!(error.hint().unwrap().contains("xz -dc a.fa | tatabox"));
    }

    #[test]
    fn hashes_the_bytes_as_they_lie_on_disk() {
        let packed = gzip(b">a\nACGT\n");
        let expected = hex(&Sha256::digest(&packed));
        let found = Input::from_reader("a".into(), io::Cursor::new(packed.clone())).unwrap().finish().unwrap();
        assert_eq!(found, Fingerprint { bytes: packed.len() as u64, sha256: expected });
    }
}

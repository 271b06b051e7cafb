//! Scalars as TensorBoard event files: `tensorboard --logdir runs` shows them beside those of any other program.
//!
//! An event file is a sequence of TFRecords (a length, its checksum, the data, its checksum; little-endian), each a protobuf message
//! `Event` of TensorFlow's `event.proto` and `summary.proto`. Three of its forms are written, by hand: the file's version, a scalar, and
//! the mark that a run goes on from a step. Readers skip a record that a kill has torn, so the file is appended to as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// Writes one event file.
///
/// # Examples
/// ```
/// use tatabox::tensorboard::EventWriter;
///
/// let run = tempfile::tempdir()?;
/// let mut events = EventWriter::create(run.path())?;
/// events.scalar("loss/train", 100, 6.25, 1.7e9)?;
/// events.flush()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventWriter {
    out: BufWriter<File>,
    path: PathBuf,
}

impl EventWriter {
    /// Begins a new event file in a directory, which is made if it is not there; files of the same run are shown as one.
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let process = std::process::id();
        // Readers take the files of a directory in the order of their names; two of one second and process differ in the last number.
        for number in 0.. {
            let path = dir.join(format!("events.out.tfevents.{:010}.tatabox.{process}.{number:03}", now.as_secs()));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut writer = Self { out: BufWriter::new(file), path };
                    writer.record(&event(now.as_secs_f64(), 0, 3, b"brain.Event:2"))?;
                    writer.flush()?;
                    return Ok(writer);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::file("create", path)(error)),
            }
        }
        unreachable!("a free number was found before")
    }

    /// Begins a new event file of a run that goes on after `step`: what earlier files say of later steps is no longer shown.
    pub fn resume(dir: &Path, step: u64, wall_time: f64) -> Result<Self> {
        let mut writer = Self::create(dir)?;
        // Event.session_log = 7 holds SessionLog.status = 1, and START is 1. The mark forgets its own step too, so it names the next.
        writer.record(&event(wall_time, step + 1, 7, &[0x08, 0x01]))?;
        writer.flush()?;
        Ok(writer)
    }

    /// Adds a value of the curve `tag` (`loss/train`; the part before the slash groups curves), at a step and a time in seconds since 1970.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32, wall_time: f64) -> Result<()> {
        let mut entry = Vec::new(); // Summary.Value: tag = 1, simple_value = 2
        bytes_field(&mut entry, 1, tag.as_bytes());
        entry.push(2 << 3 | 5);
        entry.extend(value.to_le_bytes());
        let mut summary = Vec::new(); // Summary: value = 1
        bytes_field(&mut summary, 1, &entry);
        self.record(&event(wall_time, step, 5, &summary))
    }

    /// Hands what was added to the system, so that a running TensorBoard sees it.
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(Error::file("write", &self.path))
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a TFRecord.
    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.out.write_all(&record).map_err(Error::file("write", &self.path))
    }
}

/// An `Event`: wall_time = 1, step = 2, and one field of bytes.
fn event(wall_time: f64, step: u64, field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![1 << 3 | 1];
    out.extend(wall_time.to_le_bytes());
    out.push(2 << 3);
    varint(&mut out, step);
    bytes_field(&mut out, field, content);
    out
}

/// A protobuf field of bytes, a string or a message.
fn bytes_field(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// A protobuf variable-length integer: seven bits a byte, lowest first.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// CRC-32C as TFRecords store it: rotated and shifted, since a checksum of data that holds checksums is weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), bit by bit: events are a few dozen bytes.
fn crc32c(data: &[u8]) -> u32 {
    let fold = |crc: u32| (0..8).fold(crc, |crc, _| crc >> 1 ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()));
    !data.iter().fold(!0, |crc, byte| fold(crc ^ u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data of the records of a file, checksums checked.
    fn records(path: &Path) -> Vec<Vec<u8>> {
        let bytes = fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let crc = |place: usize| u32::from_le_bytes(rest[place..place + 4].try_into().unwrap());
            assert_eq!(crc(8), masked_crc(&rest[..8]));
            assert_eq!(crc(12 + length), masked_crc(&rest[12..12 + length]));
            found.push(rest[12..12 + length].to_vec());
            rest = &rest[16 + length..];
        }
        found
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA); // RFC 3720, B.4
        // A length of 72 bytes and its checksum, as tensorboard 2.21's own writer begins a file.
        assert_eq!(masked_crc(&72u64.to_le_bytes()), 0x9D48_92FE);
    }

    #[test]
    fn a_scalar_is_the_bytes_of_its_message() {
        let run = tempfile::tempdir().unwrap();
        let mut events = EventWriter::create(run.path()).unwrap();
        events.scalar("loss", 300, 0.5, 2.0).unwrap();
        events.flush().unwrap();
        let records = records(events.path());
        assert_eq!(records[0][9..], *b"\x10\x00\x1A\x0Dbrain.Event:2");
        let expected: &[u8] = b"\x09\0\0\0\0\0\0\0\x40\x10\xAC\x02\x2A\x0D\x0A\x0B\x0A\x04loss\x15\0\0\0\x3F";
        assert_eq!(records[1], expected);
        assert_eq!(records.len(), 2);
    }

    #[test]
    fn a_run_that_goes_on_writes_a_second_file_with_its_mark() {
        let run = tempfile::tempdir().unwrap();
        let first = EventWriter::create(run.path()).unwrap();
        let second = EventWriter::resume(run.path(), 40, 2.0).unwrap();
        assert!(first.path() < second.path(), "{:?} {:?}", first.path(), second.path());
        assert_eq!(records(second.path())[1], b"\x09\0\0\0\0\0\0\0\x40\x10\x29\x3A\x02\x08\x01");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join("file"), "").unwrap();
        let error = EventWriter::create(&run.path().join("file/run")).unwrap_err().to_string();
        assert!(error.starts_with("cannot create `") && error.contains("file/run"), "{error}");
    }
}

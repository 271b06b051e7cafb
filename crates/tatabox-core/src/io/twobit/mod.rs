//! UCSC's .2bit files: a genome at two bits a base, with its runs of N and its soft-masked repeats apart.
//!
//! The format is specified at <https://genome.ucsc.edu/FAQ/FAQformat.html#format7>. All numbers are 32 bits, in the writer's byte order:
//!
//! ```text
//! header   signature 0x1A412743, version (0; 1 has 64-bit offsets), contigs, 0
//! index    of each contig: length of its name (one byte), name, offset of its record
//! record   bases, N blocks, their starts, their sizes, masked blocks, their starts, their sizes, 0, packed bases
//! ```
//! Four bases a byte, the first in the highest bits; T = 0, C = 1, A = 2, G = 3.

mod read;
mod write;

pub use read::TwoBit;
pub use write::{ContigWriter, TwoBitWriter};

/// The first four bytes of a .2bit file, in the byte order of its writer.
pub const SIGNATURE: u32 = 0x1A41_2743;

/// True if a file that starts so is a .2bit file of either byte order.
pub fn is_twobit(head: &[u8]) -> bool {
    head.starts_with(&SIGNATURE.to_le_bytes()) || head.starts_with(&SIGNATURE.to_be_bytes())
}

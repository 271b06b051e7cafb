//! AMX's tile instructions for processors that lack them, by the signal that they raise there.
//!
//! Written after Intel's manual (SDM volume 2, "TDPBF16PS", "TILELOADD", "LDTILECFG"). Each thread has eight tiles of its own.
#![allow(unsafe_code)] // A signal handler that does what the processor would.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Tile products that were emulated, by all threads.
pub static PRODUCTS: AtomicU64 = AtomicU64::new(0);

/// Whether the processor itself takes configurations, so that this never sees one, and tiles are of full size.
static CONFIGURED: AtomicBool = AtomicBool::new(false);

struct Tiles {
    configured: bool,
    rows: [u8; 8],
    /// Bytes of a row.
    row_bytes: [u16; 8],
    data: [[u8; 1024]; 8],
}

// Constant and without a destructor, so that a signal handler may reach it: nothing is allocated or registered on first use.
thread_local!(static TILES: UnsafeCell<Tiles> =
    const { UnsafeCell::new(Tiles { configured: false, rows: [0; 8], row_bytes: [0; 8], data: [[0; 1024]; 8] }) });

/// From here on, all threads of this process have tiles. A processor with tiles of its own that the process may not use (`has_own`) executes
/// LDTILECFG and raises the signal at the others.
pub fn install(has_own: bool) {
    CONFIGURED.store(has_own, Relaxed);
    // SAFETY: the handler only touches its thread's tiles, registers and the memory that the instruction names.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_illegal_instruction;
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
    }
}

extern "C" fn on_illegal_instruction(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid context; `execute` reads an instruction that the processor has just read.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let mut executed = 0;
        // Tile instructions come in rows: one signal serves all up to the next of another kind.
        while let Some(length) = execute(registers) {
            registers[libc::REG_RIP as usize] += length as i64;
            executed += 1;
        }
        if executed == 0 {
            // Not ours: let it happen again, and end the process as it should.
            libc::signal(libc::SIGILL, libc::SIG_DFL);
        }
    }
}

/// A general register by its number in machine code.
fn register(registers: &[i64; 23], number: u8) -> i64 {
    use libc::*;
    const ORDER: [i32; 16] = [
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
        REG_R12, REG_R13, REG_R14, REG_R15,
    ];
    registers[ORDER[number as usize] as usize]
}

/// A memory operand.
struct Place {
    /// Base and displacement.
    start: i64,
    /// Index times scale: the bytes between rows.
    stride: i64,
    /// Bytes of ModRM, SIB and displacement.
    length: usize,
}

/// Executes the tile instruction at RIP and returns its length; none if there is another.
unsafe fn execute(registers: &[i64; 23]) -> Option<usize> {
    let code = registers[libc::REG_RIP as usize] as *const u8;
    // SAFETY: each byte is read only if those before it announce it.
    let byte = |at: usize| unsafe { *code.add(at) };
    // Three-byte VEX of map 0F38, W0, 128 bits: C4, ~R ~X ~B map, W ~vvvv L pp.
    if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || byte(2) & 0x84 != 0 {
        return None;
    }
    let extended = |bit: u8| u8::from(byte(1) & bit == 0) << 3;
    let (third, prefix, opcode, modrm) = ((!byte(2) >> 3) & 15, byte(2) & 3, byte(3), byte(4));
    let (is_memory, reg, rm) = (modrm >> 6 != 3, (modrm >> 3) & 7, modrm & 7);
    let place = || {
        let mode = modrm >> 6;
        let (mut length, mut stride, mut has_base, mut base) = (1, 0, true, rm | extended(0x20));
        if rm == 4 {
            let sib = byte(5);
            length = 2;
            let index = ((sib >> 3) & 7) | extended(0x40);
            stride = if index == 4 { 0 } else { register(registers, index) << (sib >> 6) };
            base = (sib & 7) | extended(0x20);
            has_base = !(mode == 0 && sib & 7 == 5);
        }
        assert!(rm == 4 || !(mode == 0 && rm == 5), "an operand relative to RIP, which amx.rs has none of");
        let displacement = match mode {
            1 => i64::from(byte(4 + length) as i8),
            2 => i64::from(word(code, 4 + length)),
            _ if !has_base => i64::from(word(code, 4 + length)),
            _ => 0,
        };
        let start = displacement + if has_base { register(registers, base) } else { 0 };
        length += [if has_base { 0 } else { 4 }, 1, 4][mode as usize];
        Place { start, stride, length }
    };
    TILES.with(|tiles| {
        // SAFETY: the thread's own, and the handler does not interrupt itself.
        let tiles = unsafe { &mut *tiles.get() };
        if !tiles.configured && CONFIGURED.load(Relaxed) {
            (tiles.configured, tiles.rows, tiles.row_bytes) = (true, [16; 8], [64; 8]);
        }
        match (opcode, prefix, is_memory) {
            (0x49, 0, true) if reg == 0 => {
                let place = place();
                // SAFETY: the operand is 64 bytes, as for the instruction.
                configure(tiles, unsafe { &*(place.start as *const [u8; 64]) });
                Some(4 + place.length)
            }
            (0x49, 0, false) if modrm == 0xc0 => {
                tiles.configured = false;
                Some(5)
            }
            _ if !tiles.configured => None,
            (0x49, 3, false) if rm == 0 => {
                tiles.data[reg as usize] = [0; 1024];
                Some(5)
            }
            (0x4b, 2 | 3, true) if rm == 4 => {
                let (place, tile) = (place(), reg as usize);
                let bytes = usize::from(tiles.row_bytes[tile]);
                if prefix == 3 {
                    tiles.data[tile] = [0; 1024];
                }
                for row in 0..usize::from(tiles.rows[tile]) {
                    let memory = (place.start + row as i64 * place.stride) as *mut u8;
                    let data = tiles.data[tile][64 * row..][..bytes].as_mut_ptr();
                    // SAFETY: what the instruction itself would read or write.
                    unsafe {
                        let (from, to) = if prefix == 3 { (memory, data) } else { (data, memory) };
                        std::ptr::copy_nonoverlapping(from, to, bytes);
                    }
                }
                Some(4 + place.length)
            }
            (0x5c, 2, false) => {
                PRODUCTS.fetch_add(1, Relaxed);
                // SAFETY: AMX is offered only where AVX-512 and fused multiply-add are.
                unsafe { multiply(tiles, reg as usize, rm as usize, third as usize) };
                Some(5)
            }
            _ => None,
        }
    })
}

fn word(code: *const u8, at: usize) -> i32 {
    // SAFETY: part of the instruction, as ModRM says.
    unsafe { code.add(at).cast::<i32>().read_unaligned() }
}

fn configure(tiles: &mut Tiles, config: &[u8; 64]) {
    assert_eq!((config[0], config[1]), (1, 0), "palette 1 from its first row");
    for tile in 0..8 {
        tiles.row_bytes[tile] = u16::from_le_bytes([config[16 + 2 * tile], config[17 + 2 * tile]]);
        tiles.rows[tile] = config[48 + tile];
        assert!(tiles.row_bytes[tile] <= 64 && tiles.rows[tile] <= 16, "tile {tile} is too large");
    }
    tiles.data = [[0; 1024]; 8];
    tiles.configured = true;
}

/// Denormals are zero, before and after (DAZ = FTZ = 1).
#[inline(always)]
fn flush(value: f32) -> f32 {
    if value.is_subnormal() { 0.0 } else { value }
}

/// TDPBF16PS: even and odd elements of the depth are summed apart, then together, then to what is there.
#[target_feature(enable = "avx512f,fma")]
fn multiply(tiles: &mut Tiles, out: usize, a: usize, b: usize) {
    let (rows, columns) = (usize::from(tiles.rows[out]), usize::from(tiles.row_bytes[out]) / 4);
    let depth = usize::from(tiles.row_bytes[a]) / 4;
    assert!(rows == usize::from(tiles.rows[a]) && depth == usize::from(tiles.rows[b]));
    assert_eq!(columns, usize::from(tiles.row_bytes[b]) / 4);
    let bf16 = |tile: &[u8; 1024], row: usize, at: usize| {
        let at = 64 * row + 2 * at;
        flush(f32::from_bits(u32::from(u16::from_le_bytes([tile[at], tile[at + 1]])) << 16))
    };
    let (a, b) = (tiles.data[a], tiles.data[b]);
    for row in 0..rows {
        let (mut even, mut odd) = ([0f32; 16], [0f32; 16]);
        for k in 0..depth {
            let (a_even, a_odd) = (bf16(&a, row, 2 * k), bf16(&a, row, 2 * k + 1));
            for column in 0..columns {
                even[column] = flush(a_even.mul_add(bf16(&b, k, 2 * column), even[column]));
                odd[column] = flush(a_odd.mul_add(bf16(&b, k, 2 * column + 1), odd[column]));
            }
        }
        for column in 0..columns {
            let place = &mut tiles.data[out][64 * row + 4 * column..][..4];
            let before = flush(f32::from_le_bytes([place[0], place[1], place[2], place[3]]));
            let sum = flush(before + flush(even[column] + odd[column]));
            place.copy_from_slice(&sum.to_le_bytes());
        }
    }
}

//! Tiles of bf16 by inline assembly: Intel's AMX from stable Rust, whose intrinsics are not stable yet (rust-lang/rust#126622).
//!
//! One call computes a 32 x 32 block of C in four tile accumulators. `a` is 32 rows, any stride apart: 16 rows of 32 columns are a tile. `b` is packed `[depth / 2, 32 columns, 2]`: pairs of rows interleaved (VNNI order), 16 pairs and 16 columns are a tile, row stride 128 bytes.
#![allow(unsafe_code)] // Inline assembly on panels; lengths are checked by `run`.

use super::epilogue::Place;
use super::pack::Panel;
use half::bf16;
use std::arch::asm;
use std::sync::OnceLock;

/// Rows and columns of a block of C.
pub const BLOCK: usize = 32;

/// The depth of one tile product; panels are padded to a multiple.
pub const DEPTH: usize = 32;

/// Set by a test program that emulates the tile instructions (see `tests/amx_emulated`): the processor is then not asked. Release builds do not look.
const EMULATED: &str = "TATABOX_AMX_EMULATED";

#[repr(C, align(64))]
struct TileConfig([u8; 64]);

/// True if the processor has tiles of bf16 and the system lets this process use them.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        (cfg!(debug_assertions) && std::env::var_os(EMULATED).is_some()) || (has_tiles() && is_permitted())
    })
}

fn has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    if __cpuid(0).eax < 7 {
        return false;
    }
    // Intel SDM: leaf 7, EDX bit 22 is AMX-BF16, bit 24 AMX-TILE.
    let edx = __cpuid_count(7, 0).edx;
    edx & (1 << 22) != 0 && edx & (1 << 24) != 0
}

/// Asks Linux for the use of tile registers, once a process (`arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`).
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    let result: i64;
    // SAFETY: a system call that takes two numbers; it clobbers what is named.
    unsafe {
        asm!("syscall", inlateout("rax") 158i64 => result, in("rdi") 0x1023i64, in("rsi") 18i64, out("rcx") _, out("r11") _);
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// Eight tiles of 16 rows of 64 bytes, once a thread.
fn configure_thread() {
    thread_local!(static CONFIGURED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    if CONFIGURED.get() {
        return;
    }
    let mut config = TileConfig([0; 64]);
    config.0[0] = 1;
    for tile in 0..8 {
        config.0[16 + 2 * tile] = 64;
        config.0[48 + tile] = 16;
    }
    // SAFETY: `Gemm::new` asked `is_available`; the operand is 64 valid bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) config.0.as_ptr(), options(nostack)) };
    CONFIGURED.set(true);
}

/// The micro-kernel of bf16 tiles.
pub struct Tiles;

impl super::micro::MicroKernel<bf16> for Tiles {
    fn block(&self) -> (usize, usize) {
        (BLOCK, BLOCK)
    }
    fn run(&self, depth: usize, a: Panel<bf16>, b: &[bf16], c: Place) {
        run(depth, a, b, c);
    }
}

/// `c[32, 32] = a x b`, or `c += a x b`, over `depth`, a multiple of 32.
fn run(depth: usize, a: Panel<bf16>, b: &[bf16], c: Place) {
    assert!(depth.is_multiple_of(DEPTH) && depth > 0);
    assert!(a.data.len() >= (depth / DEPTH - 1) * a.step + (BLOCK - 1) * a.row + DEPTH);
    assert!(b.len() >= depth * BLOCK && c.shape.0 >= BLOCK && c.shape.1 >= BLOCK);
    configure_thread();
    let (upper, below) = (a.data.as_ptr(), a.data.as_ptr().wrapping_add(16 * a.row));
    let lower = c.data.wrapping_add(16 * c.stride);
    // SAFETY: each step reads 32 columns of 32 rows of `a` and 2 KiB of `b`; `c` has 32 rows of 32; all checked above.
    unsafe {
        asm!(
            "test {add}, {add}", "jnz 3f",
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", "jmp 2f",
            "3:",
            "tileloadd tmm0, [{c} + {sc}*1]", "tileloadd tmm1, [{c} + {sc}*1 + 64]",
            "tileloadd tmm2, [{lower} + {sc}*1]", "tileloadd tmm3, [{lower} + {sc}*1 + 64]",
            "2:",
            "tileloadd tmm4, [{upper} + {sa}*1]",
            "tileloadd tmm6, [{b} + {sb}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {sb}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{below} + {sa}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {upper}, {step}", "add {below}, {step}", "add {b}, 2048", "dec {k}", "jnz 2b",
            "tilestored [{c} + {sc}*1], tmm0", "tilestored [{c} + {sc}*1 + 64], tmm1",
            "tilestored [{lower} + {sc}*1], tmm2", "tilestored [{lower} + {sc}*1 + 64], tmm3",
            upper = inout(reg) upper => _, below = inout(reg) below => _, sa = in(reg) 2 * a.row, step = in(reg) 2 * a.step,
            b = inout(reg) b.as_ptr() => _, sb = in(reg) 128usize, k = inout(reg) depth / DEPTH => _,
            c = in(reg) c.data, lower = in(reg) lower, sc = in(reg) 4 * c.stride, add = in(reg) usize::from(c.add),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack)
        );
    }
}

//! Memory that is allocated once: aligned to cache lines, so that vector and tile loads never cross one, and on large pages where there is much of it.
#![allow(unsafe_code)] // Reading aligned bytes as numbers is the one thing this file does.

use memmap2::MmapMut;

/// A large page of x86-64, and of 64-bit ARM with pages of 4 KB. A training step walks through hundreds of megabytes, and a processor remembers where one or
/// two thousand pages lie (docs/log.md has what it is worth).
const LARGE_PAGE: usize = 2 << 20;

/// 64 bytes: a cache line, an AVX-512 register, a row of an AMX tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A number that any bit pattern is valid for, at most 8 bytes wide.
///
/// # Safety
/// All bit patterns, all zeros among them, are values; there is no padding; the alignment divides 64.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}
// SAFETY: primitive numbers and a transparent wrapper of u16.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for half::bf16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}

/// Bytes that start on a cache line.
enum Memory {
    /// Less than a large page.
    Heap(Vec<Line>),
    /// More: from `start`, which is where a large page starts.
    Mapped { map: MmapMut, start: usize },
}

impl Memory {
    /// At least so many bytes, all zero.
    fn zeros(bytes: usize) -> Self {
        let mapped = if bytes < LARGE_PAGE { None } else { Self::mapped(bytes) };
        mapped.unwrap_or_else(|| Self::Heap(vec![Line([0; 64]); bytes.div_ceil(64)]))
    }

    /// Pages of zeros; none where the system maps no more.
    fn mapped(bytes: usize) -> Option<Self> {
        // Linux before 6.7 starts a mapping on any small page.
        let map = MmapMut::map_anon(bytes.checked_add(LARGE_PAGE)?).ok()?;
        let start = map.as_ptr().align_offset(LARGE_PAGE);
        // Many a Linux gives large pages only to who asks for them. A kernel without any refuses, and small ones do as well.
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(memmap2::Advice::HugePage, start, bytes);
        Some(Self::Mapped { map, start })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Heap(lines) => size_of_val(&lines[..]),
            Self::Mapped { map, start } => map.len() - start,
        }
    }

    fn as_ptr(&self) -> *const u8 {
        match self {
            Self::Heap(lines) => lines.as_ptr().cast(),
            Self::Mapped { map, start } => map[*start..].as_ptr(),
        }
    }

    fn as_mut_ptr(&mut self) -> *mut u8 {
        match self {
            Self::Heap(lines) => lines.as_mut_ptr().cast(),
            Self::Mapped { map, start } => map[*start..].as_mut_ptr(),
        }
    }
}

/// A fixed number of `T`, zero at first, starting on a cache line.
pub struct Buffer<T> {
    memory: Memory,
    len: usize,
    of: std::marker::PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self { memory: Memory::zeros(len * size_of::<T>()), len, of: std::marker::PhantomData }
    }
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { memory: Memory::Heap(Vec::new()), len: 0, of: std::marker::PhantomData }
    }
}

impl<T: Plain> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `memory` holds at least `len * size_of::<T>()` initialised bytes, aligned to 64; any bits are a `T` (`Plain`).
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.len) }
    }
}

/// Scratch memory of the current thread, at least `len` long, with whatever the last user left in it.
///
/// Each thread keeps its scratch, so that the large intermediates of a training step are not allocated anew. Nested calls get different memory.
pub fn with_scratch<T: Plain, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    thread_local! {
        static FREE: std::cell::RefCell<Vec<Memory>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let needed = len * size_of::<T>();
    let found = FREE.with_borrow_mut(|free| {
        // The smallest that is large enough, else the largest, in whose place comes a larger one.
        let best = free
            .iter()
            .enumerate()
            .min_by_key(|(_, memory)| (memory.bytes() < needed, memory.bytes().abs_diff(needed)))
            .map(|(index, _)| index);
        best.map(|index| free.swap_remove(index))
    });
    let memory = found.filter(|memory| memory.bytes() >= needed).unwrap_or_else(|| Memory::zeros(needed));
    let mut buffer = Buffer::<T> { memory, len, of: std::marker::PhantomData };
    let result = work(&mut buffer);
    FREE.with_borrow_mut(|free| free.push(buffer.memory));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_cache_line_and_holds_zeros() {
        let buffer = Buffer::<f32>::zeros(33);
        assert_eq!(buffer.as_ptr() as usize % 64, 0);
        assert_eq!(&buffer[..], &[0.0; 33]);
    }

    #[test]
    fn much_memory_starts_on_a_large_page_and_holds_zeros() {
        let len = 3 * LARGE_PAGE / size_of::<f32>() + 5;
        let mut buffer = Buffer::<f32>::zeros(len);
        assert_eq!(buffer.as_ptr() as usize % LARGE_PAGE, 0);
        assert_eq!(buffer.len(), len);
        assert!(buffer.iter().all(|&value| value == 0.0));
        buffer[len - 1] = 1.0;
        assert_eq!(buffer.iter().sum::<f32>(), 1.0);
    }

    /// Whether the system gives them is its own affair (it may be short of them).
    #[cfg(target_os = "linux")]
    #[test]
    fn large_pages_are_asked_for() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").is_dir() {
            return crate::skipped("this system has no large pages");
        }
        let buffer = Buffer::<f32>::zeros(LARGE_PAGE);
        let start = format!("{:x}-", buffer.as_ptr() as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = maps.lines().skip_while(|line| !line.starts_with(&start)).find(|line| line.starts_with("VmFlags:"));
        assert!(flags.is_some_and(|flags| flags.split(' ').any(|flag| flag == "hg")), "{flags:?} of {start}\n{maps}");
    }

    #[test]
    fn scratch_that_is_too_small_is_replaced() {
        for len in [16, LARGE_PAGE, 16, 2 * LARGE_PAGE] {
            with_scratch(len, |scratch: &mut [f32]| {
                assert_eq!(scratch.len(), len);
                scratch.fill(1.0);
            });
        }
    }

    #[test]
    fn nested_scratch_does_not_overlap() {
        with_scratch(8, |outer: &mut [f32]| {
            outer.fill(1.0);
            with_scratch(8, |inner: &mut [f32]| inner.fill(2.0));
            assert_eq!(outer, &[1.0; 8]);
        });
    }
}

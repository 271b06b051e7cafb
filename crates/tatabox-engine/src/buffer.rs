//! Memory that is allocated once and aligned to cache lines, so that vector and tile loads never cross one.
#![allow(unsafe_code)] // Reading aligned lines as numbers is the one thing this file does.

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

/// A fixed number of `T`, zero at first, starting on a cache line.
#[derive(Clone)]
pub struct Buffer<T> {
    lines: Vec<Line>,
    len: usize,
    of: std::marker::PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let lines = vec![Line([0; 64]); (len * size_of::<T>()).div_ceil(64)];
        Self { lines, len, of: std::marker::PhantomData }
    }
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), len: 0, of: std::marker::PhantomData }
    }
}

impl<T: Plain> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `lines` holds at least `len * size_of::<T>()` initialised bytes, aligned to 64; any bits are a `T` (`Plain`).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Scratch memory of the current thread, at least `len` long, with whatever the last user left in it.
///
/// Each thread keeps its scratch, so that a training step allocates nothing. Nested calls get different memory.
pub fn with_scratch<T: Plain, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    thread_local! {
        static FREE: std::cell::RefCell<Vec<Vec<Line>>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let lines_needed = (len * size_of::<T>()).div_ceil(64);
    let mut lines = FREE.with_borrow_mut(|free| {
        // The smallest that is large enough, else the largest, which then grows.
        let best = free
            .iter()
            .enumerate()
            .min_by_key(|(_, lines)| (lines.len() < lines_needed, lines.len().abs_diff(lines_needed)))
            .map(|(index, _)| index);
        best.map(|index| free.swap_remove(index)).unwrap_or_default()
    });
    if lines.len() < lines_needed {
        lines.resize(lines_needed, Line([0; 64]));
    }
    let mut buffer = Buffer::<T> { lines, len, of: std::marker::PhantomData };
    let result = work(&mut buffer);
    FREE.with_borrow_mut(|free| free.push(buffer.lines));
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
    fn nested_scratch_does_not_overlap() {
        with_scratch(8, |outer: &mut [f32]| {
            outer.fill(1.0);
            with_scratch(8, |inner: &mut [f32]| inner.fill(2.0));
            assert_eq!(outer, &[1.0; 8]);
        });
    }
}

//! Matrix products by cuBLASLt, through its raw interface. The algorithm of each shape is found by measuring the candidates once, and remembered on disk.
#![allow(unsafe_code)] // Every call crosses into C.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::compiler::keep;
use super::driver::{Address, Driver, Event, Memory, Stream};
use super::library::{self, Places, functions};
use crate::element::Precision;
use crate::error::{Error, Result};

type Handle = *mut c_void;

functions! {
    /// The part of cuBLASLt that is used.
    Functions {
        fn version = "cublasLtGetVersion" () -> usize;
        fn create = "cublasLtCreate" (*mut Handle) -> c_int;
        fn destroy = "cublasLtDestroy" (Handle) -> c_int;
        fn matmul = "cublasLtMatmul" (Handle, Handle, *const f32, Address, Handle, Address, Handle, *const f32, Address, Handle, Address, Handle, *const Algorithm, Address, usize, Handle) -> c_int;
        fn create_operation = "cublasLtMatmulDescCreate" (*mut Handle, c_int, c_int) -> c_int;
        fn destroy_operation = "cublasLtMatmulDescDestroy" (Handle) -> c_int;
        fn set_operation = "cublasLtMatmulDescSetAttribute" (Handle, c_int, *const c_void, usize) -> c_int;
        fn create_layout = "cublasLtMatrixLayoutCreate" (*mut Handle, c_int, u64, u64, i64) -> c_int;
        fn destroy_layout = "cublasLtMatrixLayoutDestroy" (Handle) -> c_int;
        fn create_preference = "cublasLtMatmulPreferenceCreate" (*mut Handle) -> c_int;
        fn destroy_preference = "cublasLtMatmulPreferenceDestroy" (Handle) -> c_int;
        fn set_preference = "cublasLtMatmulPreferenceSetAttribute" (Handle, c_int, *const c_void, usize) -> c_int;
        fn heuristic = "cublasLtMatmulAlgoGetHeuristic" (Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Candidate, *mut c_int) -> c_int;
    }
}

/// Numbers of NVIDIA's header, by their names there.
mod number {
    use std::ffi::c_int;
    pub const CUDA_R_32F: c_int = 0;
    pub const CUDA_R_16BF: c_int = 14;
    pub const COMPUTE_32F: c_int = 68;
    pub const TRANSA: c_int = 3;
    pub const TRANSB: c_int = 4;
    pub const EPILOGUE: c_int = 7;
    pub const BIAS_POINTER: c_int = 8;
    pub const BIAS_DATA_TYPE: c_int = 26;
    pub const EPILOGUE_BIAS: c_int = 4;
    pub const MAX_WORKSPACE_BYTES: c_int = 1;
    pub const REDUCTION_SCHEME_MASK: c_int = 3;
    pub const MIN_ALIGNMENT: [c_int; 4] = [5, 6, 7, 8];
    /// Partial sums in the workspace, in f32: the others are kept in the type of the result, which rounds each of them to bf16.
    pub const REDUCTION_IN_F32: u32 = 2;
    /// What it answers where it can do something else, but not this: an invalid value, a mismatch of architectures, not supported.
    pub const NOT_THIS: [c_int; 3] = [7, 8, 15];
}

/// cublasLtMatmulAlgo_t: opaque, may be stored and used again with the same version.
pub(super) type Algorithm = [u64; 8];

/// cublasLtMatmulHeuristicResult_t.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Candidate {
    algorithm: Algorithm,
    workspace: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

/// How many candidates are measured, and how often each.
const CANDIDATES: usize = 8;
const REPEATS: usize = 4;
/// Bytes of workspace: NVIDIA's advice for Hopper.
pub(super) const WORKSPACE: usize = 32 << 20;

/// A row-major matrix in memory: rows lie `stride` numbers apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix {
    pub at: Address,
    pub stride: usize,
    pub precision: Precision,
    pub transposed: bool,
}

impl Matrix {
    /// Rows end to end.
    pub fn new(at: Address, columns: usize, precision: Precision) -> Self {
        Self { at, stride: columns, precision, transposed: false }
    }

    /// The matrix whose rows are this one's columns.
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}

/// `c = scale a b`, or `c += scale a b`; a `[rows, depth]`, b `[depth, columns]`, c `[rows, columns]`. A `bias`, `[columns]` in c's precision, is added to each
/// row of a c that is replaced, whose rows lie end to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub a: Matrix,
    pub b: Matrix,
    pub c: Matrix,
    pub bias: Option<Address>,
    pub scale: f32,
    pub add: bool,
}

/// What an algorithm is good for: sizes that vary with the batch are rounded, so that a few shapes stand for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(String);

impl Key {
    /// Of all products of sizes like these.
    fn of(product: &Product) -> Self {
        Self::with(product, "", rounded)
    }

    /// Of these very sizes.
    fn exact(product: &Product) -> Self {
        Self::with(product, "=", |size| size)
    }

    fn with(product: &Product, mark: &str, size: impl Fn(usize) -> usize) -> Self {
        let of = |matrix: &Matrix| {
            let kind = if matrix.precision == Precision::Bf16 { 'b' } else { 'f' };
            format!("{kind}{}{}", if matrix.transposed { 't' } else { 'n' }, matrix.stride)
        };
        let Product { rows, columns, depth, a, b, c, bias, add, .. } = product;
        let [rows, columns, depth] = [rows, columns, depth].map(|of| size(*of));
        let flags = (u8::from(bias.is_some()), u8::from(*add));
        Key(format!(
            "{mark}{rows}x{columns}x{depth}:{}:{}:{}:{}{}:{}",
            of(a),
            of(b),
            of(c),
            flags.0,
            flags.1,
            product.alignment()
        ))
    }
}

impl Product {
    /// Bytes that every address is a multiple of, at most 256: what cuBLASLt counts on where nobody says less.
    fn alignment(&self) -> u32 {
        let all = self.a.at | self.b.at | self.c.at | self.bias.unwrap_or(0);
        1 << all.trailing_zeros().min(8)
    }

    /// Bytes of c.
    pub fn result_bytes(&self) -> usize {
        self.rows * self.c.stride * bytes_of(self.c.precision)
    }

    fn impossible(&self) -> Error {
        let Self { rows, columns, depth, a, c, .. } = self;
        let with = if self.bias.is_some() { ", with a bias" } else { "" };
        let what = format!(
            "cuBLASLt multiplies no [{rows}, {depth}] by [{depth}, {columns}] ({} to {}{with})",
            a.precision, c.precision
        );
        let hint = "use the other `train.precision`, sizes that are multiples of 8, another version of cuBLAS, or `--device cpu`";
        Error::Cuda { what, hint: hint.to_string() }
    }
}

fn bytes_of(precision: Precision) -> usize {
    if precision == Precision::Bf16 { 2 } else { 4 }
}

/// Eight steps an octave, up.
fn rounded(size: usize) -> usize {
    let step = (size.next_power_of_two() / 16).max(1);
    size.div_ceil(step) * step
}

/// cuBLASLt and what it has learnt.
pub(super) struct Products {
    driver: Arc<Driver>,
    functions: Functions,
    handle: usize,
    /// By sizes that are alike; and by exact sizes, where one of them refuses what its likes have chosen.
    chosen: Mutex<BTreeMap<Key, Algorithm>>,
    /// Exact sizes whose bias no algorithm adds.
    bias_apart: Mutex<BTreeSet<Key>>,
    file: Option<PathBuf>,
}

/// A handle that ends with its scope.
struct Owned {
    at: Handle,
    destroy: unsafe extern "C" fn(Handle) -> c_int,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: created by the function that belongs to `destroy`, destroyed once.
        unsafe { (self.destroy)(self.at) };
    }
}

fn check(code: c_int, doing: &str) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let hint = "another version of cuBLAS may do it: pip install -U nvidia-cublas-cu12 (or nvidia-cublas)".to_string();
    Err(Error::Cuda { what: format!("cuBLASLt failed with status {code} while {doing}"), hint })
}

/// As `check`; false where it does something else, but not this.
fn does_this(code: c_int, doing: &str) -> Result<bool> {
    if number::NOT_THIS.contains(&code) { Ok(false) } else { check(code, doing).map(|()| true) }
}

/// The operation and the layouts of a product, in the words of cuBLASLt.
struct Description {
    operation: Owned,
    a: Owned,
    b: Owned,
    c: Owned,
}

impl Products {
    /// Finds and opens cuBLASLt.
    ///
    /// # Errors
    /// [`Error::Cuda`] where there is none, with the way to get it.
    pub fn open(driver: &Arc<Driver>, card: &str, places: &Places) -> Result<Self> {
        let library = library::open(&library::BLASLT, places, Some(driver.version / 1000))?;
        let functions = Functions::load(library).map_err(|name| Error::Cuda {
            what: format!("{} has no `{name}`: it is too old", library::BLASLT.what),
            hint: library::BLASLT.hint.to_string(),
        })?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: out-pointer to a local; the card's context is current.
        let version = unsafe {
            check((functions.create)(&mut handle), "starting")?;
            (functions.version)()
        };
        let plain: String = card.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let file = places.cache.as_ref().map(|cache| cache.join(format!("products-{plain}-{version}.txt")));
        let remembered = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let chosen = remembered.lines().filter_map(parse).collect();
        Ok(Self {
            driver: driver.clone(),
            functions,
            handle: handle as usize,
            chosen: Mutex::new(chosen),
            bias_apart: Mutex::default(),
            file,
        })
    }

    /// Starts a product. The first time that a shape is met, its candidates are measured: in the result's own place if it is replaced, else in `scratch`, which
    /// must have as many bytes then. Without `scratch` nothing is measured.
    pub fn start(
        &self,
        stream: &Stream,
        workspace: &Memory,
        product: &Product,
        scratch: Option<&Memory>,
    ) -> Result<()> {
        if product.rows == 0 || product.columns == 0 || product.depth == 0 {
            return Ok(());
        }
        let place = scratch.and_then(|scratch| match product.add {
            false => Some(product.c.at),
            true => (scratch.bytes() >= product.result_bytes()).then(|| scratch.at()),
        });
        let exact = Key::exact(product);
        let apart = |of: &Self| of.bias_apart.lock().expect("nobody panics with it").contains(&exact);
        if !(product.bias.is_some() && apart(self)) && self.multiply(stream, workspace, product, place, || Ok(()))? {
            return Ok(());
        }
        let Some(bias) = product.bias else { return Err(product.impossible()) };
        // The result is added to rows of the bias: rounded once, as by an algorithm that adds the bias itself.
        let row = product.columns * bytes_of(product.c.precision);
        let fill = || {
            stream.copy(bias, product.c.at, row)?;
            stream.repeat(product.c.at, row, product.result_bytes())
        };
        if !self.multiply(stream, workspace, &Product { bias: None, add: true, ..*product }, place, fill)? {
            return Err(product.impossible());
        }
        self.bias_apart.lock().expect("nobody panics with it").insert(exact);
        Ok(())
    }

    /// Starts a product after `before`, which may write into the result; false where there is no algorithm for it, and nothing was done then. Candidates are
    /// measured at `place`. What is chosen stays so: for sizes that are alike, and for those among them that refuse it.
    fn multiply(
        &self,
        stream: &Stream,
        workspace: &Memory,
        product: &Product,
        place: Option<Address>,
        before: impl Fn() -> Result<()>,
    ) -> Result<bool> {
        let described = self.describe(product)?;
        let keys = [Key::exact(product), Key::of(product)];
        let known = {
            let chosen = self.chosen.lock().expect("nobody panics with it");
            keys.iter().find_map(|key| chosen.get(key).copied())
        };
        let start = |algorithm: &Algorithm| {
            before()?;
            self.run(stream, workspace, product, &described, product.c.at, algorithm)
        };
        if let Some(algorithm) = known
            && start(&algorithm)?
        {
            return Ok(true);
        }
        let candidates = self.candidates(product, &described, workspace)?;
        let Some(first) = candidates.first() else { return Ok(false) };
        let mut algorithm = first.algorithm;
        if let Some(place) = place {
            algorithm = self.fastest(stream, workspace, product, &described, place, &candidates)?;
            let [exact, alike] = keys;
            self.remember(if known.is_some() { exact } else { alike }, algorithm);
        }
        start(&algorithm)
    }

    /// cuBLASLt counts columns first: what it is asked for is c^T = b^T a^T.
    fn describe(&self, product: &Product) -> Result<Description> {
        let Product { rows, columns, depth, a, b, c, bias, .. } = *product;
        let owned =
            |code: c_int, at: Handle, destroy| check(code, "describing a product").map(|()| Owned { at, destroy });
        let functions = &self.functions;
        let layout = |matrix: Matrix, rows: usize, columns: usize| {
            let (rows, columns) = if matrix.transposed { (columns, rows) } else { (rows, columns) };
            let kind = if matrix.precision == Precision::Bf16 { number::CUDA_R_16BF } else { number::CUDA_R_32F };
            let mut at = std::ptr::null_mut();
            // SAFETY: out-pointer to a local.
            let code =
                unsafe { (functions.create_layout)(&mut at, kind, columns as u64, rows as u64, matrix.stride as i64) };
            owned(code, at, functions.destroy_layout)
        };
        let mut at = std::ptr::null_mut();
        // SAFETY: out-pointer to a local.
        let code = unsafe { (functions.create_operation)(&mut at, number::COMPUTE_32F, number::CUDA_R_32F) };
        let operation = owned(code, at, functions.destroy_operation)?;
        let set = |attribute: c_int, value: *const c_void, size: usize| {
            // SAFETY: the value is a local of that size.
            check(unsafe { (functions.set_operation)(operation.at, attribute, value, size) }, "describing a product")
        };
        let set_number = |attribute: c_int, value: c_int| set(attribute, std::ptr::from_ref(&value).cast(), 4);
        set_number(number::TRANSA, c_int::from(b.transposed))?;
        set_number(number::TRANSB, c_int::from(a.transposed))?;
        if let Some(bias) = bias {
            set_number(number::EPILOGUE, number::EPILOGUE_BIAS)?;
            set(number::BIAS_POINTER, std::ptr::from_ref(&bias).cast(), 8)?;
            let kind = if c.precision == Precision::Bf16 { number::CUDA_R_16BF } else { number::CUDA_R_32F };
            set_number(number::BIAS_DATA_TYPE, kind)?;
        }
        Ok(Description {
            a: layout(b, depth, columns)?,
            b: layout(a, rows, depth)?,
            c: layout(c, rows, columns)?,
            operation,
        })
    }

    /// False where the algorithm is not for this product.
    fn run(
        &self,
        stream: &Stream,
        workspace: &Memory,
        product: &Product,
        described: &Description,
        c: Address,
        algorithm: &Algorithm,
    ) -> Result<bool> {
        let beta = if product.add { 1.0f32 } else { 0.0 };
        // SAFETY: descriptions are alive; the addresses are of matrices of the described sizes, as the caller of `start` vouches by owning them.
        let code = unsafe {
            (self.functions.matmul)(
                self.handle as Handle,
                described.operation.at,
                &product.scale,
                product.b.at,
                described.a.at,
                product.a.at,
                described.b.at,
                &beta,
                c,
                described.c.at,
                c,
                described.c.at,
                algorithm,
                workspace.at(),
                workspace.bytes(),
                stream.handle(),
            )
        };
        does_this(code, "multiplying")
    }

    /// The best first; none where there is no algorithm.
    fn candidates(&self, product: &Product, described: &Description, workspace: &Memory) -> Result<Vec<Candidate>> {
        let functions = &self.functions;
        let mut at = std::ptr::null_mut();
        // SAFETY: out-pointer to a local.
        check(unsafe { (functions.create_preference)(&mut at) }, "asking for algorithms")?;
        let preference = Owned { at, destroy: functions.destroy_preference };
        let (bytes, reduction, alignment) = (workspace.bytes() as u64, number::REDUCTION_IN_F32, product.alignment());
        let mut found = [Candidate::default(); CANDIDATES];
        let mut count = 0;
        // SAFETY: values are locals of the given sizes; there is room for as many candidates as are asked for.
        let code = unsafe {
            let set = |attribute: c_int, value: *const c_void, size: usize| {
                check((functions.set_preference)(preference.at, attribute, value, size), "asking for algorithms")
            };
            set(number::MAX_WORKSPACE_BYTES, std::ptr::from_ref(&bytes).cast(), 8)?;
            set(number::REDUCTION_SCHEME_MASK, std::ptr::from_ref(&reduction).cast(), 4)?;
            for attribute in number::MIN_ALIGNMENT {
                set(attribute, std::ptr::from_ref(&alignment).cast(), 4)?;
            }
            (functions.heuristic)(
                self.handle as Handle,
                described.operation.at,
                described.a.at,
                described.b.at,
                described.c.at,
                described.c.at,
                preference.at,
                CANDIDATES as c_int,
                found.as_mut_ptr(),
                &mut count,
            )
        };
        let count = if does_this(code, "asking for algorithms")? { count.max(0) as usize } else { 0 };
        Ok(found[..count].iter().filter(|one| one.state == 0).copied().collect())
    }

    /// Measures with the result at `place`.
    fn fastest(
        &self,
        stream: &Stream,
        workspace: &Memory,
        product: &Product,
        described: &Description,
        place: Address,
        candidates: &[Candidate],
    ) -> Result<Algorithm> {
        stream.fill(place, 0, product.result_bytes())?;
        let (start, end) = (Event::new(&self.driver, true)?, Event::new(&self.driver, true)?);
        let mut best = (f64::INFINITY, candidates[0].algorithm);
        for candidate in candidates {
            let run = || self.run(stream, workspace, product, described, place, &candidate.algorithm);
            if !run()? {
                continue;
            }
            stream.record_event(&start)?;
            for _ in 0..REPEATS {
                run()?;
            }
            stream.record_event(&end)?;
            end.wait()?;
            let seconds = start.seconds_until(&end)?;
            // A candidate further down the list must be clearly faster: near ties should not change from day to day.
            if seconds < best.0 * 0.98 {
                best = (seconds, candidate.algorithm);
            }
        }
        Ok(best.1)
    }

    fn remember(&self, key: Key, algorithm: Algorithm) {
        let mut chosen = self.chosen.lock().expect("nobody panics with it");
        if let Some(file) = &self.file {
            // Another process may have learnt something meanwhile. A file that cannot be written costs measuring again.
            chosen.insert(key, algorithm);
            learn(&mut chosen, &std::fs::read_to_string(file).unwrap_or_default());
            let lines: Vec<String> = chosen.iter().map(|(key, algorithm)| line(key, algorithm)).collect();
            let _ = keep(file, lines.concat().as_bytes());
        } else {
            chosen.insert(key, algorithm);
        }
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        // SAFETY: created in `open`, destroyed once.
        unsafe { (self.functions.destroy)(self.handle as Handle) };
    }
}

/// Takes over what others have chosen, but for what this process has used: a run that changed its algorithms half-way could not be repeated.
fn learn(chosen: &mut BTreeMap<Key, Algorithm>, text: &str) {
    for (key, algorithm) in text.lines().filter_map(parse) {
        chosen.entry(key).or_insert(algorithm);
    }
}

fn line(key: &Key, algorithm: &Algorithm) -> String {
    let words: Vec<String> = algorithm.iter().map(|word| format!("{word:x}")).collect();
    format!("{} {}\n", key.0, words.join(" "))
}

fn parse(line: &str) -> Option<(Key, Algorithm)> {
    let mut words = line.split(' ');
    let key = Key(words.next()?.to_string());
    let words: Option<Vec<u64>> = words.map(|word| u64::from_str_radix(word, 16).ok()).collect();
    Some((key, words?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_algorithm_is_read_back_and_a_torn_line_is_not() {
        let (key, algorithm) = (Key("8x8x8:bn8:bt8:bn8:00".into()), [1, 2, 3, u64::MAX, 5, 6, 7, 0]);
        let text = line(&key, &algorithm);
        assert_eq!(parse(text.trim_end()), Some((key, algorithm)));
        assert_eq!(parse(&text[..text.len() - 4]), None);
    }

    #[test]
    fn sizes_of_one_key_are_told_apart_where_they_must_be() {
        let matrix = Matrix::new(256, 64, Precision::Bf16);
        let of = |rows: usize| Product {
            rows,
            columns: 64,
            depth: 64,
            a: matrix,
            b: matrix,
            c: matrix,
            bias: None,
            scale: 1.0,
            add: false,
        };
        assert_eq!(Key::of(&of(33)), Key::of(&of(36)));
        assert_ne!(Key::exact(&of(33)), Key::exact(&of(36)));
        // The size that stands for its like is one of them, and may be the one that refuses.
        assert_ne!(Key::exact(&of(36)), Key::of(&of(36)));
    }

    #[test]
    fn what_others_choose_meanwhile_changes_nothing_that_was_chosen_here() {
        let (ours, theirs) = (Key("ours".into()), Key("theirs".into()));
        let mut chosen = BTreeMap::from([(ours.clone(), [1; 8])]);
        learn(&mut chosen, &(line(&ours, &[2; 8]) + &line(&theirs, &[3; 8])));
        assert_eq!(chosen, BTreeMap::from([(ours, [1; 8]), (theirs, [3; 8])]));
    }

    #[test]
    fn sizes_are_rounded_up_by_at_most_an_eighth() {
        for size in 1..5000usize {
            let up = rounded(size);
            assert!(up >= size && (up - size) * 8 <= size, "{size} -> {up}");
        }
    }
}

//! NVIDIA GPUs: the same graphs, by kernels that are compiled when they are first needed, and matrix products by cuBLASLt.
//!
//! Nothing of CUDA is needed to build; the driver, NVRTC and cuBLASLt are looked for at run time (`library`). An op's kernels are in `kernels/*.cu`, without headers;
//! `tests/cuda` runs the very same texts on the processor. Modules in order, each using those above it.

pub(crate) mod library;

mod driver;

mod compiler;
mod product;

mod input;
mod kernels;

mod plan;
pub(crate) mod state;

mod passes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::element::Precision;
use crate::error::{Error, Result};
use compiler::{Compiler, Source};
use driver::{Driver, Event, Memory, Stream};
use kernels::Kernels;
use product::{Matrix, Product, Products};

pub use compiler::{Compiler as KernelCompiler, Source as KernelSource};
pub use driver::Card;
pub use library::Places;

/// The oldest compute capability that has bf16 on its tensor cores: 8.0.
const OLDEST: u32 = 80;

/// A GPU with its libraries, ready to run graphs.
pub struct Gpu {
    card: Card,
    driver: Arc<Driver>,
    compiler: Compiler,
    products: Products,
    kernels: Mutex<BTreeMap<(u32, bool), Arc<Kernels>>>,
}

/// The cards that the driver shows, whether or not they can be used.
///
/// # Errors
/// [`Error::Cuda`]: no driver, or one that is too old.
pub fn cards(places: &Places) -> Result<Vec<Card>> {
    driver::cards(places).map(|(_, _, cards)| cards)
}

impl Gpu {
    /// Opens a card by its number.
    ///
    /// # Errors
    /// [`Error::Cuda`]: no such card, a card or driver that is too old, a library that is missing; each with what to do about it.
    pub fn open(index: usize, places: &Places) -> Result<Arc<Self>> {
        let (functions, version, cards) = driver::cards(places)?;
        let Some(card) = cards.get(index).cloned() else {
            let hint = "`tatabox devices` lists what there is; CUDA_VISIBLE_DEVICES may hide cards".to_string();
            return Err(Error::Cuda {
                what: format!("there is no GPU {index}: the driver shows {}", cards.len()),
                hint,
            });
        };
        if card.capability < OLDEST {
            let (major, minor) = (card.capability / 10, card.capability % 10);
            let hint =
                "use `--device cpu`, or a card from the A100 and RTX 30 series (compute capability 8.0) on".to_string();
            return Err(Error::Cuda {
                what: format!("GPU {index} ({}) is too old: compute capability {major}.{minor}", card.name),
                hint,
            });
        }
        let driver = Arc::new(Driver::open(functions, version, &card)?);
        let compiler = Compiler::open(places, Some(version / 1000))?;
        let products = Products::open(&driver, &card.name, places)?;
        Ok(Arc::new(Self { card, driver, compiler, products, kernels: Mutex::default() }))
    }

    /// What the card is.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Bytes of its memory that are free now.
    ///
    /// # Errors
    /// The driver does not say.
    pub fn free_bytes(&self) -> Result<u64> {
        self.driver.bind()?;
        self.driver.free_bytes().map(|bytes| bytes as u64)
    }

    /// Floating-point operations a second of a large matrix product: what the speed of a training step is compared with.
    ///
    /// # Errors
    /// The card has no room for it, or fails.
    pub fn matrix_rate(&self, precision: Precision) -> Result<f64> {
        let (side, repeats) = match precision {
            Precision::Bf16 => (8192, 20),
            Precision::F32 => (4096, 10),
        };
        self.driver.bind()?;
        let (stream, width) = (Stream::new(&self.driver)?, if precision == Precision::Bf16 { 2 } else { 4 });
        let memory = |what| Memory::new(&self.driver, side * side * width, what);
        let (a, b, c) = (memory("a matrix")?, memory("a matrix")?, memory("a matrix")?);
        let workspace = Memory::new(&self.driver, product::WORKSPACE, "a workspace")?;
        // Bits without a pattern, so that the card works as hard as it does on real numbers, of ordinary size: a half-word 0x3c.. or 0xbc...
        let noise: Vec<f32> = (0..1u64 << 20).map(|index| f32::from_bits(noise(index))).collect();
        for matrix in [&a, &b] {
            stream.write(matrix.at(), &noise)?;
            stream.repeat(matrix.at(), noise.len() * 4, matrix.bytes())?;
        }
        let of = |memory: &Memory| Matrix::new(memory.at(), side, precision);
        let product = Product {
            rows: side,
            columns: side,
            depth: side,
            a: of(&a),
            b: of(&b).t(),
            c: of(&c),
            bias: None,
            scale: 1.0,
            add: false,
        };
        let (start, end) = (Event::new(&self.driver, true)?, Event::new(&self.driver, true)?);
        let multiply = || self.products.start(&stream, &workspace, &product, Some(&workspace));
        (0..3).try_for_each(|_| multiply())?;
        stream.record_event(&start)?;
        (0..repeats).try_for_each(|_| multiply())?;
        stream.record_event(&end)?;
        end.wait()?;
        Ok(f64::from(repeats) * 2.0 * (side as f64).powi(3) / start.seconds_until(&end)?)
    }

    /// The kernels of a precision, for attention heads of so many columns (a multiple of 16; 0 for a graph without attention).
    fn kernels(&self, precision: Precision, head: u32) -> Result<Arc<Kernels>> {
        let mut loaded = self.kernels.lock().expect("nobody panics with it");
        let key = (head, precision == Precision::Bf16);
        if let Some(kernels) = loaded.get(&key) {
            return Ok(kernels.clone());
        }
        let module =
            |source: Source| self.driver.module(&self.compiler.compile(source, precision, self.card.capability)?);
        let attention = (head > 0).then(|| module(Source::Attention(head))).transpose()?;
        let kernels =
            Arc::new(Kernels::load(module(Source::Rows)?, attention, precision, head, self.card.shared_bytes)?);
        loaded.insert(key, kernels.clone());
        Ok(kernels)
    }
}

impl Drop for Gpu {
    /// Kernels and cuBLASLt are given back after this.
    fn drop(&mut self) {
        let _ = self.driver.bind();
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.card.fmt(f)
    }
}

/// Two bf16 numbers of size about 0.01 to 2, or one f32 of that size, that depend on `index` in no visible way (SplitMix64's finaliser).
fn noise(index: u64) -> u32 {
    let z = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z as u32 & 0x83ff_83ff) | 0x3c00_3c00
}

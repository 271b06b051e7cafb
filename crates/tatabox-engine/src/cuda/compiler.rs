//! Kernels from text to machine code: NVRTC, and a cache on disk.
#![allow(unsafe_code)] // Every call crosses into C.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::library::{self, Places, functions};
use crate::element::Precision;
use crate::error::{Error, Result};

type Program = *mut c_void;

functions! {
    /// The part of NVRTC that is used.
    Functions {
        fn version = "nvrtcVersion" (*mut c_int, *mut c_int) -> c_int;
        fn arch_count = "nvrtcGetNumSupportedArchs" (*mut c_int) -> c_int;
        fn archs = "nvrtcGetSupportedArchs" (*mut c_int) -> c_int;
        fn create = "nvrtcCreateProgram" (*mut Program, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
        fn destroy = "nvrtcDestroyProgram" (*mut Program) -> c_int;
        fn compile = "nvrtcCompileProgram" (Program, c_int, *const *const c_char) -> c_int;
        fn log_size = "nvrtcGetProgramLogSize" (Program, *mut usize) -> c_int;
        fn log = "nvrtcGetProgramLog" (Program, *mut c_char) -> c_int;
        fn cubin_size = "nvrtcGetCUBINSize" (Program, *mut usize) -> c_int;
        fn cubin = "nvrtcGetCUBIN" (Program, *mut c_char) -> c_int;
        fn ptx_size = "nvrtcGetPTXSize" (Program, *mut usize) -> c_int;
        fn ptx = "nvrtcGetPTX" (Program, *mut c_char) -> c_int;
    }
}

/// A group of kernels that is compiled together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// All but attention.
    Rows,
    /// Attention with heads of this many columns, a multiple of 16.
    Attention(u32),
}

macro_rules! text {
    ($($file:literal),+) => { concat!($("#line 1 \"", $file, "\"\n", include_str!(concat!("kernels/", $file))),+) };
}

impl Source {
    fn text(self) -> &'static str {
        match self {
            Source::Rows => text!("machine.cu", "numbers.cu", "rows.cu", "heads.cu", "tables.cu", "adamw.cu"),
            Source::Attention(_) => text!("machine.cu", "numbers.cu", "attention.cu"),
        }
    }

    fn options(self, precision: Precision) -> Vec<String> {
        let mut options = vec!["--std=c++17".to_string(), "-default-device".to_string()];
        options.push(format!("-DBF16={}", u32::from(precision == Precision::Bf16)));
        if let Source::Attention(head) = self {
            options.push(format!("-DHEAD={head}"));
        }
        options
    }
}

/// NVIDIA's run-time compiler.
pub struct Compiler {
    functions: Functions,
    version: (i32, i32),
    cache: Option<PathBuf>,
}

impl Compiler {
    /// Finds and opens NVRTC. `newest` is the newest major version of CUDA that may be taken.
    ///
    /// # Errors
    /// [`Error::Cuda`] where there is none, with the way to get it.
    pub fn open(places: &Places, newest: Option<u32>) -> Result<Self> {
        let library = library::open(&library::NVRTC, places, newest)?;
        let functions = Functions::load(library).map_err(|name| Error::Cuda {
            what: format!("{} has no `{name}`: it is too old", library::NVRTC.what),
            hint: library::NVRTC.hint.to_string(),
        })?;
        let mut version = (0, 0);
        // SAFETY: out-pointers to locals.
        unsafe { (functions.version)(&mut version.0, &mut version.1) };
        Ok(Self { functions, version, cache: places.cache.as_ref().map(|cache| cache.join("kernels")) })
    }

    /// Its version.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Machine code for a compute capability (90 is 9.0). A card newer than the compiler gets the newest virtual code that the compiler knows, which the
    /// driver finishes.
    ///
    /// # Errors
    /// [`Error::Cuda`] with the compiler's own words.
    pub fn compile(&self, source: Source, precision: Precision, capability: u32) -> Result<Vec<u8>> {
        let known = self.capabilities();
        let newest = known.iter().copied().filter(|known| *known <= capability).max();
        let Some(newest) = newest else {
            let hint =
                "use `--device cpu`, or a card from the A100 and RTX 30 series (compute capability 8.0) on".to_string();
            return Err(Error::Cuda { what: format!("NVRTC knows no compute capability up to {capability}"), hint });
        };
        let exact = newest == capability;
        let mut options = source.options(precision);
        options.push(format!("--gpu-architecture={}_{newest}", if exact { "sm" } else { "compute" }));
        let path = self.cache.as_deref().map(|cache| cache.join(self.file_name(source, &options)));
        if let Some(image) = path.as_deref().and_then(|path| unsealed(std::fs::read(path).ok()?)) {
            return Ok(image);
        }
        let image = self.build(source, &options, exact)?;
        if let Some(path) = path {
            // A cache that cannot be written costs the next process some seconds, no more.
            let _ = keep(&path, &sealed(image.clone()));
        }
        Ok(image)
    }

    fn file_name(&self, source: Source, options: &[String]) -> String {
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, source.text(), options, self.version).hash(&mut hasher);
            hasher.finish()
        };
        format!("{:016x}{:016x}.bin", hash(0), hash(1))
    }

    fn capabilities(&self) -> Vec<u32> {
        let mut count = 0;
        // SAFETY: out-pointers to locals; the second call writes as many as the first one said.
        unsafe {
            (self.functions.arch_count)(&mut count);
            let mut archs = vec![0; count.max(0) as usize];
            (self.functions.archs)(archs.as_mut_ptr());
            archs.into_iter().map(|arch| arch as u32).collect()
        }
    }

    fn build(&self, source: Source, options: &[String], exact: bool) -> Result<Vec<u8>> {
        let functions = &self.functions;
        let text = CString::new(source.text()).expect("kernels hold no zero byte");
        let options: Vec<CString> =
            options.iter().map(|option| CString::new(&option[..]).expect("nor do options")).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = std::ptr::null_mut();
        // SAFETY: texts end in zero and live until the program is destroyed; buffers are as long as NVRTC says.
        unsafe {
            let null = std::ptr::null();
            (functions.create)(&mut program, text.as_ptr(), c"kernels.cu".as_ptr(), 0, null, null);
            let code = (functions.compile)(program, pointers.len() as c_int, pointers.as_ptr());
            let mut size = 0;
            let result = if code == 0 {
                let (of_size, of_image) =
                    if exact { (functions.cubin_size, functions.cubin) } else { (functions.ptx_size, functions.ptx) };
                of_size(program, &mut size);
                let mut image = vec![0u8; size];
                of_image(program, image.as_mut_ptr().cast());
                Ok(image)
            } else {
                (functions.log_size)(program, &mut size);
                let mut log = vec![0u8; size.max(1)];
                (functions.log)(program, log.as_mut_ptr().cast());
                let log = CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy().into_owned();
                let hint = "this is a fault of Tatabox or of this NVRTC: report it, and use `--device cpu` meanwhile"
                    .to_string();
                Err(Error::Cuda {
                    what: format!("NVRTC {}.{} refused {source:?}: {log}", self.version.0, self.version.1),
                    hint,
                })
            };
            (functions.destroy)(&mut program);
            result
        }
    }
}

fn seal_of(image: &[u8]) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    image.hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

/// With a hash at its end: the driver is told no length, and reads as far as a damaged image says.
fn sealed(mut image: Vec<u8>) -> Vec<u8> {
    image.extend(seal_of(&image));
    image
}

/// None for what is not whole.
fn unsealed(mut file: Vec<u8>) -> Option<Vec<u8>> {
    let (image, seal) = file.split_last_chunk::<8>()?;
    let length = (*seal == seal_of(image)).then_some(image.len())?;
    file.truncate(length);
    Some(file)
}

/// Writes a file of the cache whole: another process may read or write it at the same time.
pub(super) fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let scratch = path.with_extension(format!("{}.part", std::process::id()));
    #[expect(clippy::disallowed_methods, reason = "beside its place, and renamed into it: the engine has no tempfile")]
    std::fs::write(&scratch, bytes)?;
    std::fs::rename(&scratch, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_not_taken() {
        let (image, file) = (vec![1, 2, 3, 4], sealed(vec![1, 2, 3, 4]));
        assert_eq!(unsealed(file.clone()), Some(image.clone()));
        assert!((0..file.len()).all(|length| unsealed(file[..length].to_vec()).is_none()));
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 4;
            assert_eq!(unsealed(other), None, "{at}");
        }
        // As an older version kept it.
        assert_eq!(unsealed(image), None);
    }
}

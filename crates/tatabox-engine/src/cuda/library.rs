//! Finds NVIDIA's libraries when they are first needed: in folders that the user names, where the system looks, and in the `nvidia` wheels of a Python
//! environment. Nothing of CUDA is there when Tatabox is built.
#![allow(unsafe_code)] // Loading a library runs its initialisers.

use std::path::{Path, PathBuf};

use libloading::Library;

use crate::error::{Error, Result};

/// Where to look for libraries, and where to keep what was compiled and measured.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Folders that are searched first.
    pub libraries: Vec<PathBuf>,
    /// Folder of compiled kernels and chosen algorithms; without one, they are made anew in every process.
    pub cache: Option<PathBuf>,
}

impl Places {
    /// `TATABOX_CUDA_LIBRARIES` names folders, as PATH does; `TATABOX_CACHE` the cache, else `$XDG_CACHE_HOME/tatabox` or `~/.cache/tatabox`.
    pub fn from_environment() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let libraries = std::env::var_os("TATABOX_CUDA_LIBRARIES");
        let cache = path("TATABOX_CACHE")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("tatabox")))
            .or_else(|| path("HOME").map(|home| home.join(".cache/tatabox")));
        Self {
            libraries: libraries.iter().flat_map(std::env::split_paths).collect(),
            cache: cache.map(|cache| cache.join("cuda")),
        }
    }
}

/// A library of NVIDIA's: the names that its file has, newest first.
pub(super) struct Wanted {
    pub what: &'static str,
    pub names: &'static [&'static str],
    pub hint: &'static str,
}

/// The driver.
pub(super) const DRIVER: Wanted = Wanted {
    what: "the NVIDIA driver (libcuda)",
    names: if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so.1", "libcuda.so"] },
    hint: "install NVIDIA's driver 525 or newer; in a container, start it with the GPU (docker run --gpus all), or use `--device cpu`",
};

/// The compiler of kernels.
pub(super) const NVRTC: Wanted = Wanted {
    what: "NVIDIA's run-time compiler (libnvrtc, version 12 or 13)",
    names: if cfg!(windows) {
        &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"]
    } else {
        &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
    },
    hint: "pip install nvidia-cuda-nvrtc-cu12 (or nvidia-cuda-nvrtc for a driver of CUDA 13), or set TATABOX_CUDA_LIBRARIES to the folder that holds it",
};

/// Matrix products.
pub(super) const BLASLT: Wanted = Wanted {
    what: "NVIDIA's matrix products (libcublasLt, version 12 or 13)",
    names: if cfg!(windows) {
        &["cublasLt64_13.dll", "cublasLt64_12.dll"]
    } else {
        &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]
    },
    hint: "pip install nvidia-cublas-cu12 (or nvidia-cublas for a driver of CUDA 13), or set TATABOX_CUDA_LIBRARIES to the folder that holds it",
};

/// Opens a library. `newest` is the newest major version of CUDA that the driver runs: files of a newer one are passed over.
pub(super) fn open(wanted: &Wanted, places: &Places, newest: Option<u32>) -> Result<Library> {
    let fits = |name: &str| {
        let version = name.rsplit('.').next().and_then(|version| version.parse::<u32>().ok());
        newest.is_none() || version.is_none() || version <= newest
    };
    let names: Vec<&str> = wanted.names.iter().copied().filter(|name| fits(name)).collect();
    let mut refused = String::new();
    let mut load = |path: &Path| {
        // SAFETY: NVIDIA's libraries have no requirements on who loads them.
        match unsafe { Library::new(path) } {
            Ok(library) => Some(library),
            Err(error) => {
                if path.is_file() {
                    refused = format!("; {} was refused: {error}", path.display());
                }
                None
            }
        }
    };
    let named = places.libraries.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    if let Some(library) = named.filter(|path| path.is_file()).find_map(|path| load(&path)) {
        return Ok(library);
    }
    if let Some(library) = names.iter().find_map(|name| load(Path::new(name))) {
        return Ok(library);
    }
    let folders = folders();
    let installed = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    if let Some(library) = installed.filter(|path| path.is_file()).find_map(|path| load(&path)) {
        return Ok(library);
    }
    Err(Error::Cuda { what: format!("{} was not found{refused}", wanted.what), hint: wanted.hint.to_string() })
}

/// Folders outside of the system's search: CUDA toolkits, and the wheels of Python environments.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for name in ["CUDA_HOME", "CUDA_PATH"] {
        folders.extend(std::env::var_os(name).map(|home| PathBuf::from(home).join("lib64")));
    }
    for toolkit in children(Path::new("/usr/local")).into_iter().filter(|path| has_prefix(path, "cuda")) {
        folders.push(toolkit.join("lib64"));
    }
    let mut environments: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(std::env::var_os).map(PathBuf::from).collect();
    for bin in std::env::var_os("PATH").iter().flat_map(std::env::split_paths) {
        let python = bin.join("python3");
        if let (true, Some(prefix)) = (python.is_file(), bin.parent()) {
            environments.push(prefix.to_path_buf());
            environments
                .extend(python.canonicalize().ok().and_then(|real| Some(real.parent()?.parent()?.to_path_buf())));
        }
    }
    // Where pip installs for a user who may not write to the system's folders.
    environments.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local")));
    for environment in environments {
        // Conda has NVIDIA's libraries beside all others.
        folders.push(environment.join("lib"));
        for lib in [environment.join("lib"), environment.join("local/lib")] {
            let packages = children(&lib).into_iter().filter(|path| has_prefix(path, "python3"));
            for packages in packages.flat_map(|python| [python.join("site-packages"), python.join("dist-packages")]) {
                // `nvidia/<part>/lib` in the wheels of CUDA 12, `nvidia/cu13/lib` in those of 13.
                folders.extend(children(&packages.join("nvidia")).into_iter().map(|part| part.join("lib")));
            }
        }
    }
    folders
}

fn has_prefix(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
}

/// What a folder holds, in the order of names, the last first, so that newer versions come first; nothing where there is no such folder.
fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.reverse();
    paths
}

/// The functions of a library, by name, as pointers.
macro_rules! functions {
    ($(#[$meta:meta])* $name:ident { $(fn $function:ident = $symbol:literal ($($argument:ty),* $(,)?) $(-> $result:ty)?;)+ }) => {
        $(#[$meta])*
        pub(super) struct $name {
            $(pub $function: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+
            /// Keeps the pointers valid, and is never unloaded: NVIDIA's libraries start threads and do not survive it
            /// (github.com/JuliaGPU/CUDA.jl/issues/1848).
            _library: std::mem::ManuallyDrop<libloading::Library>,
        }
        impl $name {
            /// Looks all names up.
            ///
            /// # Errors
            /// The name of one that is missing.
            pub fn load(library: libloading::Library) -> std::result::Result<Self, &'static str> {
                // SAFETY: the names have had these types since CUDA 12.0 (NVIDIA's headers), and the library stays loaded beside them.
                #[allow(unsafe_code)]
                unsafe {
                    Ok(Self {
                        $($function: *library
                            .get::<unsafe extern "C" fn($($argument),*) $(-> $result)?>(concat!($symbol, "\0").as_bytes())
                            .map_err(|_| $symbol)?,)+
                        _library: std::mem::ManuallyDrop::new(library),
                    })
                }
            }
        }
    };
}
pub(super) use functions;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_way_to_get_it() {
        let nothing = Wanted { what: "a library", names: &["libtatabox-none.so.9"], hint: "get it" };
        let error = open(&nothing, &Places::default(), None).unwrap_err();
        assert_eq!(error, Error::Cuda { what: "a library was not found".into(), hint: "get it".into() });
    }

    #[test]
    fn a_library_newer_than_the_driver_is_passed_over() {
        let folder = std::env::temp_dir().join(format!("tatabox-library-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("libtatabox-none.so.13");
        std::fs::copy(std::env::current_exe().unwrap(), &file).unwrap();
        let wanted = Wanted { what: "a library", names: &["libtatabox-none.so.13"], hint: "" };
        let places = Places { libraries: vec![folder.clone()], cache: None };
        let what = |newest| open(&wanted, &places, newest).unwrap_err().to_string();
        assert!(!what(Some(12)).contains("refused"), "{}", what(Some(12)));
        assert!(what(Some(13)).contains("refused"), "{}", what(Some(13)));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

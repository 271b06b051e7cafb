//! GPUs to test on: one that is emulated on the processor (`driver.cpp`, `machine.h`), and the real one of this machine, if it has one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use tatabox_engine::cuda::{Gpu, Places};

/// Past the capture of the test harness: a test that was skipped must not look like one that passed.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// A folder of this test program's own.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let name = std::env::current_exe().unwrap().file_stem().unwrap().to_owned();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).join("gpu");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// Builds the emulated driver, NVRTC and cuBLASLt, one library by three names; None without a C++ compiler.
pub fn places() -> Option<Places> {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let built = *BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tatabox-engine/tests/cuda/emulated");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let library = folder().join("libemulated.so");
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-O2", "-shared", "-fPIC", "-pthread"]);
        command.arg(format!("-DMACHINE=\"{}\"", source.join("machine.h").display()));
        command.arg("-o").arg(&library).arg(source.join("driver.cpp")).arg("-ldl");
        match command.output() {
            Err(error) => {
                skipped(&format!("the emulated GPU needs a C++ compiler, and `{compiler}` does not start: {error}"));
                false
            }
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                for name in ["libcuda.so.1", "libnvrtc.so.13", "libcublasLt.so.13"] {
                    let _ = std::fs::remove_file(folder().join(name));
                    std::os::unix::fs::symlink(&library, folder().join(name)).unwrap();
                }
                true
            }
        }
    });
    built.then(|| Places { libraries: vec![folder().to_path_buf()], cache: Some(folder().join("cache")) })
}

/// The emulated GPU; None without a C++ compiler.
pub fn emulated() -> Option<Arc<Gpu>> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    if real_alone() {
        return None;
    }
    GPU.get_or_init(|| places().map(|places| Gpu::open(0, &places).unwrap())).clone()
}

/// The GPU of this machine; None, and a word about it, where there is none.
pub fn real() -> Option<Arc<Gpu>> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    let open = || match Gpu::open(0, &Places::from_environment()) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            skipped(&format!("on a GPU: {error}"));
            None
        }
    };
    GPU.get_or_init(open).clone()
}

/// Whether only the real GPU is to be tested: `benches/gpu-check` has no time for the rest.
pub fn real_alone() -> bool {
    std::env::var_os("TATABOX_TEST_ON").is_some_and(|value| value == "gpu")
}

/// Those that there are.
pub fn gpus() -> Vec<Arc<Gpu>> {
    if real_alone() {
        vec![real().expect("TATABOX_TEST_ON=gpu, but there is no GPU")]
    } else {
        emulated().into_iter().chain(real()).collect()
    }
}

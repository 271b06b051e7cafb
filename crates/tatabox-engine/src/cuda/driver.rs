//! The driver's raw interface, and safe owners of what it lends: memory, streams, events, modules, graphs. What they lend is given back on any thread, which must
//! have the context then, when no work uses it any more: [`super::Gpu`] and [`super::state::State`] see to both before their parts are dropped.
#![allow(unsafe_code)] // Every call crosses into C.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use super::library::{self, Places, functions};
use crate::error::{Error, Result};

/// An address on the card.
pub(super) type Address = u64;
type Handle = *mut c_void;

functions! {
    /// The part of libcuda that is used.
    Functions {
        fn init = "cuInit" (c_uint) -> c_int;
        fn driver_version = "cuDriverGetVersion" (*mut c_int) -> c_int;
        fn error_name = "cuGetErrorName" (c_int, *mut *const c_char) -> c_int;
        fn error_string = "cuGetErrorString" (c_int, *mut *const c_char) -> c_int;
        fn device_count = "cuDeviceGetCount" (*mut c_int) -> c_int;
        fn device = "cuDeviceGet" (*mut c_int, c_int) -> c_int;
        fn device_name = "cuDeviceGetName" (*mut c_char, c_int, c_int) -> c_int;
        fn device_memory = "cuDeviceTotalMem_v2" (*mut usize, c_int) -> c_int;
        fn device_attribute = "cuDeviceGetAttribute" (*mut c_int, c_int, c_int) -> c_int;
        fn retain = "cuDevicePrimaryCtxRetain" (*mut Handle, c_int) -> c_int;
        fn set_current = "cuCtxSetCurrent" (Handle) -> c_int;
        fn memory_info = "cuMemGetInfo_v2" (*mut usize, *mut usize) -> c_int;
        fn allocate = "cuMemAlloc_v2" (*mut Address, usize) -> c_int;
        fn free = "cuMemFree_v2" (Address) -> c_int;
        fn allocate_host = "cuMemHostAlloc" (*mut Handle, usize, c_uint) -> c_int;
        fn free_host = "cuMemFreeHost" (Handle) -> c_int;
        fn to_card = "cuMemcpyHtoDAsync_v2" (Address, *const c_void, usize, Handle) -> c_int;
        fn from_card = "cuMemcpyDtoHAsync_v2" (*mut c_void, Address, usize, Handle) -> c_int;
        fn on_card = "cuMemcpyDtoDAsync_v2" (Address, Address, usize, Handle) -> c_int;
        fn fill = "cuMemsetD8Async" (Address, u8, usize, Handle) -> c_int;
        fn create_stream = "cuStreamCreate" (*mut Handle, c_uint) -> c_int;
        fn destroy_stream = "cuStreamDestroy_v2" (Handle) -> c_int;
        fn synchronize = "cuStreamSynchronize" (Handle) -> c_int;
        fn begin_capture = "cuStreamBeginCapture_v2" (Handle, c_int) -> c_int;
        fn end_capture = "cuStreamEndCapture" (Handle, *mut Handle) -> c_int;
        fn instantiate = "cuGraphInstantiateWithFlags" (*mut Handle, Handle, u64) -> c_int;
        fn launch_graph = "cuGraphLaunch" (Handle, Handle) -> c_int;
        fn destroy_graph = "cuGraphDestroy" (Handle) -> c_int;
        fn destroy_executable = "cuGraphExecDestroy" (Handle) -> c_int;
        fn create_event = "cuEventCreate" (*mut Handle, c_uint) -> c_int;
        fn destroy_event = "cuEventDestroy_v2" (Handle) -> c_int;
        fn record_event = "cuEventRecord" (Handle, Handle) -> c_int;
        fn wait_event = "cuEventSynchronize" (Handle) -> c_int;
        fn elapsed = "cuEventElapsedTime" (*mut f32, Handle, Handle) -> c_int;
        fn load_module = "cuModuleLoadData" (*mut Handle, *const c_void) -> c_int;
        fn unload_module = "cuModuleUnload" (Handle) -> c_int;
        fn function = "cuModuleGetFunction" (*mut Handle, Handle, *const c_char) -> c_int;
        fn set_function = "cuFuncSetAttribute" (Handle, c_int, c_int) -> c_int;
        fn launch = "cuLaunchKernel" (Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void) -> c_int;
    }
}

const OUT_OF_MEMORY: c_int = 2;
/// The oldest driver that has every function above: CUDA 12.0.
const OLDEST_DRIVER: c_int = 12_000;

/// The driver, and one card's context in it.
pub(super) struct Driver {
    functions: Functions,
    context: usize,
    /// Newest version of CUDA that the driver runs: 13000 for 13.0.
    pub version: u32,
}

/// What a card is.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Card {
    /// Its number, from 0, as `--device cuda:0` names it.
    pub index: usize,
    /// As NVIDIA calls it.
    pub name: String,
    /// Compute capability: 90 is 9.0.
    pub capability: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory that a block may ask for.
    pub shared_bytes: u32,
    /// Newest CUDA that the driver runs: 13000 is 13.0.
    pub driver_cuda: u32,
}

/// Opens the driver and lists its cards.
pub(super) fn cards(places: &Places) -> Result<(Functions, u32, Vec<Card>)> {
    let library = library::open(&library::DRIVER, places, None)?;
    let old = |what: String| Error::Cuda { what, hint: library::DRIVER.hint.to_string() };
    let functions =
        Functions::load(library).map_err(|name| old(format!("the NVIDIA driver is too old: it has no `{name}`")))?;
    let failed = |code: c_int, doing: &str| failure(&functions, code, doing);
    // SAFETY: out-pointers are to locals of the asked types, names are long enough, devices are below the count.
    unsafe {
        let code = (functions.init)(0);
        if code != 0 {
            return Err(failed(code, "starting the NVIDIA driver"));
        }
        let (mut version, mut count) = (0, 0);
        (functions.driver_version)(&mut version);
        if version < OLDEST_DRIVER {
            let found =
                format!("the NVIDIA driver is too old: it runs CUDA {}.{}", version / 1000, version % 1000 / 10);
            return Err(old(format!("{found}, and Tatabox needs CUDA 12.0 or newer")));
        }
        let code = (functions.device_count)(&mut count);
        if code != 0 {
            return Err(failed(code, "counting the GPUs"));
        }
        let mut cards = Vec::new();
        for index in 0..count {
            let (mut device, mut bytes, mut name) = (0, 0usize, [0; 256]);
            let code = (functions.device)(&mut device, index);
            if code != 0 {
                return Err(failed(code, "asking for a GPU"));
            }
            (functions.device_name)(name.as_mut_ptr(), name.len() as c_int - 1, device);
            (functions.device_memory)(&mut bytes, device);
            let attribute = |which: c_int| {
                let mut value = 0;
                (functions.device_attribute)(&mut value, which, device);
                value as u32
            };
            cards.push(Card {
                index: index as usize,
                name: CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned(),
                capability: attribute(75) * 10 + attribute(76),
                memory_bytes: bytes as u64,
                multiprocessors: attribute(16),
                shared_bytes: attribute(97),
                driver_cuda: version as u32,
            });
        }
        Ok((functions, version as u32, cards))
    }
}

fn failure(functions: &Functions, code: c_int, doing: &str) -> Error {
    let text = |function: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int| {
        let mut text = std::ptr::null();
        // SAFETY: the out-pointer is to a local; what comes back is null or a text that lives as long as the library.
        unsafe {
            function(code, &mut text);
            if text.is_null() { format!("error {code}") } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    };
    let what = format!("{doing} failed: {} ({})", text(functions.error_name), text(functions.error_string));
    let hint = "look at `nvidia-smi` and `dmesg`; if the card is in order, report this with the command".to_string();
    Error::Cuda { what, hint }
}

impl Driver {
    /// The context of a card, which all users of the card in this process share.
    pub fn open(functions: Functions, version: u32, card: &Card) -> Result<Self> {
        let (mut device, mut context) = (0, std::ptr::null_mut());
        // SAFETY: out-pointers to locals; the card is one of the driver's.
        let code = unsafe {
            (functions.device)(&mut device, card.index as c_int);
            (functions.retain)(&mut context, device)
        };
        if code != 0 {
            return Err(failure(&functions, code, &format!("opening GPU {} ({})", card.index, card.name)));
        }
        let driver = Self { functions, context: context as usize, version };
        driver.bind()?;
        Ok(driver)
    }

    fn check(&self, code: c_int, doing: &str) -> Result<()> {
        if code == 0 { Ok(()) } else { Err(failure(&self.functions, code, doing)) }
    }

    /// Makes the card the current one of this thread; every entry from outside begins with it.
    pub fn bind(&self) -> Result<()> {
        // SAFETY: the context was retained in `open` and is never released.
        self.check(unsafe { (self.functions.set_current)(self.context as Handle) }, "choosing the GPU")
    }

    /// Bytes that are free on the card.
    pub fn free_bytes(&self) -> Result<usize> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: out-pointers to locals.
        self.check(unsafe { (self.functions.memory_info)(&mut free, &mut total) }, "asking for the GPU's free memory")?;
        Ok(free)
    }

    /// Loads a compiled program.
    pub fn module(self: &Arc<Self>, image: &[u8]) -> Result<Module> {
        let mut module = std::ptr::null_mut();
        // SAFETY: a whole image as NVRTC made it.
        let code = unsafe { (self.functions.load_module)(&mut module, image.as_ptr().cast()) };
        self.check(code, "loading the kernels")?;
        Ok(Module { driver: self.clone(), at: module as usize })
    }
}

/// A loaded program.
pub(super) struct Module {
    driver: Arc<Driver>,
    at: usize,
}

impl Module {
    /// A kernel by name; `shared` is the most dynamic shared memory that a launch of it will ask for.
    pub fn kernel(&self, name: &CStr, shared: u32) -> Result<Kernel> {
        let mut function = std::ptr::null_mut();
        // SAFETY: the module lives in `self`; out-pointer to a local.
        let code = unsafe { (self.driver.functions.function)(&mut function, self.at as Handle, name.as_ptr()) };
        self.driver.check(code, &format!("finding the kernel {name:?}"))?;
        if shared > 48 << 10 {
            const MAX_DYNAMIC_SHARED: c_int = 8;
            // SAFETY: the function was just found.
            let code = unsafe { (self.driver.functions.set_function)(function, MAX_DYNAMIC_SHARED, shared as c_int) };
            self.driver.check(code, &format!("giving the kernel {name:?} {shared} bytes of shared memory"))?;
        }
        Ok(Kernel(function as usize))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded by this driver, unloaded once.
        unsafe { (self.driver.functions.unload_module)(self.at as Handle) };
    }
}

/// A function of a [`Module`], which must outlive its launches.
#[derive(Clone, Copy)]
pub(super) struct Kernel(usize);

/// Memory on the card.
pub(super) struct Memory {
    driver: Arc<Driver>,
    at: Address,
    bytes: usize,
}

impl Memory {
    /// Takes memory of the card; what is in it is whatever was there.
    pub fn new(driver: &Arc<Driver>, bytes: usize, what: &str) -> Result<Self> {
        let mut at = 0;
        if bytes > 0 {
            // SAFETY: out-pointer to a local.
            let code = unsafe { (driver.functions.allocate)(&mut at, bytes) };
            if code == OUT_OF_MEMORY {
                return Err(Error::GpuMemory {
                    what: what.to_string(),
                    needed: bytes,
                    free: driver.free_bytes().unwrap_or(0),
                });
            }
            driver.check(code, &format!("taking {bytes} bytes of the GPU's memory for {what}"))?;
        }
        Ok(Self { driver: driver.clone(), at, bytes })
    }

    /// Its first address; 0 if it is empty.
    pub fn at(&self) -> Address {
        self.at
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.at != 0 {
            // SAFETY: taken in `new`, given back once, by an owner who has waited for the work that uses it.
            unsafe { (self.driver.functions.free)(self.at) };
        }
    }
}

/// Memory of the machine that the card reads by itself.
pub(super) struct Pinned {
    driver: Arc<Driver>,
    at: usize,
    bytes: usize,
}

impl Pinned {
    pub fn new(driver: &Arc<Driver>, bytes: usize) -> Result<Self> {
        let bytes = bytes.max(16);
        let mut at = std::ptr::null_mut();
        // SAFETY: out-pointer to a local.
        let code = unsafe { (driver.functions.allocate_host)(&mut at, bytes, 0) };
        driver.check(code, &format!("pinning {bytes} bytes of memory"))?;
        // SAFETY: just allocated, of that size; initialised before anyone reads it.
        unsafe { at.cast::<u8>().write_bytes(0, bytes) };
        Ok(Self { driver: driver.clone(), at: at as usize, bytes })
    }

    pub fn words(&mut self) -> &mut [u32] {
        // SAFETY: allocated and initialised in `new`, page-aligned, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.at as *mut u32, self.bytes / 4) }
    }

    pub fn read(&self) -> &[u32] {
        // SAFETY: as in `words`, shared.
        unsafe { std::slice::from_raw_parts(self.at as *const u32, self.bytes / 4) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, given back once, by an owner who has waited for its copies.
        unsafe { (self.driver.functions.free_host)(self.at as Handle) };
    }
}

/// A moment in a stream.
pub(super) struct Event {
    driver: Arc<Driver>,
    at: usize,
}

impl Event {
    /// With `timed`, [`Event::seconds_until`] works.
    pub fn new(driver: &Arc<Driver>, timed: bool) -> Result<Self> {
        let mut event = std::ptr::null_mut();
        // SAFETY: out-pointer to a local; 2 disables timing.
        let code = unsafe { (driver.functions.create_event)(&mut event, if timed { 0 } else { 2 }) };
        driver.check(code, "creating an event")?;
        Ok(Self { driver: driver.clone(), at: event as usize })
    }

    /// Waits until the stream has come this far; at once if the event was never recorded.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: created in `new`.
        self.driver.check(unsafe { (self.driver.functions.wait_event)(self.at as Handle) }, "the work on the GPU")
    }

    /// Between two recorded events that have passed.
    pub fn seconds_until(&self, later: &Event) -> Result<f64> {
        let mut milliseconds = 0.0;
        // SAFETY: both created in `new`, out-pointer to a local.
        let code = unsafe { (self.driver.functions.elapsed)(&mut milliseconds, self.at as Handle, later.at as Handle) };
        self.driver.check(code, "reading the GPU's clock")?;
        Ok(f64::from(milliseconds) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once.
        unsafe { (self.driver.functions.destroy_event)(self.at as Handle) };
    }
}

/// Launches recorded once, to be repeated as one.
pub(super) struct Recording {
    driver: Arc<Driver>,
    at: usize,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: instantiated in `Stream::record`, destroyed once.
        unsafe { (self.driver.functions.destroy_executable)(self.at as Handle) };
    }
}

/// What a kernel may take as an argument: numbers, addresses, and structs as the kernels declare them.
///
/// # Safety
/// The type must have the layout that C gives the kernel's parameter.
pub(super) unsafe trait Argument: Copy {}
// SAFETY: the same in C.
unsafe impl Argument for u32 {}
// SAFETY: the same in C; addresses as well.
unsafe impl Argument for u64 {}
// SAFETY: the same in C.
unsafe impl Argument for f32 {}

/// Work in order.
pub(super) struct Stream {
    driver: Arc<Driver>,
    at: usize,
}

impl Stream {
    pub fn new(driver: &Arc<Driver>) -> Result<Self> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: out-pointer to a local; 1: does not wait for the default stream.
        driver.check(unsafe { (driver.functions.create_stream)(&mut stream, 1) }, "creating a stream")?;
        Ok(Self { driver: driver.clone(), at: stream as usize })
    }

    /// For cuBLASLt.
    pub fn handle(&self) -> *mut c_void {
        self.at as Handle
    }

    /// Copies from pinned memory, which must not change until the copy is done.
    pub fn upload(&self, from: &Pinned, words: usize, to: Address) -> Result<()> {
        assert!(words * 4 <= from.bytes, "more is uploaded than there is");
        // SAFETY: the source is that long; the caller owns the memory at `to`, and waits before it changes the source.
        let code =
            unsafe { (self.driver.functions.to_card)(to, from.at as *const c_void, words * 4, self.at as Handle) };
        self.driver.check(code, "copying to the GPU")
    }

    /// Copies to pinned memory, to be read after a wait.
    pub fn download(&self, from: Address, to: &mut Pinned, words: usize) -> Result<()> {
        assert!(words * 4 <= to.bytes, "more is downloaded than there is room for");
        // SAFETY: the target is that long; the caller owns the memory at `from`.
        let code = unsafe { (self.driver.functions.from_card)(to.at as Handle, from, words * 4, self.at as Handle) };
        self.driver.check(code, "copying from the GPU")
    }

    /// Copies numbers to the card and waits.
    pub fn write(&self, to: Address, values: &[f32]) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: the source lives until the wait below is over; the caller owns the memory at `to`.
        let code = unsafe {
            (self.driver.functions.to_card)(to, values.as_ptr().cast(), size_of_val(values), self.at as Handle)
        };
        self.driver.check(code, "copying to the GPU")?;
        self.wait()
    }

    /// Copies numbers from the card and waits.
    pub fn read(&self, from: Address, values: &mut [f32]) -> Result<()> {
        let bytes = size_of_val(values);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the target lives until the wait below is over; the caller owns the memory at `from`.
        let code =
            unsafe { (self.driver.functions.from_card)(values.as_mut_ptr().cast(), from, bytes, self.at as Handle) };
        self.driver.check(code, "copying from the GPU")?;
        self.wait()
    }

    pub fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: the caller owns both.
        let code = unsafe { (self.driver.functions.on_card)(to, from, bytes, self.at as Handle) };
        self.driver.check(code, "copying on the GPU")
    }

    /// Repeats the first `there` bytes until there are `bytes` of them.
    pub fn repeat(&self, at: Address, mut there: usize, bytes: usize) -> Result<()> {
        while there < bytes {
            let more = there.min(bytes - there);
            self.copy(at, at + there as u64, more)?;
            there += more;
        }
        Ok(())
    }

    /// Fills with a byte.
    pub fn fill(&self, at: Address, byte: u8, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the caller owns that memory.
        self.driver.check(
            unsafe { (self.driver.functions.fill)(at, byte, bytes, self.at as Handle) },
            "filling the GPU's memory",
        )
    }

    pub fn record_event(&self, event: &Event) -> Result<()> {
        // SAFETY: both are alive.
        let code = unsafe { (self.driver.functions.record_event)(event.at as Handle, self.at as Handle) };
        self.driver.check(code, "recording an event")
    }

    /// Waits until everything is done.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: created in `new`.
        self.driver.check(unsafe { (self.driver.functions.synchronize)(self.at as Handle) }, "the work on the GPU")
    }

    /// Starts a kernel with arguments as [`launch!`] gathers them.
    ///
    /// # Safety
    /// The arguments must be those of the kernel, in number, order and type, and every address must be of memory that is large enough for what
    /// the kernel does with it.
    pub unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: (usize, usize),
        threads: u32,
        shared: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        if grid.0 == 0 || grid.1 == 0 {
            return Ok(());
        }
        // SAFETY: as this function's own.
        let code = unsafe {
            (self.driver.functions.launch)(
                kernel.0 as Handle,
                grid.0 as c_uint,
                grid.1 as c_uint,
                1,
                threads,
                1,
                1,
                shared,
                self.at as Handle,
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        self.driver.check(code, "starting a kernel")
    }

    /// Records what `work` starts in this stream, without doing it.
    pub fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Recording> {
        const THREAD_LOCAL: c_int = 1;
        // SAFETY: the stream is alive.
        self.driver.check(
            unsafe { (self.driver.functions.begin_capture)(self.at as Handle, THREAD_LOCAL) },
            "recording launches",
        )?;
        let worked = work();
        let (mut graph, mut executable) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: out-pointers to locals; the graph, which is null where the recording was spoilt, is destroyed after it was instantiated.
        let recorded = unsafe {
            let ended = (self.driver.functions.end_capture)(self.at as Handle, &mut graph);
            let recorded = worked.and_then(|()| self.driver.check(ended, "recording launches")).and_then(|()| {
                let code = (self.driver.functions.instantiate)(&mut executable, graph, 0);
                self.driver.check(code, "preparing recorded launches")
            });
            if !graph.is_null() {
                (self.driver.functions.destroy_graph)(graph);
            }
            recorded
        };
        recorded.map(|()| Recording { driver: self.driver.clone(), at: executable as usize })
    }

    /// Does what was recorded.
    pub fn replay(&self, recording: &Recording) -> Result<()> {
        // SAFETY: both are alive; the owner of the recording owns the memory that it names.
        let code = unsafe { (self.driver.functions.launch_graph)(recording.at as Handle, self.at as Handle) };
        self.driver.check(code, "repeating recorded launches")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once.
        unsafe { (self.driver.functions.destroy_stream)(self.at as Handle) };
    }
}

/// `launch!(stream, kernel, grid, threads, shared; arguments)`: see [`Stream::launch`].
macro_rules! launch {
    ($stream:expr, $kernel:expr, $grid:expr, $threads:expr, $shared:expr; $($argument:expr),+ $(,)?) => {{
        fn address<T: $crate::cuda::driver::Argument>(value: &T) -> *mut std::ffi::c_void {
            std::ptr::from_ref(value).cast_mut().cast()
        }
        // SAFETY: the arguments are written in the order of the kernel's parameters, and the tests of the ops run each of them over memory whose ends are guarded.
        #[allow(unsafe_code)]
        unsafe { $stream.launch($kernel, $grid, $threads, $shared, &mut [$(address(&$argument)),+]) }
    }};
}
pub(super) use launch;

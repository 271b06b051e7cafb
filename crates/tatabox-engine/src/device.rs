//! Where graphs run: on the processor, or on a GPU.

use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock};

use crate::batch::Capacity;
use crate::cuda::{self, Gpu, Places};
use crate::element::Precision;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::isa::Isa;
use crate::plan::{MemoryPlan, Mode};

/// What a user may ask for: `auto`, `cpu`, `cuda`, `cuda:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU that can be used, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").and_then(|index| index.parse().ok());
                index.map(DeviceChoice::Cuda).ok_or_else(|| "expected auto, cpu, cuda, or cuda:1 and so on".to_string())
            }
        }
    }
}

/// A device that is ready.
#[derive(Clone, Debug)]
pub enum Device {
    /// The processor, with the kernels of an instruction set, which must be available.
    Cpu(Isa),
    /// A GPU.
    Cuda(Arc<Gpu>),
}

impl From<Isa> for Device {
    fn from(isa: Isa) -> Self {
        Device::Cpu(isa)
    }
}

impl From<&Device> for Device {
    fn from(device: &Device) -> Self {
        device.clone()
    }
}

static CHOICE: OnceLock<DeviceChoice> = OnceLock::new();
static SELECTED: Mutex<Option<(Device, Option<Error>)>> = Mutex::new(None);

impl Device {
    /// Opens what is asked for. `auto` without a GPU that can be used is the processor; why is in the second value where a driver was there.
    ///
    /// # Errors
    /// A GPU is asked for and cannot be used: with the reason and what to do.
    pub fn open(choice: DeviceChoice) -> Result<(Self, Option<Error>)> {
        let places = Places::from_environment();
        match choice {
            DeviceChoice::Cpu => Ok((Device::Cpu(Isa::detect()?), None)),
            DeviceChoice::Cuda(index) => Ok((Device::Cuda(Gpu::open(index, &places)?), None)),
            DeviceChoice::Auto => match cuda::cards(&places) {
                Ok(cards) if !cards.is_empty() => match Gpu::open(0, &places) {
                    Ok(gpu) => Ok((Device::Cuda(gpu), None)),
                    Err(error) => Ok((Device::Cpu(Isa::detect()?), Some(error))),
                },
                _ => Ok((Device::Cpu(Isa::detect()?), None)),
            },
        }
    }

    /// Says what every [`crate::Executor`] of this process shall run on; the first choice stays. It is opened when it is first needed.
    pub fn choose(choice: DeviceChoice) {
        let _ = CHOICE.set(choice);
    }

    /// The chosen device; the processor if nothing was chosen.
    ///
    /// # Errors
    /// It cannot be used: with the reason and what to do.
    pub fn selected() -> Result<Self> {
        let mut selected = SELECTED.lock().expect("nobody panics with it");
        if selected.is_none() {
            *selected = Some(Device::open(CHOICE.get().copied().unwrap_or(DeviceChoice::Cpu))?);
        }
        let (device, _) = selected.as_ref().expect("just opened");
        Ok(device.clone())
    }

    /// Why a GPU that is there was passed over for the processor, once [`Device::selected`] was asked.
    pub fn passed_over() -> Option<Error> {
        SELECTED.lock().expect("nobody panics with it").as_ref().and_then(|(_, why)| why.clone())
    }

    /// In one word: `avx512`, `cuda`, …
    pub fn name(&self) -> &'static str {
        match self {
            Device::Cpu(isa) => isa.name(),
            Device::Cuda(_) => "cuda",
        }
    }

    /// The memory that an executor will hold there.
    ///
    /// # Errors
    /// The graph cannot run there.
    pub fn memory(&self, graph: &Graph, capacity: &Capacity, precision: Precision, mode: Mode) -> Result<MemoryPlan> {
        match self {
            Device::Cpu(_) => Ok(MemoryPlan::of(graph, capacity, precision, mode)),
            Device::Cuda(_) => cuda::state::State::memory(graph, capacity, precision, mode),
        }
    }

    /// Floating-point operations a second of large matrix products: what the speed of a training step is compared with.
    ///
    /// # Errors
    /// The GPU has no room for it, or fails.
    pub fn matrix_rate(&self, precision: Precision) -> Result<f64> {
        match self {
            Device::Cpu(isa) => Ok(crate::rate::matrix_rate(precision, *isa)),
            Device::Cuda(gpu) => gpu.matrix_rate(precision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_in_torch() {
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        for wrong in ["gpu", "cuda:", "cuda:x", ""] {
            assert!(DeviceChoice::from_str(wrong).is_err(), "{wrong}");
        }
    }
}

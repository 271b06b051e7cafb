//! SIGINT and SIGTERM: the first asks the work to save and stop, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What the signals have asked for.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Listens from now on. Until this is called a signal ends the program at once, as everywhere.
    pub fn listen() -> anyhow::Result<Self> {
        let stop = Self { asked: Arc::new(AtomicBool::new(false)), signal: Arc::new(AtomicUsize::new(0)) };
        for signal in [SIGINT, SIGTERM] {
            // The order matters: this one looks at the flag before the next one sets it, so only a second signal ends the program.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop.asked))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&stop.signal), signal as usize))
                .and_then(|_| flag::register(signal, Arc::clone(&stop.asked)))
                .context("could not listen for SIGINT and SIGTERM")?;
        }
        Ok(stop)
    }

    /// The flag that the training loop looks at after each step.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// The exit code of a program that a signal stopped (130 for SIGINT, 143 for SIGTERM), as shells count.
    pub fn exit_code(&self) -> u8 {
        128 + self.signal.load(Ordering::Relaxed) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_sets_the_flag_and_its_exit_code() {
        let stop = Stop::listen().unwrap();
        assert!(!stop.flag().load(Ordering::Relaxed));
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(stop.flag().load(Ordering::Relaxed));
        assert_eq!(stop.exit_code(), 143);
    }
}

//! SIGINT and SIGTERM. Work that can be resumed listens: the first asks it to save and stop, the second ends it at once. All other work ends at the first,
//! and leaves no file that is half written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether some work listens.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// From now on a signal removes what is half written before it ends the program, until [`Stop::listen`] is called.
///
/// # Errors
/// The system lends no thread or no signals.
#[cfg(unix)]
pub fn leave_nothing_unfinished() -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("could not wait for signals")?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever().filter(|_| !LISTENING.load(Ordering::Acquire)) {
                tatabox_core::io::whole::remove_unfinished();
                let _ = signal_hook::low_level::emulate_default_handler(signal); // It does not come back.
            }
        })
        .context("could not wait for signals")?;
    Ok(())
}

/// Elsewhere files that are half written have no list, and their names say what they are.
#[cfg(not(unix))]
pub fn leave_nothing_unfinished() -> anyhow::Result<()> {
    Ok(())
}

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
        LISTENING.store(true, Ordering::Release);
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

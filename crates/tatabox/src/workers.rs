//! Independent jobs side by side, each on its share of the threads: many small fits and runs use a machine better than one after the other on all of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rayon::ThreadPoolBuilder;

use crate::error::{Error, Result};
use crate::memory::available;

/// The share of free memory that jobs side by side may take.
const MEMORY: f64 = 0.7;
/// How soon jobs hear that the user has said stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// By which a job tells of itself.
pub type Tell<'a, N> = &'a (dyn Fn(N) + Sync);

/// What is heard of the jobs while they go.
pub enum News<N, T> {
    /// What a job tells of itself.
    Told(usize, N),
    /// What a job made.
    Done(usize, T),
    /// Why a job failed.
    Failed(usize, Error),
}

/// How many of `jobs` go side by side: one a thread, as far as `bytes` for each of them are free.
pub fn at_once(jobs: usize, bytes: u64) -> usize {
    let room = match available() {
        Some(free) if bytes > 0 => (MEMORY * free.bytes as f64 / bytes as f64) as usize,
        _ => usize::MAX,
    };
    rayon::current_num_threads().min(jobs).min(room).max(1)
}

/// The threads of one of `at_once` workers; the first have one more where they do not come out even.
pub fn share(worker: usize, at_once: usize) -> usize {
    let threads = rayon::current_num_threads();
    (threads / at_once + usize::from(worker < threads % at_once)).max(1)
}

/// Works on so many threads; on those of all where the system gives no more.
pub fn on<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    if threads == rayon::current_num_threads() {
        return work();
    }
    match ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

/// Does the jobs `0..jobs`, begun in this order and `at_once` of them at a time. `work` gets the number of its job, a way to tell of it, and the flag by
/// which it is to stop, which a failure beside it sets as well; a job that stopped makes nothing. `heard` is told what comes, on the thread of the caller;
/// an error of it ends the work. False where it was stopped.
///
/// # Errors
/// The first of `heard`.
pub fn side_by_side<N: Send, T: Send>(
    jobs: usize,
    at_once: usize,
    stop: &AtomicBool,
    work: &(impl Fn(usize, Tell<'_, N>, &AtomicBool) -> Result<Option<T>> + Sync),
    heard: &mut dyn FnMut(News<N, T>) -> Result<()>,
) -> Result<bool> {
    let next = AtomicUsize::new(0);
    let halt = AtomicBool::new(stop.load(Ordering::Relaxed));
    let mut failure = None;
    let mut finished = 0;
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for worker in 0..at_once {
            let (sender, next, halt, threads) = (sender.clone(), &next, &halt, share(worker, at_once));
            scope.spawn(move || {
                while !halt.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= jobs {
                        break;
                    }
                    let tell = |news| {
                        // Nobody hears where the caller is gone, and then the work is over as well.
                        let _ = sender.send(News::Told(at, news));
                    };
                    let news = match on(threads, || work(at, &tell, halt)) {
                        Ok(Some(done)) => News::Done(at, done),
                        Ok(None) => break,
                        Err(error) => {
                            halt.store(true, Ordering::Relaxed);
                            News::Failed(at, error)
                        }
                    };
                    if sender.send(news).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(news) => {
                    finished += usize::from(matches!(news, News::Done(..)));
                    if let Err(error) = heard(news) {
                        failure.get_or_insert(error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if failure.is_some() || stop.load(Ordering::Relaxed) {
                halt.store(true, Ordering::Relaxed);
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(finished == jobs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Barrier;

    fn failed() -> Error {
        Error::Directory { path: "x".into(), what: "failed".into(), hint: String::new() }
    }

    #[test]
    fn every_job_is_done_once_and_tells_before_it_is_done() {
        let stop = AtomicBool::new(false);
        let mut news = vec![Vec::new(); 20];
        let done = side_by_side(
            20,
            3,
            &stop,
            &|at, tell: Tell<'_, &str>, _| {
                tell("begun");
                Ok(Some(at * at))
            },
            &mut |heard| {
                match heard {
                    News::Told(at, what) => news[at].push(what.to_string()),
                    News::Done(at, made) => news[at].push(made.to_string()),
                    News::Failed(..) => unreachable!("none fails"),
                }
                Ok(())
            },
        );
        assert!(done.unwrap());
        for (at, news) in news.iter().enumerate() {
            assert_eq!(*news, ["begun".to_string(), (at * at).to_string()]);
        }
    }

    #[test]
    fn jobs_go_side_by_side_each_on_its_threads() {
        // Two jobs that wait for each other: one after the other they would wait for ever.
        let (stop, both) = (AtomicBool::new(false), Barrier::new(2));
        let mut threads = Vec::new();
        let done = on(5, || {
            side_by_side(
                2,
                2,
                &stop,
                &|_, _: Tell<'_, Infallible>, _| {
                    both.wait();
                    Ok(Some(rayon::current_num_threads()))
                },
                &mut |heard| {
                    if let News::Done(_, made) = heard {
                        threads.push(made);
                    }
                    Ok(())
                },
            )
        });
        assert!(done.unwrap());
        threads.sort_unstable();
        assert_eq!(threads, [2, 3]);
    }

    #[test]
    fn a_failure_stops_the_jobs_beside_it_and_comes_back() {
        let (stop, both) = (AtomicBool::new(false), Barrier::new(2));
        let mut failures = Vec::new();
        let done = side_by_side(
            9,
            2,
            &stop,
            &|at, _: Tell<'_, Infallible>, halt| {
                both.wait();
                if at == 0 {
                    return Err(failed());
                }
                while !halt.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(None::<()>)
            },
            &mut |heard| match heard {
                News::Failed(at, error) => {
                    failures.push(at);
                    Err(error)
                }
                _ => Ok(()),
            },
        );
        assert!(done.unwrap_err().to_string().contains("failed"));
        assert_eq!(failures, [0]);
    }

    #[test]
    fn a_stop_is_heard_by_the_jobs_and_begins_no_others() {
        let (stop, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
        let done = side_by_side(
            9,
            2,
            &stop,
            &|_, tell: Tell<'_, ()>, halt| {
                begun.fetch_add(1, Ordering::Relaxed);
                tell(());
                while !halt.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(None::<()>)
            },
            &mut |_| {
                stop.store(true, Ordering::Relaxed);
                Ok(())
            },
        );
        assert!(!done.unwrap());
        assert!(begun.into_inner() <= 2);
    }
}

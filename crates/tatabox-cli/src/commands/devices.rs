//! `tatabox devices`: what this machine can compute on.

use serde::Serialize;
use tatabox_engine::cuda::{Card, Gpu, Places, cards};
use tatabox_engine::{Error, Isa};

use crate::ui;

/// List what can compute: the processor's kernels, and the GPUs, with what is missing where one cannot be used
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// What there is.
#[derive(Serialize)]
struct Devices {
    /// The kernels that the processor will run.
    cpu: &'static str,
    /// Threads that compute.
    threads: usize,
    gpus: Vec<Found>,
    /// Why no GPU is listed.
    no_gpu: Option<Trouble>,
}

/// A card, and whether it can be used.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    card: Card,
    /// Bytes of memory that are free.
    free_bytes: Option<u64>,
    trouble: Option<Trouble>,
}

/// What is wrong, and what to do.
#[derive(Serialize)]
struct Trouble {
    what: String,
    hint: String,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let what = error.to_string();
        Trouble { what, hint: if let Error::Cuda { hint, .. } = error { hint } else { String::new() } }
    }
}

/// Looks and prints.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let places = Places::from_environment();
    let (found, no_gpu) = match cards(&places) {
        Ok(cards) => (cards, None),
        Err(error) => (Vec::new(), Some(error.into())),
    };
    let gpus = found.into_iter().map(|card| {
        let opened = Gpu::open(card.index, &places).and_then(|gpu| gpu.free_bytes());
        match opened {
            Ok(free) => Found { card, free_bytes: Some(free), trouble: None },
            Err(error) => Found { card, free_bytes: None, trouble: Some(error.into()) },
        }
    });
    let devices = Devices {
        cpu: Isa::detect().map_err(tatabox::Error::from)?.name(),
        threads: rayon::current_num_threads(),
        gpus: gpus.collect(),
        no_gpu,
    };
    if args.json { ui::print_json(&devices) } else { ui::print(text(&devices)) }
}

fn text(devices: &Devices) -> String {
    let cpu = format!("{} kernels, {} threads", devices.cpu, devices.threads);
    let mut rows = vec![vec!["cpu".to_string(), cpu, "ready".to_string()]];
    for Found { card, free_bytes, trouble } in &devices.gpus {
        let what = format!(
            "{}, compute capability {}.{}, {}",
            card.name,
            card.capability / 10,
            card.capability % 10,
            ui::bytes(card.memory_bytes)
        );
        let state = match trouble {
            Some(_) => "cannot be used".to_string(),
            None => format!("ready, {} free", ui::bytes(free_bytes.unwrap_or(0))),
        };
        rows.push(vec![format!("cuda:{}", card.index), what, state]);
    }
    let mut text = ui::table(&["device", "what it is", "state"], &rows);
    let troubles = devices.gpus.iter().filter_map(|gpu| gpu.trouble.as_ref()).chain(&devices.no_gpu);
    for Trouble { what, hint } in troubles {
        text.push_str(&format!("\nno GPU: {what}\n  to use one: {hint}\n"));
    }
    text
}

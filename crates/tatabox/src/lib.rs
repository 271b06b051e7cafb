//! Models, training, checkpoints and run directories of Tatabox.
//!
//! The modules are listed in order; a module uses only those above it.

pub mod error;

pub mod settings;

pub mod config;

pub mod optimizer;
pub mod schedule;

pub mod recipe;

pub mod weights;

pub mod checkpoint;

pub mod run;

pub mod memory;

mod workers;

pub mod tensorboard;

pub mod models;

pub mod data;

pub mod learned;

pub mod model_files;

pub mod dataset;

pub mod plan;

pub mod evaluate;

pub mod observer;

pub mod metrics;

pub mod run_report;

pub mod train;

pub mod pretrain;

pub mod experiment;

pub mod compare;

pub mod learner;

pub mod windows;

pub mod finetune;

pub mod predict;

pub mod baselines;

pub mod trial;

pub mod fewshot;

pub mod benchmark;

pub mod bench;

pub use error::{Error, Result};

//! The verbs, one a file: what each takes, what it calls, and what it prints.

pub mod bench;
pub mod benchmark;
pub mod compare;
pub mod count;
pub mod data;
pub mod demo;
pub mod devices;
pub mod evaluate;
pub mod fewshot;
pub mod finetune;
pub mod inspect;
pub mod mask;
pub mod pmi;
pub mod predict;
pub mod pretrain;
pub mod simulate;

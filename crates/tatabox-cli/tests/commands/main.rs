//! What the user sees: every verb as a whole command, with its exit code, its stdout and its stderr.

mod shell;

mod bad_input;
mod bench;
mod benchmark;
mod book;
mod command_line;
mod compare;
mod count;
mod data;
mod demo;
mod disk;
mod evaluate;
mod fewshot;
mod finetune;
mod gpu;
mod interrupted;
mod mask;
mod pmi;
mod predict;
mod runs;
mod simulate;
mod trials;

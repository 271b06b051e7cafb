//! Models, training, checkpoints and run directories of Tatabox.

//! Tensors and fused operations of BERT-like models, forward and backward. Knows nothing of DNA.

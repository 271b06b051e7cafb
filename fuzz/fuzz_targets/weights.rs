//! Any bytes as `model.safetensors`: an error that names the file, or the weights that were asked for.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tatabox::weights::{Head, Tensor, parse_weights};

fuzz_target!(|data: &[u8]| {
    let wanted = [
        Tensor { name: "bert.embeddings.word_embeddings.weight", shape: &[3, 2], values: &[] },
        Tensor { name: "bert.encoder.layer.0.attention.self.qkv.bias", shape: &[6], values: &[] },
        Tensor { name: "cls.predictions.bias", shape: &[3], values: &[] },
    ];
    match parse_weights(data, Path::new("fuzz"), &wanted, Head::Optional) {
        Ok(weights) => {
            for (values, tensor) in weights.values.iter().zip(&wanted) {
                let elements: usize = tensor.shape.iter().product();
                assert!(values.as_ref().is_none_or(|values| values.len() == elements), "{}", tensor.name);
            }
        }
        Err(error) => assert!(error.to_string().starts_with("`fuzz`"), "{error}"),
    }
});

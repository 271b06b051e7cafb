//! Any text as `config.json` and as a recipe: an error that names the file, or a configuration that survives being written and read again.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tatabox::config::BertConfig;
use tatabox::recipe::RunConfig;
use tatabox::settings::Settings;

fuzz_target!(|text: &str| {
    match BertConfig::parse(text, Path::new("fuzz")) {
        Ok(config) => assert_eq!(BertConfig::parse(&config.to_json(), Path::new("fuzz")).expect("it was written"), config),
        Err(error) => assert!(error.to_string().starts_with("`fuzz`"), "{error}"),
    }
    match Settings::parse(text, "fuzz").and_then(RunConfig::resolve) {
        Ok(config) => {
            let written = config.to_toml().expect("every value has a TOML form");
            let again = Settings::parse(&written, "config.toml").and_then(RunConfig::resolve).expect("it was written");
            assert_eq!(again, config);
        }
        Err(error) => assert!(error.is_usage(), "{error}"),
    }
});

//! Held-out scores side by side: models and baselines, on the same masks.

use std::collections::BTreeMap;

use tatabox::checkpoint::Best;
use tatabox_core::score::Scores;

use crate::ui;

/// The losses of a run in words: in training, held out, and what is had without a model on the same held-out masks.
pub fn losses(
    training: Option<f64>,
    held_out: Option<f64>,
    best: Option<Best>,
    baselines: &BTreeMap<String, f64>,
) -> [(&'static str, String); 3] {
    let nats =
        |loss: Option<f64>| loss.map_or("not measured".to_string(), |loss| format!("{loss:.4} nats a masked token"));
    let best = best.map_or(String::new(), |best| format!(" (best: {:.4} at step {})", best.loss, ui::count(best.step)));
    let guessed: Vec<String> = sorted(baselines).iter().map(|(name, loss)| format!("{loss:.4} {name}")).collect();
    let guessed = if guessed.is_empty() { nats(None) } else { guessed.join(", ") };
    [("training loss", nats(training)), ("held-out loss", nats(held_out) + &best), ("without a model", guessed)]
}

/// Baselines and their losses, the lowest first.
pub fn sorted(baselines: &BTreeMap<String, f64>) -> Vec<(&String, f64)> {
    let mut sorted: Vec<(&String, f64)> = baselines.iter().map(|(name, &loss)| (name, loss)).collect();
    sorted.sort_by(|one, other| one.1.total_cmp(&other.1));
    sorted
}

/// Two tables: each row over all masks, and each row's bits a hidden base by mask.
pub fn tables(rows: &[(String, &Scores)]) -> String {
    let bits = |bits: Option<f64>| bits.map_or("–".to_string(), |bits| format!("{bits:.4}"));
    let overall: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, scores)| {
            let all = &scores.overall;
            let perplexity = format!("{:.3}", all.perplexity);
            vec![name.clone(), format!("{:.4}", all.nats_per_token), perplexity, bits(all.bits_per_hidden_base)]
        })
        .collect();
    let mut text = ui::table(&["all masks", "nats a token", "perplexity", "bits a hidden base"], &overall);
    let Some((_, first)) = rows.first() else { return text };
    let mut header = vec!["bits a hidden base"];
    header.extend(first.by_mask.iter().map(|mask| mask.mask.as_str()));
    let by_mask: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, scores)| {
            let cell = |name: &str| {
                let found = scores.by_mask.iter().find(|mask| mask.mask == name);
                bits(found.and_then(|mask| mask.score.bits_per_hidden_base))
            };
            std::iter::once(name.clone()).chain(header[1..].iter().map(|name| cell(name))).collect()
        })
        .collect();
    text.push('\n');
    text.push_str(&ui::table(&header, &by_mask));
    text
}

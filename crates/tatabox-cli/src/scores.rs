//! Held-out scores side by side: models and baselines, on the same masks.

use tatabox_core::score::Scores;

use crate::ui;

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

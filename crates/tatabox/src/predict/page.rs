//! How good predictions are, as files beside them: `scores.assessment.json` and `scores.html` for `scores.tsv`.

use std::path::PathBuf;

use tatabox_core::assess::Assessment;
use tatabox_core::io::whole;
use tatabox_core::report::{Body, Fact, Html, Renderer, Report, Section};

use super::{Inputs, Request};
use crate::error::Result;

/// Writes both, and says where the page is.
///
/// # Errors
/// They cannot be written.
pub(super) fn write(request: &Request<'_>, assessment: &Assessment, notes: &[String]) -> Result<PathBuf> {
    let (data, page) = (request.output.with_extension("assessment.json"), request.output.with_extension("html"));
    let text = serde_json::to_string_pretty(assessment).expect("a plain struct has a JSON form");
    whole::write(&data, |out| writeln!(out, "{text}"))?;
    let report = Report {
        title: format!("Predictions in {}", request.output.display()),
        subtitle: format!("{}, {} records with labels", assessment.task, assessment.records),
        sections: assessment.sections("predictions").into_iter().chain([facts(request, notes)]).collect(),
    };
    whole::write(&page, |out| out.write_all(Html.render(&report).as_bytes()))?;
    Ok(page)
}

fn facts(request: &Request<'_>, notes: &[String]) -> Section {
    let mut facts = vec![Fact::new("model", request.name.clone())];
    if let Inputs::Sequences { paths, .. } = &request.inputs {
        facts.extend(paths.iter().map(|path| Fact::new("input", path.display().to_string())));
    }
    for (key, value) in request.model.as_object().into_iter().flatten() {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        facts.push(Fact::new(key, shown));
    }
    facts.extend(notes.iter().map(|note| Fact::new("note", note)));
    Section::new("facts", "What was asked", Body::Facts { facts })
}

//! The choices of the `[mask]` table that have names.

use serde::{Deserialize, Serialize};

use super::CorruptionUnit;
use crate::names::named;

/// Which tokens are masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Strategy {
    /// Tokens, one by one.
    Token,
    /// A centre and its k-1 neighbours.
    #[default]
    KmerSpan,
    /// Spans of m tokens, m by phase.
    RandomMask,
    /// Centres, of which the best-ranked half hide a whole k-mer.
    Pmi,
    /// Units of a masking vocabulary.
    PmiVocab,
}
named!(
    Strategy,
    "mask.strategy",
    Token = "token",
    KmerSpan = "kmer-span",
    RandomMask = "random-mask",
    Pmi = "pmi",
    PmiVocab = "pmi-vocab"
);

/// Whose rank `pmi` looks up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Lookup {
    /// The rank of the k-mer at a position, as the paper says.
    #[default]
    Paper,
    /// The rank of the k-mer whose id is the position, and whole k-mers at all centres where there are eight or fewer: what the published program does
    /// (`roysoumya/GeneMask:Code-B_run_pretrain_pmi.py`). It never looks at the sequence.
    PositionBug,
}
named!(Lookup, "mask.selection", Paper = "paper", PositionBug = "position-bug");

/// How the centre rate of a span follows from the mask rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Rate {
    /// One centre rate for all spans: `mask_rate` over the shortest span (0.15 / 6 = 2.5 % for 6-mers, as in both papers). Overlaps leave fewer
    /// tokens masked (14.1 % for 6), longer spans more (up to 30 % for 14).
    #[default]
    Paper,
    /// A centre rate for every span, so that the masked share is `mask_rate`; for `pmi` it is measured on windows of the genome.
    Constant,
}
named!(Rate, "mask.rate", Paper = "paper", Constant = "constant");

/// The order of the phases of `random-mask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Schedule {
    /// The paper's: the set of spans grows.
    #[default]
    Expanding,
    /// All spans from the first step.
    FixedWide,
    /// The paper's phases backwards, each as long as in the paper.
    Contracting,
    /// The paper's phases in an order that the seed draws, each as long as in the paper.
    Shuffled,
}
named!(
    Schedule,
    "mask.schedule",
    Expanding = "expanding",
    FixedWide = "fixed-wide",
    Contracting = "contracting",
    Shuffled = "shuffled"
);

named!(CorruptionUnit, "mask.corruption_unit", Token = "token", Span = "span");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for name in Strategy::NAMES {
            assert_eq!(name.parse::<Strategy>().unwrap().to_string(), *name);
        }
        for name in Schedule::NAMES {
            assert_eq!(name.parse::<Schedule>().unwrap().to_string(), *name);
        }
        for name in Rate::NAMES {
            assert_eq!(name.parse::<Rate>().unwrap().to_string(), *name);
        }
        for name in Lookup::NAMES {
            assert_eq!(name.parse::<Lookup>().unwrap().to_string(), *name);
        }
        for name in CorruptionUnit::NAMES {
            assert_eq!(name.parse::<CorruptionUnit>().unwrap().to_string(), *name);
        }
    }

    #[test]
    fn an_unknown_name_has_the_nearest_known_one_as_its_hint() {
        let error = "shuffeld".parse::<Schedule>().unwrap_err();
        assert_eq!(error.hint(), Some("set `mask.schedule = \"shuffled\"`"));
        assert_eq!("bpe".parse::<Strategy>().unwrap_err().hint(), None);
    }
}

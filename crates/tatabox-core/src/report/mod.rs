//! Results as pages to look at.

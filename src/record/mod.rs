//! Lines of a log: what each one is, and how files are read line by line.
//!
//! The folder owns the step from bytes to lines to verdicts: classification, templates, walks
//! forward and back. It never decides about more than one line. The files are in the order of
//! dependence: `template` serves `classify`, the walks know only the longest line.

pub(crate) mod template;
pub mod classify;
pub(crate) mod lines;
pub(crate) mod reverse_lines;

//! Lines of a log: what each one is, and how files are read line by line.

pub(crate) mod template;
pub mod classify;
pub(crate) mod lines;
pub(crate) mod reverse_lines;

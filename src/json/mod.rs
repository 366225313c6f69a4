//! JSON texts, read where they stand: the grammar, strings, canonical forms. Nothing here knows of
//! logs or events.

pub(crate) mod excerpt;
pub(crate) mod escape;
mod string_mask;
pub mod parser;
pub(crate) mod decimal;
mod key_order;
pub(crate) mod member_path;
pub mod canonical;

pub(crate) use parser::*;

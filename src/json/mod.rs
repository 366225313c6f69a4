//! JSON texts, read where they stand: the grammar, strings, canonical forms. Nothing here knows of
//! logs or events.

pub(crate) mod excerpt;
pub(crate) mod escape;
mod string_mask;
mod nesting;
mod parser;
pub(crate) mod decimal;
mod key_order;
pub(crate) mod member_path;
mod canonicalizer;
pub mod canonical;

pub(crate) use canonicalizer::Canonicalizer;
pub(crate) use nesting::Shape;
pub use nesting::Fault;
pub use parser::object;
pub(crate) use parser::{BYTE_ORDER_MARK, Objects, Visitor, parse};

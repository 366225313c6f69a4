//! JSON texts, read as they are: no values are built.
//!
//! The folder owns the grammar, the ends of strings, escapes, the order of keys, RFC 8785 and the
//! value of a decimal. It also owns the short excerpts and member paths of messages. It never knows
//! the fields of an event, and touches no file.
//!
//! The files are in the order of dependence: parts of texts (`excerpt`, `escape`, `string_mask`),
//! the grammar (`nesting`, `parser`), then what is built on it.

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
pub use nesting::Fault;
pub(crate) use nesting::Shape;
pub use parser::object;
pub(crate) use parser::{BYTE_ORDER_MARK, Objects, Visitor, parse};

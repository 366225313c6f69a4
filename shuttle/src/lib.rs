//! The core, scheduled by shuttle. See `build.rs`.
#![allow(dead_code, missing_docs, unexpected_cfgs)]

include!(concat!(env!("OUT_DIR"), "/lib.rs"));

mod sync;

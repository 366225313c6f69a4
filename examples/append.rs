//! Appends events to a log from Rust, one after the other. Programs in other languages may append
//! to the log at the same time:
//!
//! ```sh
//! cargo run --no-default-features --example append -- notes.sage \
//!   '{"type":"NOTE","timestamp":"2026-01-01T00:00:00Z","actor":{"agent":"me","id":"1"}}'
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::process::ExitCode;

use sage_chronicle::{AppendOptions, ChroniclePath, Receipt, Result, append};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), events) = (arguments.next(), arguments.collect::<Vec<_>>()) else {
        return usage();
    };
    if events.is_empty() {
        return usage();
    }
    for event in events {
        match run(&path, &event) {
            Ok(Receipt { seq, offset, duplicate, .. }) => {
                let word = if duplicate { "already there" } else { "written" };
                println!("{word}: record {seq} at byte {offset}");
            }
            Err(error) => {
                eprintln!("{}: {error}", error.code().as_str());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn run(path: &str, event: &str) -> Result<Receipt> {
    append(&ChroniclePath::parse(path)?, event, AppendOptions::default())
}

fn usage() -> ExitCode {
    eprintln!("usage: append FILE.sage EVENT...");
    ExitCode::from(2)
}

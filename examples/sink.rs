//! The sink of a daemon that writes events of its own form, without `type` or `actor`: whole lines
//! from the standard input, each durable before the next one is read. Many daemons, and programs in
//! other languages, may append to the log at the same time:
//!
//! ```sh
//! echo '{"persona":"warden","repo":"sage","file":"a.rs","timestamp":1767322800000}' |
//!   cargo run --no-default-features --example sink -- valve.ndjson
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::io::stdin;
use std::process::ExitCode;

use sage_chronicle::{AppendOptions, ChroniclePath, Receipt, Result, append_lines};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: sink FILE < LINES");
        return ExitCode::from(2);
    };
    for line in stdin().lines() {
        let Ok(line) = line else {
            eprintln!("the standard input is no UTF-8");
            return ExitCode::FAILURE;
        };
        match record(&path, &line) {
            Ok(receipts) => receipts.iter().for_each(|receipt| println!("record {}", receipt.seq)),
            Err(error) => {
                eprintln!("{}: {error}", error.code().as_str());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Appends a line as it is: no envelope is required, and no id is computed.
fn record(path: &str, line: &str) -> Result<Vec<Receipt>> {
    let log = ChroniclePath::parse_any_extension(path)?;
    append_lines(&log, line.as_bytes(), AppendOptions::default())
}

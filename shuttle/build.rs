//! Copies the sources of the core, with `std::sync` replaced by `src/sync.rs` and the pool by `src/pool.rs`, and without
//! the unit tests. Nothing else is changed.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=../src");
    println!("cargo::rerun-if-changed=src");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    for entry in fs::read_dir("../src")? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else { continue };
        let text = fs::read_to_string(&path)?;
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let text = code.replace("std::sync::", "crate::sync::");
        // An included file has no inner attributes: the list of modules begins behind them.
        let is_module = |line: &&str| line.starts_with("mod ") || line.starts_with("pub mod ");
        let text = match text.lines().find(is_module) {
            Some(first) if name == "lib.rs" => text[text.find(first).unwrap_or(0)..].to_owned(),
            _ => text,
        };
        fs::write(Path::new(&out).join(name), text)?;
    }
    fs::copy("src/pool.rs", Path::new(&out).join("pool.rs"))?;
    fs::copy("src/sync.rs", Path::new(&out).join("sync.rs"))?;
    Ok(())
}

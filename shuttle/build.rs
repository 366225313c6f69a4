//! Copies the sources of the core, with `std::sync` replaced by `src/sync.rs` and the pool by
//! `src/pool.rs`, and without the unit tests. Nothing else is changed.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=../src");
    println!("cargo::rerun-if-changed=src");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let out = Path::new(&out);
    copy_folder(Path::new("../src"), out)?;
    let lib = fs::read_to_string(out.join("lib.rs"))?;
    // An included file has no inner attributes: the list of modules begins behind them.
    let is_module = |line: &&str| line.starts_with("mod ") || line.starts_with("pub mod ");
    let first = lib.lines().find(is_module).and_then(|first| lib.find(first)).unwrap_or(0);
    fs::write(out.join("lib.rs"), &lib[first..])?;
    fs::copy("src/pool.rs", out.join("threads").join("pool.rs"))?;
    fs::copy("src/sync.rs", out.join("sync.rs"))?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        fs::write(to.join(name), code.replace("std::sync::", "crate::sync::"))?;
    }
    Ok(())
}

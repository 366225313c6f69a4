//! The order of the modules in `lib.rs` is the order of dependence: what is read first needs nothing that comes later.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Modules that are one thing in several files, and may name each other.
const TOGETHER: [&[&str]; 3] = [
    &["unix", "windows", "platform"],
    &["event", "envelope"],
    &["shared", "ledger", "state", "acquire", "commit", "writer"],
];

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn modules() -> Vec<String> {
    let lib = source("src/lib.rs");
    let name = |line: &str| {
        let line = line.trim_start_matches("pub ");
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    lib.lines().filter_map(name).collect()
}

/// The modules of the crate that a source file names.
fn named(text: &str, modules: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let words: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list[..list.find('}').unwrap()].split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for word in words {
            let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
            names.extend(modules.iter().find(|module| **module == word[..end]).cloned());
        }
    }
    names
}

#[test]
fn a_module_names_only_modules_that_come_before_it() {
    let modules = modules();
    assert!(modules.len() > 20, "lib.rs was not understood: {modules:?}");
    let place = |name: &str| modules.iter().position(|module| module == name).unwrap();
    for module in modules.iter().filter(|module| *module != "node") {
        let text = source(&format!("src/{module}.rs"));
        let code = text.split("#[cfg(test)]").next().unwrap();
        for other in named(code, &modules) {
            let together = TOGETHER
                .iter()
                .any(|group| group.contains(&module.as_str()) && group.contains(&other.as_str()));
            let comes_before = place(&other) <= place(module);
            assert!(comes_before || together, "{module} names {other}, which comes later");
        }
    }
}

#[test]
fn only_one_module_knows_each_of_the_outer_worlds() {
    let only = [
        ("fs4::", &["lock"][..]),
        ("std::os::", &["unix", "windows"]),
        ("rustix::", &["unix"]),
        ("winapi_util::", &["windows"]),
        ("crate::unix", &["platform"]),
        ("crate::windows", &["platform"]),
        (
            "std::fs",
            &[
                "unix",
                "windows",
                "platform",
                "folder",
                "lock",
                "storage",
                "part",
                "side_index",
                "indexing",
                "replacement",
            ],
        ),
        ("napi::", &[]),
        ("napi_derive::", &[]),
        ("unsafe", &[]),
    ];
    for module in modules().iter().filter(|module| *module != "node") {
        let text = source(&format!("src/{module}.rs"));
        let code: String = text
            .split("#[cfg(test)]")
            .next()
            .unwrap()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for (word, allowed) in only {
            let fine = !code.contains(word) || allowed.contains(&module.as_str());
            assert!(fine, "{module} names {word}");
        }
    }
}

#[test]
fn unsafe_code_stands_in_two_files_of_the_binding() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/node");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_allowed =
            path.file_name().is_some_and(|name| name == "wake.rs" || name == "text.rs");
        let text = fs::read_to_string(&path).unwrap();
        assert!(is_allowed || !text.contains("unsafe"), "{} has unsafe code", path.display());
    }
}

//! The order of the `mod` lines in `lib.rs` and in every `mod.rs` is the order of dependence. A
//! module uses only modules that are before it. What a folder's own `mod.rs` defines comes after
//! all of its children.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module by the names on the way to it: `["dedup", "table"]`.
type Module = Vec<String>;

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code of a source file without its unit tests and comments.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\nmod tests {").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect()
}

fn names_of_mod_lines(code: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    code.lines().filter_map(name).collect()
}

/// All source files, each with its module, and the order of the children of each folder.
struct House {
    files: BTreeMap<Module, PathBuf>,
    order: BTreeMap<Module, Vec<String>>,
}

impl House {
    fn read() -> House {
        let mut house = House { files: BTreeMap::new(), order: BTreeMap::new() };
        house.add(Vec::new(), &source_root().join("lib.rs"));
        house
    }

    /// Adds a module and everything that its `mod` lines name.
    fn add(&mut self, module: Module, file: &Path) {
        let children = names_of_mod_lines(&code_of(file));
        let folder = file.parent().unwrap();
        for child in &children {
            let path = [module.as_slice(), std::slice::from_ref(child)].concat();
            let flat = folder.join(format!("{child}.rs"));
            let nested = folder.join(child).join("mod.rs");
            self.add(path, if flat.exists() { &flat } else { &nested });
        }
        self.files.insert(module.clone(), file.to_owned());
        if !children.is_empty() {
            self.order.insert(module, children);
        }
    }

    /// The innermost module that a path of names leads to.
    fn innermost(&self, path: &[String]) -> Module {
        let is_module = |length: &usize| self.files.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(is_module).unwrap();
        path[..length].to_vec()
    }

    /// Why `module` may not use `other`, if it may not.
    fn fault(&self, module: &[String], other: &[String]) -> Option<&'static str> {
        let shared = module.iter().zip(other).take_while(|(mine, theirs)| mine == theirs).count();
        if other.len() == shared {
            let is_the_binding = other.is_empty() && module[0] == "node";
            let is_itself = module.len() == shared;
            return (!is_itself && !is_the_binding).then_some("which is the folder around it");
        }
        if module.len() == shared {
            return None;
        }
        let siblings = &self.order[&module[..shared]];
        let place = |name: &String| siblings.iter().position(|sibling| sibling == name).unwrap();
        let comes_before = place(&other[shared]) < place(&module[shared]);
        (!comes_before).then_some("which comes later")
    }
}

/// The paths of names that follow `crate::` or `super::` in some code, relative to the crate.
fn paths_in(code: &str, module: &[String]) -> Vec<Module> {
    let mut paths = Vec::new();
    let parent = module[..module.len().saturating_sub(1)].to_vec();
    for (word, base) in [("crate::", Vec::new()), ("super::", parent)] {
        for (at, _) in code.match_indices(word) {
            collect_paths(&code[at + word.len()..], base.clone(), &mut paths);
        }
    }
    paths
}

/// Reads one path or one list of paths in braces; returns the text behind it.
fn collect_paths<'a>(text: &'a str, mut path: Module, paths: &mut Vec<Module>) -> &'a str {
    let mut text = text;
    loop {
        if let Some(mut list) = text.strip_prefix('{') {
            loop {
                list = list.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
                if let Some(renamed) = list.strip_prefix("as ") {
                    list = renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
                    continue;
                }
                if let Some(rest) = list.strip_prefix('}') {
                    return rest;
                }
                list = collect_paths(list, path.clone(), paths);
            }
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        if &text[..end] != "self" && end > 0 {
            path.push(text[..end].to_owned());
        }
        match text[end..].strip_prefix("::") {
            Some(rest) if end > 0 => text = rest,
            _ => {
                paths.push(path);
                return text[end..].get(usize::from(end == 0)..).unwrap_or_default();
            }
        }
    }
}

fn all_sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_sources(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_module_uses_only_modules_that_stand_before_it() {
    let house = House::read();
    let mut faults = Vec::new();
    for (module, file) in house.files.iter().filter(|(module, _)| !module.is_empty()) {
        for path in paths_in(&code_of(file), module) {
            let other = house.innermost(&path);
            if let Some(fault) = house.fault(module, &other) {
                faults.push(format!("{} uses {}, {fault}", module.join("/"), path.join("::")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_source_file_and_every_folder_is_under_the_rule() {
    let house = House::read();
    let mut known: Vec<PathBuf> = house.files.into_values().collect();
    let mut found = all_sources(&source_root());
    known.sort();
    found.sort();
    assert_eq!(known, found);
}

#[test]
fn the_rule_finds_each_way_to_use_a_later_module() {
    let house = House::read();
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let faults = |from: &str, code: &str| {
        let from = module(from);
        let others = paths_in(code, &from);
        others.iter().filter(|path| house.fault(&from, &house.innermost(path)).is_some()).count()
    };
    assert_eq!(faults("dedup/table", "use crate::writer::state::State;"), 1);
    assert_eq!(faults("dedup/table", "use crate::{error::Error, writer::{state, shared}};"), 2);
    assert_eq!(faults("dedup/table", "let x = super::builder::build();"), 1);
    assert_eq!(faults("dedup/table", "use crate::dedup::builder::{self};"), 1);
    assert_eq!(faults("json/canonical", "use crate::json::Fault;"), 1);
    assert_eq!(faults("read/reader", "use crate::Cursor;"), 1);
    assert_eq!(faults("node/reader", "use crate::Cursor;"), 0);
    assert_eq!(faults("dedup/builder", "use crate::dedup::table::Entry; use crate::error;"), 0);
}

#[test]
fn only_one_module_knows_each_of_the_outer_worlds() {
    let only = [
        ("fs4::", &["storage/lock.rs"][..]),
        ("std::os::", &["os/unix.rs", "os/windows.rs"]),
        ("rustix::", &["os/unix.rs", "os/page_cache.rs"]),
        ("winapi_util::", &["os/windows.rs"]),
        (
            "std::fs",
            &[
                "os/unix.rs",
                "os/windows.rs",
                "os/files.rs",
                "os/page_cache.rs",
                "storage/folder.rs",
                "storage/lock.rs",
                "storage/file.rs",
                "dedup/sorted_run.rs",
                "dedup/index_file.rs",
                "dedup/builder.rs",
                "repair/replacement.rs",
            ],
        ),
        ("napi::", &[]),
        ("napi_derive::", &[]),
        ("unsafe", &[]),
    ];
    for path in all_sources(&source_root()) {
        let file = path.strip_prefix(source_root()).unwrap().to_str().unwrap().replace('\\', "/");
        if file.starts_with("node/") {
            continue;
        }
        let code = code_of(&path);
        for (word, allowed) in only {
            let fine = !code.contains(word) || allowed.contains(&file.as_str());
            assert!(fine, "{file} names {word}");
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

/// The name of the type that a line of code defines.
fn type_defined_in(mut line: &str) -> Option<&str> {
    for word in ["pub(crate) ", "pub(super) ", "pub "] {
        line = line.strip_prefix(word).unwrap_or(line);
    }
    let kinds = ["struct ", "enum ", "trait ", "union ", "type "];
    let rest = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[test]
fn every_type_has_a_name_of_its_own() {
    // The binding mirrors these types of the core.
    let mirrors = ["Follower", "Reader", "Session", "Verifier"];
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in all_sources(&source_root()) {
        let file = path.strip_prefix(source_root()).unwrap().display().to_string();
        for name in code_of(&path).lines().filter_map(type_defined_in) {
            files.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    assert!(files.len() > 300, "{} types", files.len());
    for (name, files) in files.iter().filter(|(_, files)| files.len() > 1) {
        let in_binding = files.iter().filter(|file| file.starts_with("node")).count();
        let is_mirror = mirrors.contains(&name.as_str()) && (files.len(), in_binding) == (2, 1);
        assert!(is_mirror, "{name} is defined in {}", files.join(" and "));
    }
}

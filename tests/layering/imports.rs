//! Which file imports which, read from the code: `use` items and paths, with re-exports followed to the file that defines a name.

use std::collections::{BTreeMap, BTreeSet};

/// A file's module path, as in `["hub", "rooms"]`; empty for `lib.rs`.
pub type Module = Vec<String>;

/// The imports between the files of a crate.
pub struct Imports {
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

impl Imports {
    /// Reads files, given as their path under `src` and their code without comments. Tests are left out.
    pub fn read(files: &[(String, String)]) -> Self {
        let sources: BTreeMap<Module, String> = files
            .iter()
            .filter(|(path, _)| !is_test(path))
            .map(|(path, code)| (module(path), without_tests(code)))
            .collect();
        let reexports = sources
            .iter()
            .map(|(module, code)| (module.clone(), reexports(module, code, &sources)))
            .collect();
        let resolver = Resolver {
            sources: &sources,
            reexports,
        };
        let edges = sources
            .iter()
            .map(|(module, code)| (module.clone(), resolver.imports(module, code)))
            .collect();
        Self { edges }
    }

    /// Sets of files that import each other in a loop. A file and those in its own folder may.
    pub fn circles(&self) -> Vec<BTreeSet<String>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = self
            .edges
            .keys()
            .map(|from| (from, self.reachable(from)))
            .collect();
        let mut circles = BTreeSet::new();
        for (module, there) in &reached {
            let circle: BTreeSet<String> = there
                .iter()
                .filter(|other| reached[*other].contains(module))
                .map(|other| other.join("/"))
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reachable<'a>(&'a self, from: &Module) -> BTreeSet<&'a Module> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Module> = self.edges[from].iter().collect();
        while let Some(module) = next.pop() {
            if found.insert(module) {
                next.extend(&self.edges[module]);
            }
        }
        found
    }
}

struct Resolver<'a> {
    sources: &'a BTreeMap<Module, String>,
    /// By module: each name that it re-exports, and the path of what that is.
    reexports: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Resolver<'_> {
    fn imports(&self, module: &Module, code: &str) -> BTreeSet<Module> {
        paths(code)
            .iter()
            .filter_map(|path| absolute(module, path, self.sources))
            .filter_map(|path| self.defining_file(&path, 0))
            .filter(|file| !file.starts_with(module) && !module.starts_with(file))
            .collect()
    }

    fn defining_file(&self, path: &[String], hops: usize) -> Option<Module> {
        let (file, rest) = (0..=path.len()).rev().find_map(|length| {
            let (file, rest) = path.split_at(length);
            self.sources.contains_key(file).then_some((file, rest))
        })?;
        let reexported = rest.first().and_then(|name| self.reexports[file].get(name));
        match reexported {
            Some(target) if hops < 8 => {
                let path: Vec<String> = target.iter().chain(&rest[1..]).cloned().collect();
                self.defining_file(&path, hops + 1)
            }
            _ => Some(file.to_vec()),
        }
    }
}

fn is_test(path: &str) -> bool {
    let mut parts = path.trim_end_matches(".rs").split('/');
    parts.any(|part| part == "tests" || part == "testing" || part == "conformance")
        || path == "main.rs"
}

fn module(path: &str) -> Module {
    let parts = path.trim_end_matches(".rs").split('/');
    let module: Module = parts.map(str::to_owned).collect();
    if module == ["lib"] {
        Vec::new()
    } else {
        module
    }
}

/// The code without items that only tests have.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut skip = false;
    for line in code.lines() {
        if line.trim() == "#[cfg(test)]" {
            skip = true;
        } else if skip {
            skip = !line.trim_end().ends_with([';', '}']);
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn reexports(
    module: &Module,
    code: &str,
    sources: &BTreeMap<Module, String>,
) -> BTreeMap<String, Module> {
    use_items(code)
        .filter(|(head, _)| head.trim_start().starts_with("pub"))
        .flat_map(|(_, tree)| expand(&tree))
        .filter_map(|path| absolute(module, &path, sources))
        .filter_map(|path| Some((path.last()?.clone(), path)))
        .collect()
}

/// Every path in the code that may lead to another file.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = use_items(code)
        .flat_map(|(_, tree)| expand(&tree))
        .collect();
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    found.extend(
        words
            .filter(|word| word.contains("::") && !word.starts_with(':'))
            .map(split_path),
    );
    found
}

/// The use items of a file: what stands before `use` on its line, and the tree behind it.
fn use_items(code: &str) -> impl Iterator<Item = (String, String)> {
    code.match_indices("use ").filter_map(|(at, _)| {
        let head = code[..at].rsplit('\n').next().unwrap_or_default();
        let is_item = head.trim().is_empty() || head.trim_start().starts_with("pub");
        let tree = code[at + 4..].split(';').next()?;
        is_item.then(|| (head.to_owned(), tree.to_owned()))
    })
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    // In a list, `self` is the module before the list.
    if tree == "self" {
        return vec![Vec::new()];
    }
    let Some((prefix, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        return vec![split_path(path)];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let prefix = split_path(prefix);
    split_list(inner)
        .iter()
        .flat_map(|item| expand(item))
        .map(|path| prefix.iter().cloned().chain(path).collect())
        .collect()
}

fn split_list(list: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().expect("never empty").push(c);
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

fn split_path(path: &str) -> Vec<String> {
    path.split("::")
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// A path from the root of the crate; nothing if it leads out of it.
fn absolute(
    module: &Module,
    path: &[String],
    sources: &BTreeMap<Module, String>,
) -> Option<Module> {
    let first = path.first()?.as_str();
    if first == "crate" {
        return Some(path[1..].to_vec());
    }
    let mut base = module.clone();
    let mut rest = path;
    if first == "self" {
        rest = &rest[1..];
    } else if first != "super" {
        base.push(first.to_owned());
        let is_child = sources.contains_key(&base);
        base.pop();
        return is_child.then(|| base.into_iter().chain(path.iter().cloned()).collect());
    }
    while rest.first().is_some_and(|part| part == "super") {
        base.pop();
        rest = &rest[1..];
    }
    Some(base.into_iter().chain(rest.iter().cloned()).collect())
}

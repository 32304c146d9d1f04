//! Circles between files: a file imports from another one, which imports from it, directly or
//! through others.
//!
//! What counts is the file that defines the item: `super::X` is an import from the file that
//! `mod.rs` re-exports `X` from. A re-export itself is no import, unless other code of the same
//! file uses its name. Unit tests do not count.
//!
//! A method call is no import, because it names no file: `lane/pool.rs` calls methods of `LanePool`
//! that `lane/acquire.rs` adds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::{Import, Mention, imports};

/// A module with a file, from the crate's root. The root itself is empty.
pub(super) type Module = Vec<String>;

/// The source files of a crate.
#[derive(Debug)]
pub(super) struct Files {
    files: BTreeMap<Module, SourceFile>,
}

#[derive(Debug)]
pub(super) struct SourceFile {
    /// Below `src`.
    pub(super) path: String,
    pub(super) imports: Vec<Import>,
}

/// For each file the files from which it imports, each with the first mention as `line: item`.
#[derive(Debug)]
pub(super) struct Graph(BTreeMap<String, BTreeMap<String, String>>);

impl Files {
    /// `texts` are paths below `src` with their contents.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = texts.into_iter().map(|(path, text)| {
            let module = module_of(path);
            let imports = imports(text, &module);
            let path = path.to_owned();
            (module, SourceFile { path, imports })
        });
        Self {
            files: files.collect(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Module, &SourceFile)> {
        self.files.iter()
    }

    /// The module whose file defines the item; `None` if the path names a module.
    pub(super) fn definition(&self, path: &[String]) -> Option<&Module> {
        let mut path = path.to_vec();
        // A chain of re-exports is short.
        for _ in 0..9 {
            let length = (0..=path.len()).rev().find(|length| {
                let prefix = &path[..*length];
                self.files.contains_key(prefix)
            })?;
            let (module, item) = path.split_at(length);
            let (name, after) = item.split_first()?;
            let (module, file) = self.files.get_key_value(module)?;
            let reexport = file.imports.iter().find(|import| {
                !import.is_test && import.mention.bound_name() == Some(name) && import.path != path
            });
            match reexport {
                Some(reexport) => path = [reexport.path.as_slice(), after].concat(),
                None => return Some(module),
            }
        }
        None
    }

    pub(super) fn graph(&self) -> Graph {
        let edges = self.files.iter().map(|(module, file)| {
            let mut targets = BTreeMap::new();
            for import in &file.imports {
                let counts = match import.mention {
                    Mention::Use(_) | Mention::Path => true,
                    Mention::Reexport { is_used, .. } => is_used,
                };
                if import.is_test || !counts {
                    continue;
                }
                match self.definition(&import.path) {
                    Some(target) if target != module => {
                        let mention = format!("{}: {}", import.line, import.path.join("::"));
                        targets
                            .entry(self.files[target].path.clone())
                            .or_insert(mention);
                    }
                    _ => {}
                }
            }
            (file.path.clone(), targets)
        });
        Graph(edges.collect())
    }
}

fn module_of(path: &str) -> Module {
    let mut module: Module = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    module.pop_if(|last| last == "mod" || last == "lib");
    module
}

impl Graph {
    /// The shortest chain of imports from one file to another.
    fn chain(&self, from: &str, to: &str) -> Option<Vec<&str>> {
        let (start, _) = self.0.get_key_value(from)?;
        let mut queue = VecDeque::from([vec![start.as_str()]]);
        let mut seen = BTreeSet::from([from]);
        while let Some(chain) = queue.pop_front() {
            let last = *chain.last()?;
            if last == to {
                return Some(chain);
            }
            for next in self.0.get(last).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next) {
                    queue.push_back([chain.as_slice(), &[next]].concat());
                }
            }
        }
        None
    }

    /// The shortest circle through each import, with the line and the item of every import.
    pub(super) fn circles(&self) -> Vec<String> {
        let edges = self.0.iter().flat_map(|(from, targets)| {
            let targets = targets.keys();
            targets.map(move |to| (from.as_str(), to.as_str()))
        });
        let circles: BTreeSet<Vec<&str>> = edges
            .filter_map(|(from, to)| {
                let mut circle = self.chain(to, from)?;
                // Several imports of one circle lead to the same one, which begins elsewhere.
                let first = circle.iter().enumerate().min_by_key(|(_, file)| **file)?.0;
                circle.rotate_left(first);
                Some(circle)
            })
            .collect();
        circles.iter().map(|circle| self.describe(circle)).collect()
    }

    fn describe(&self, circle: &[&str]) -> String {
        let next = circle.iter().cycle().skip(1);
        let steps = circle.iter().zip(next).map(|(from, to)| {
            let mention = &self.0[*from][*to];
            format!("{from}:{mention} ->")
        });
        let steps: Vec<String> = steps.collect();
        format!("{} {}", steps.join(" "), circle[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(texts: &[(&str, &str)]) -> Vec<String> {
        Files::new(texts.iter().copied()).graph().circles()
    }

    #[test]
    fn files_that_import_from_each_other_are_a_circle() {
        let found = circles(&[
            ("m/mod.rs", "mod a; mod b; mod c;"),
            ("m/a.rs", "use super::b::B;"),
            ("m/b.rs", "use crate::{m::c, std};\nfn f() { c::g() }"),
            ("m/c.rs", "use super::{a::A};"),
            ("n.rs", "use crate::m::a::A;"),
        ]);
        assert_eq!(
            found,
            ["m/a.rs:1: m::b::B -> m/b.rs:2: m::c::g -> m/c.rs:1: m::a::A -> m/a.rs"]
        );
    }

    #[test]
    fn a_child_and_the_file_that_declares_it_are_a_circle_if_each_uses_the_other() {
        let child = ("m/a.rs", "use super::Own;");
        let reexport = "mod a; pub(crate) use a::A; pub(crate) struct Own;";
        assert_eq!(circles(&[("m/mod.rs", reexport), child]), [""; 0]);
        for user in [
            "mod a; use a::A; struct Own;",
            "mod a; struct Own; fn f() { a::g() }",
            "mod a; pub(crate) use a::A; struct Own(A);",
        ] {
            assert_eq!(circles(&[("m/mod.rs", user), child]).len(), 1, "{user}");
        }
    }

    #[test]
    fn an_item_is_imported_from_the_file_that_defines_it() {
        let found = circles(&[
            ("lib.rs", "mod m; pub use m::B;"),
            (
                "m/mod.rs",
                "mod a; mod b; pub use b::B; use a::A; struct Own;",
            ),
            ("m/a.rs", "use super::B; use crate::B as C;"),
            (
                "m/b.rs",
                "#[cfg(test)]\nmod tests { use super::super::a::A; use super::*; }",
            ),
        ]);
        assert_eq!(found, [""; 0]);
    }
}

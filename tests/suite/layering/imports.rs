//! Which items of the crate a source file names: in `use` declarations, and in paths within code.
//!
//! ```text
//! text --> tokens: comments and literals are gone
//!      --> uses and paths, relative to the module in which they stand
//!      --> Import: the path from the crate's root
//! ```
//!
//! A path is followed if it begins with `crate`, `super`, `self`, a child module, or a name that a
//! `use` of the same file binds.

use std::collections::BTreeMap;

use super::tokens::{Token, tokens};

/// One mention of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) line: usize,
    /// The segments from the crate's root; the last one is `*` for a glob.
    pub(super) path: Vec<String>,
    pub(super) mention: Mention,
    /// Whether it stands in an inline module below `#[cfg(test)]`.
    pub(super) is_test: bool,
}

/// How a file mentions an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mention {
    /// A private `use`, with the name that it binds.
    Use(String),
    /// A `use` with a visibility, and whether other code of the file uses its name.
    Reexport { name: String, is_used: bool },
    /// A path in code.
    Path,
}

impl Mention {
    /// The name that a `use` binds.
    pub(super) fn bound_name(&self) -> Option<&str> {
        match self {
            Self::Use(name) | Self::Reexport { name, .. } => Some(name),
            Self::Path => None,
        }
    }
}

/// All imports of a file, in the order of the text.
///
/// `module` is the file's module, from the crate's root.
pub(super) fn imports(text: &str, module: &[String]) -> Vec<Import> {
    let tokens = tokens(text);
    let mut scanner = Scanner {
        tokens: &tokens,
        scopes: Vec::new(),
        depth: 0,
        children: Vec::new(),
        found: Vec::new(),
    };
    scanner.scan();
    let Scanner {
        children, found, ..
    } = scanner;
    let bindings: BTreeMap<String, Vec<String>> = found
        .iter()
        .filter(|found| found.scope.is_empty())
        .filter_map(|found| {
            let name = found.mention.bound_name()?.to_owned();
            Some((name, absolute(found, module, &children, None)?))
        })
        .collect();
    let resolved = found.iter().filter_map(|found| {
        Some(Import {
            line: found.line,
            path: absolute(found, module, &children, Some(&bindings))?,
            mention: found.mention.clone(),
            is_test: found.is_test,
        })
    });
    resolved.collect()
}

/// The path from the crate's root; `None` for an item of another crate or of this file.
fn absolute(
    found: &Found,
    module: &[String],
    children: &[String],
    bindings: Option<&BTreeMap<String, Vec<String>>>,
) -> Option<Vec<String>> {
    let mut base = [module, found.scope.as_slice()].concat();
    let (first, mut rest) = found.segments.split_first()?;
    match first.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop();
            while let Some(("super", after)) = rest
                .split_first()
                .map(|(next, after)| (next.as_str(), after))
            {
                base.pop();
                rest = after;
            }
        }
        child if found.scope.is_empty() && children.iter().any(|name| name == child) => {
            base.push(child.to_owned());
        }
        name => match bindings {
            Some(bindings) if found.mention == Mention::Path => {
                base.clone_from(bindings.get(name)?);
            }
            _ => return None,
        },
    }
    Some([base.as_slice(), rest].concat())
}

/// A path as it is written.
#[derive(Debug)]
struct Found {
    line: usize,
    segments: Vec<String>,
    mention: Mention,
    /// The inline modules around it.
    scope: Vec<String>,
    is_test: bool,
}

#[derive(Debug)]
struct Scanner<'a> {
    tokens: &'a [(usize, Token<'a>)],
    /// The inline modules around the current token.
    scopes: Vec<Scope>,
    depth: usize,
    /// Modules that the file declares and that have files of their own.
    children: Vec<String>,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Scope {
    name: String,
    depth: usize,
    is_test: bool,
}

const CFG_TEST: [Token<'_>; 7] = [
    Token::Sign('#'),
    Token::Sign('['),
    Token::Word("cfg"),
    Token::Sign('('),
    Token::Word("test"),
    Token::Sign(')'),
    Token::Sign(']'),
];

impl<'a> Scanner<'a> {
    fn token(&self, at: usize) -> Option<Token<'a>> {
        self.tokens.get(at).map(|(_, token)| *token)
    }

    fn word(&self, at: usize) -> Option<&'a str> {
        match self.token(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn scan(&mut self) {
        // The positions of words outside `use` declarations that may use a re-exported name.
        let mut words = Vec::new();
        let mut at = 0;
        while let Some(token) = self.token(at) {
            let before = at.checked_sub(1).and_then(|before| self.token(before));
            let next = self.token(at + 1);
            match token {
                Token::Sign('{') => self.depth += 1,
                Token::Sign('}') => {
                    self.scopes.pop_if(|scope| scope.depth == self.depth);
                    self.depth = self.depth.saturating_sub(1);
                }
                Token::Word("mod") => self.declare(at),
                // Not the `use<..>` of captured lifetimes.
                Token::Word("use") if next != Some(Token::Sign('<')) => {
                    let is_public = self.has_visibility(at);
                    at = self.tree(at + 1, &[], is_public);
                    continue;
                }
                Token::Word(word) if !matches!(before, Some(Token::Colons | Token::Sign('.'))) => {
                    if !matches!(before, Some(Token::Word("fn" | "mod" | "struct"))) {
                        words.push(word);
                    }
                    if next == Some(Token::Colons) {
                        at = self.path(at);
                        continue;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        for found in &mut self.found {
            if let Mention::Reexport { name, is_used } = &mut found.mention {
                *is_used = words.contains(&name.as_str());
            }
        }
    }

    /// `mod name {` opens a scope, `mod name;` declares a child.
    fn declare(&mut self, at: usize) {
        let Some(name) = self.word(at + 1) else {
            return;
        };
        match self.token(at + 2) {
            Some(Token::Sign('{')) => {
                let attribute = self.tokens[..at].iter().map(|(_, token)| *token);
                let is_test = attribute.rev().take(7).eq(CFG_TEST.into_iter().rev());
                self.scopes.push(Scope {
                    name: name.to_owned(),
                    depth: self.depth + 1,
                    is_test,
                });
            }
            Some(Token::Sign(';')) if self.scopes.is_empty() => {
                self.children.push(name.to_owned());
            }
            _ => {}
        }
    }

    /// Whether `pub`, or `pub(..)`, stands before this token.
    fn has_visibility(&self, at: usize) -> bool {
        let mut before = self.tokens[..at].iter().rev().map(|(_, token)| *token);
        match before.next() {
            Some(Token::Word("pub")) => true,
            Some(Token::Sign(')')) => {
                before.by_ref().find(|token| *token == Token::Sign('('));
                before.next() == Some(Token::Word("pub"))
            }
            _ => false,
        }
    }

    /// Reads a tree of a `use` declaration, and returns the position after it.
    fn tree(&mut self, mut at: usize, prefix: &[String], is_public: bool) -> usize {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(at).map_or(0, |(line, _)| *line);
        let mut name = None;
        while let Some(token) = self.token(at) {
            match token {
                Token::Colons => {}
                Token::Sign('{') => {
                    at += 1;
                    while self
                        .token(at)
                        .is_some_and(|token| token != Token::Sign('}'))
                    {
                        at = match self.token(at) {
                            Some(Token::Sign(',')) => at + 1,
                            _ => self.tree(at, &segments, is_public),
                        };
                    }
                    return at + 1;
                }
                Token::Sign('*') => segments.push("*".to_owned()),
                // `{self}` names the module itself.
                Token::Word("self") if !segments.is_empty() => {}
                Token::Word("as") => {
                    name = self.word(at + 1);
                    at += 1;
                }
                Token::Word(word) => segments.push(word.to_owned()),
                Token::Sign(_) => break,
            }
            at += 1;
        }
        let name = name
            .map(str::to_owned)
            .or_else(|| segments.last().cloned())
            .unwrap_or_default();
        let mention = if is_public {
            Mention::Reexport {
                name,
                is_used: false,
            }
        } else {
            Mention::Use(name)
        };
        self.record(line, segments, mention);
        at
    }

    /// Reads a path in code, and returns the position after it.
    fn path(&mut self, mut at: usize) -> usize {
        let line = self.tokens[at].0;
        let mut segments = Vec::new();
        while let Some(word) = self.word(at) {
            segments.push(word.to_owned());
            at += 1;
            if self.token(at) != Some(Token::Colons) {
                break;
            }
            at += 1;
        }
        self.record(line, segments, Mention::Path);
        at
    }

    fn record(&mut self, line: usize, segments: Vec<String>, mention: Mention) {
        self.found.push(Found {
            line,
            segments,
            mention,
            scope: self.scopes.iter().map(|scope| scope.name.clone()).collect(),
            is_test: self.scopes.iter().any(|scope| scope.is_test),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of a text in the module `m::file`, each with its line.
    fn paths(text: &str) -> Vec<String> {
        let module = ["m", "file"].map(str::to_owned);
        imports(text, &module)
            .iter()
            .map(|import| format!("{} {}", import.line, import.path.join("::")))
            .collect()
    }

    #[test]
    fn braces_may_nest_and_span_lines() {
        let text = "use crate::{\n    a,\n    b::{c, d::{self, E as F}},\n    g::*,\n};\n\
                    use super::h;\npub(in crate::m) use super::super::k::{L};";
        assert_eq!(
            paths(text),
            [
                "2 a",
                "3 b::c",
                "3 b::d",
                "3 b::d::E",
                "4 g::*",
                "6 m::h",
                // The visibility names a module, too.
                "7 m",
                "7 k::L"
            ]
        );
    }

    #[test]
    fn paths_in_code_count_also_through_a_name_that_a_use_binds() {
        let text = "use super::registry;\nuse std::fmt;\nmod child;\n\
                    fn f(x: fmt::Display) -> crate::a::B<super::c::D> {\n\
                    registry::open(child::G, std::mem::take(x))\n}";
        assert_eq!(
            paths(text),
            [
                "1 m::registry",
                "4 a::B",
                "4 m::c::D",
                "5 m::registry::open",
                "5 m::file::child::G"
            ]
        );
    }

    #[test]
    fn comments_and_literals_hide_nothing_but_themselves() {
        let text = r##"// use crate::a;
/* use crate::b; /* nested */ use crate::c; */
/// [`crate::d`]
fn f<'a>(x: &'a str) { g("crate::e \" crate::f", '"', '\'', '\\', b"\"", b'"'); crate::h::i(); }
const S: &str = r#"crate::j " crate::k"#; use crate::r#l::M;
"##;
        assert_eq!(paths(text), ["4 h::i", "5 l::M"]);
    }

    #[test]
    fn super_in_an_inline_module_is_the_file_itself() {
        let text = "use super::x;\n#[cfg(test)]\nmod tests {\n    use super::*;\n    \
                    use super::super::y;\n}\nfn f() { super::z() }";
        let module = ["m", "file"].map(str::to_owned);
        let found: Vec<_> = imports(text, &module)
            .iter()
            .map(|import| (import.path.join("::"), import.is_test))
            .collect();
        let expected = [
            ("m::x", false),
            ("m::file::*", true),
            ("m::y", true),
            ("m::z", false),
        ];
        assert_eq!(found, expected.map(|(path, test)| (path.to_owned(), test)));
    }

    #[test]
    fn a_reexport_counts_as_used_only_if_other_code_names_it() {
        let text = "mod a;\npub(crate) use a::{Idle, Used, end};\n\
                    fn f(_: Used) { x.end(); other::Idle; }\npub(crate) use a::end as finish;";
        let used: Vec<_> = imports(text, &[])
            .into_iter()
            .filter_map(|import| match import.mention {
                Mention::Reexport { name, is_used } => Some((name, is_used)),
                _ => None,
            })
            .collect();
        let expected = [
            ("Idle", false),
            ("Used", true),
            ("end", false),
            ("finish", false),
        ];
        assert_eq!(
            used,
            expected.map(|(name, is_used)| (name.to_owned(), is_used))
        );
    }
}

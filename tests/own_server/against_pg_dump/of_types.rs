//! Changes of types, routines, operators and text search.

use super::change::Change;

pub(super) const CHANGES: [Change; 88] = [
    Change::new("label added", "enum", "alter type {s}.en{n} add value 'z'"),
    Change::new(
        "label in another place",
        "enum",
        "alter type {s}.en{n} add value 'z' before 'a'",
    ),
    Change::new(
        "label renamed",
        "enum",
        "alter type {s}.en{n} rename value 'a' to 'first'",
    ),
    Change::new(
        "owner of a type",
        "enum",
        "alter type {s}.en{n} owner to ebbtide_owner",
    ),
    Change::new(
        "grant on a type",
        "enum",
        "revoke usage on type {s}.en{n} from public",
    ),
    Change::new(
        "comment on a type",
        "enum",
        "comment on type {s}.en{n} is 't'",
    ),
    Change::new(
        "type renamed",
        "enum",
        "alter type {s}.en{n} rename to other{n}",
    ),
    Change::new(
        "schema of a type",
        "enum",
        "alter type {s}.en{n} set schema other",
    ),
    Change::new(
        "domain not null dropped",
        "domain",
        "alter domain {s}.dom{n} drop not null",
    ),
    Change::new(
        "domain not null with a name",
        "domain",
        "alter domain {s}.dom{n} drop not null; alter domain {s}.dom{n} add constraint \
         given{n} not null",
    )
    .since(18),
    Change::new(
        "default of a domain",
        "domain",
        "alter domain {s}.dom{n} set default 77",
    ),
    Change::new(
        "constraint of a domain",
        "domain",
        "alter domain {s}.dom{n} add constraint small{n} check (value < 99)",
    ),
    Change::new(
        "constraint of a domain without validation",
        "domain",
        "alter domain {s}.dom{n} add constraint small{n} check (value < 99) not valid",
    ),
    Change::new(
        "constraint of a domain renamed",
        "domain",
        "alter domain {s}.dom{n} rename constraint positive{n} to plus{n}",
    ),
    Change::new(
        "comment on a domain's constraint",
        "domain",
        "comment on constraint positive{n} on domain {s}.dom{n} is 'c'",
    ),
    Change::new(
        "domain of another collation",
        "",
        "create domain public.dc{n} as text collate \"C\"",
    ),
    Change::new(
        "range type",
        "range type",
        "drop type {s}.rng{n}; create type {s}.rng{n} as range (subtype = float8, \
         multirange_type_name = {s}.mrng{n})",
    ),
    Change::new(
        "multirange of another name",
        "range type",
        "drop type {s}.rng{n}; create type {s}.rng{n} as range (subtype = float8, \
         subtype_diff = float8mi, multirange_type_name = {s}.ranges{n})",
    ),
    Change::new(
        "base type",
        "base type",
        "alter type {s}.shell{n} set (storage = plain, analyze = range_typanalyze)",
    ),
    Change::new("shell type", "", "create type public.announced{n}"),
    Change::new(
        "collation",
        "",
        "create collation public.cn{n} from \"POSIX\"",
    ),
    Change::new(
        "owner of a collation",
        "collation",
        "alter collation {s}.coll{n} owner to ebbtide_owner",
    ),
    Change::new(
        "comment on a collation",
        "collation",
        "comment on collation {s}.coll{n} is 'c'",
    ),
    Change::new(
        "another collation",
        "collation",
        "drop collation {s}.coll{n}; create collation {s}.coll{n} (lc_collate = 'POSIX', \
         lc_ctype = 'C')",
    ),
    Change::new(
        "conversion",
        "conversion",
        "drop conversion {s}.conv{n}; create default conversion {s}.conv{n} for 'LATIN1' to \
         'UTF8' from iso8859_1_to_utf8",
    ),
    Change::new(
        "comment on a conversion",
        "conversion",
        "comment on conversion {s}.conv{n} is 'c'",
    ),
    Change::new(
        "cast in another context",
        "cast",
        "drop cast ({s}.ca{n} as int); create cast ({s}.ca{n} as int) with function \
         {s}.cast{n}({s}.ca{n})",
    ),
    Change::new("cast dropped", "cast", "drop cast ({s}.cb{n} as {s}.ca{n})"),
    Change::new(
        "comment on a cast",
        "cast",
        "comment on cast ({s}.cb{n} as {s}.ca{n}) is 'c'",
    ),
    Change::new(
        "transform",
        "transform",
        "drop transform for {s}.tft{n} language sql; create function {s}.tfg{n}(internal) \
         returns {s}.tft{n} language internal immutable as 'prsd_lextype'; create transform \
         for {s}.tft{n} language sql (to sql with function {s}.tfg{n}(internal))",
    ),
    Change::new(
        "transform dropped",
        "transform",
        "drop transform for {s}.tft{n} language sql",
    ),
    Change::new(
        "comment on a transform",
        "transform",
        "comment on transform for {s}.tft{n} language sql is 't'",
    ),
    Change::new(
        "body of a function",
        "table function",
        "create or replace function {s}.tf{n}() returns table (a int, b text) language sql \
         stable leakproof as 'select 77, ''y'''",
    ),
    Change::new(
        "volatility",
        "table function",
        "alter function {s}.tf{n}() volatile",
    ),
    Change::new(
        "strictness",
        "table function",
        "alter function {s}.tf{n}() strict",
    ),
    Change::new(
        "leakproof",
        "table function",
        "alter function {s}.tf{n}() not leakproof",
    ),
    Change::new(
        "parallel",
        "table function",
        "alter function {s}.tf{n}() parallel restricted",
    ),
    Change::new(
        "cost",
        "table function",
        "alter function {s}.tf{n}() cost 77",
    ),
    Change::new(
        "rows",
        "table function",
        "alter function {s}.tf{n}() rows 77",
    ),
    Change::new(
        "support function",
        "table function",
        "alter function {s}.tf{n}() support generate_series_int4_support",
    ),
    Change::new(
        "security of the definer",
        "table function",
        "alter function {s}.tf{n}() security definer",
    ),
    Change::new(
        "setting of a function",
        "table function",
        "alter function {s}.tf{n}() set work_mem = '9MB'",
    ),
    Change::new(
        "setting of a function reset",
        "sql function",
        "alter function {s}.f{n} reset all",
    ),
    Change::new(
        "owner of a function",
        "table function",
        "alter function {s}.tf{n}() owner to ebbtide_owner",
    ),
    Change::new(
        "grant on a function",
        "table function",
        "grant execute on function {s}.tf{n}() to ebbtide_reader",
    ),
    Change::new(
        "revoke on a function",
        "table function",
        "revoke execute on function {s}.tf{n}() from public",
    ),
    Change::new(
        "comment on a function",
        "table function",
        "comment on function {s}.tf{n}() is 'f'",
    ),
    Change::new(
        "extension that a function needs",
        "table function",
        "alter function {s}.tf{n}() depends on extension plpgsql",
    ),
    Change::new(
        "function renamed",
        "table function",
        "alter function {s}.tf{n}() rename to other{n}",
    ),
    Change::new(
        "procedure of the definer",
        "procedure",
        "alter procedure {s}.pr{n}(int) security definer",
    ),
    Change::new(
        "grant on a procedure",
        "procedure",
        "grant execute on procedure {s}.pr{n}(int) to ebbtide_reader",
    ),
    Change::new(
        "aggregate",
        "aggregate",
        "create or replace aggregate {s}.ag{n}(int) (sfunc = int4pl, stype = int, initcond \
         = '77', combinefunc = int4pl, parallel = safe)",
    ),
    Change::new(
        "aggregate with a sort operator",
        "aggregate",
        "create or replace aggregate {s}.ag{n}(int) (sfunc = int4larger, stype = int, \
         sortop = >)",
    ),
    Change::new(
        "aggregate that moves",
        "aggregate",
        "create or replace aggregate {s}.ag{n}(int) (sfunc = int4pl, stype = int, msfunc = \
         int4pl, minvfunc = int4mi, mstype = int, mfinalfunc = int4abs, mfinalfunc_modify = \
         shareable)",
    ),
    Change::new(
        "parallel aggregate",
        "aggregate",
        "create or replace aggregate {s}.ag{n}(int) (sfunc = int4pl, stype = int, initcond \
         = '3', combinefunc = int4pl)",
    ),
    Change::new(
        "owner of an aggregate",
        "aggregate",
        "alter aggregate {s}.ag{n}(int) owner to ebbtide_owner",
    ),
    Change::new(
        "grant on an aggregate",
        "aggregate",
        "revoke execute on function {s}.ag{n}(int) from public",
    ),
    Change::new(
        "comment on an aggregate",
        "aggregate",
        "comment on aggregate {s}.ag{n}(int) is 'a'",
    ),
    Change::new(
        "estimators of an operator",
        "operator",
        "alter operator {s}.=== ({s}.opt{n}, text) set (restrict = none)",
    ),
    Change::new(
        "operator dropped",
        "operator",
        "drop operator {s}.=== ({s}.opt{n}, text)",
    ),
    Change::new(
        "operator with a negator",
        "operator",
        "create function {s}.ne{n}({s}.opt{n}, text) returns bool language sql immutable as \
         'select true'; create operator {s}.!== (leftarg = {s}.opt{n}, rightarg = text, \
         function = {s}.ne{n}, negator = operator({s}.===))",
    ),
    Change::new(
        "comment on an operator",
        "operator",
        "comment on operator {s}.=== ({s}.opt{n}, text) is 'other'",
    ),
    Change::new(
        "owner of an operator",
        "operator",
        "alter operator {s}.=== ({s}.opt{n}, text) owner to ebbtide_owner",
    ),
    Change::new(
        "member of a family",
        "operator class",
        "alter operator family {s}.of{n} using btree drop operator 1 (int, bigint)",
    ),
    Change::new(
        "function of a family",
        "operator class",
        "alter operator family {s}.of{n} using btree add function 2 (int, int) \
         btint4sortsupport(internal)",
    ),
    Change::new(
        "operator class",
        "operator class",
        "drop operator class {s}.oc{n} using btree; create operator class {s}.oc{n} for \
         type int using btree family {s}.of{n} as operator 1 <, operator 3 =, operator 5 >, \
         function 1 btint4cmp(int, int)",
    ),
    Change::new(
        "comment on an operator class",
        "operator class",
        "comment on operator class {s}.oc{n} using btree is 'o'",
    ),
    Change::new(
        "comment on an operator family",
        "operator class",
        "comment on operator family {s}.of{n} using btree is 'f'",
    ),
    Change::new(
        "owner of an operator class",
        "operator class",
        "alter operator class {s}.oc{n} using btree owner to ebbtide_owner",
    ),
    Change::new(
        "owner of an operator family",
        "operator class",
        "alter operator family {s}.of{n} using btree owner to ebbtide_owner",
    ),
    Change::new(
        "language",
        "",
        "create language new{n} handler plpgsql_call_handler",
    ),
    Change::new(
        "trusted language",
        "language",
        "create or replace language lang{n} handler plpgsql_call_handler inline \
         plpgsql_inline_handler validator plpgsql_validator",
    ),
    Change::new(
        "grant on a language",
        "language",
        "revoke usage on language lang{n} from ebbtide_reader",
    ),
    Change::new(
        "owner of a language",
        "language",
        "alter language lang{n} owner to ebbtide_owner",
    ),
    Change::new(
        "access method",
        "access method",
        "drop access method am{n}; create access method am{n} type index handler \
         hashhandler",
    ),
    Change::new(
        "comment on an access method",
        "access method",
        "comment on access method am{n} is 'a'",
    ),
    Change::new(
        "options of a dictionary",
        "text search",
        "alter text search dictionary {s}.dict{n} (stopwords = danish)",
    ),
    Change::new(
        "dictionary dropped",
        "text search",
        "drop text search dictionary {s}.dict{n} cascade",
    ),
    Change::new(
        "owner of a dictionary",
        "text search",
        "alter text search dictionary {s}.dict{n} owner to ebbtide_owner",
    ),
    Change::new(
        "mapping of a configuration",
        "text search",
        "alter text search configuration {s}.tsc{n} alter mapping for word with {s}.dict{n}",
    ),
    Change::new(
        "mapping dropped",
        "text search",
        "alter text search configuration {s}.tsc{n} drop mapping for url",
    ),
    Change::new(
        "order of a mapping",
        "text search",
        "alter text search configuration {s}.tsc{n} alter mapping for asciiword with \
         simple, {s}.dict{n}",
    ),
    Change::new(
        "owner of a configuration",
        "text search",
        "alter text search configuration {s}.tsc{n} owner to ebbtide_owner",
    ),
    Change::new(
        "comment on a configuration",
        "text search",
        "comment on text search configuration {s}.tsc{n} is 't'",
    ),
    Change::new(
        "template renamed",
        "text search",
        "alter text search template {s}.tst{n} rename to tsx{n}",
    ),
    Change::new(
        "comment on a template",
        "text search",
        "comment on text search template {s}.tst{n} is 't'",
    ),
    Change::new(
        "parser",
        "text search",
        "drop text search parser {s}.tsp{n}; create text search parser {s}.tsp{n} (start = \
         prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype, \
         headline = prsd_headline)",
    ),
    Change::new(
        "comment on a parser",
        "text search",
        "comment on text search parser {s}.tsp{n} is 'p'",
    ),
];

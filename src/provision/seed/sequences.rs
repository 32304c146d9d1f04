//! Sequences after a seed with explicit ids: they continue behind its rows, so that the first
//! insert of a test finds no row with its id.
//!
//! A sequence only moves forward. A file that sets sequences itself keeps the values that it set.

use std::collections::BTreeMap;
use std::io::Read as _;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::catalog::{self, RelationName};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{Ident, Literal};
use crate::provision::input_file::InputFile;
use crate::sql_error;

/// How many bytes of a file are searched at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// More bytes than `restart with -1` has, with some blanks.
const OVERLAP_BYTES: usize = 64;

/// The columns that take their values from a sequence, in the tables `$1` and their parents.
///
/// A column counts if its default is the sequence's next value, or if it owns the sequence (an
/// identity column, `OWNED BY`) and has no other default. In a default like `'A' || nextval('s')`,
/// the column's value is not the sequence's. A parent counts because a partition's rows share its
/// identity. <https://www.postgresql.org/docs/current/catalog-pg-depend.html>
const SEQUENCE_COLUMNS: &str = r"
with recursive filled as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where case when n.nspname = 'public' then c.relname::text else n.nspname || '.' || c.relname end
        = any ($1)
    union
    select i.inhparent from pg_inherits i join filled f on f.oid = i.inhrelid
), columns as (
    select d.adrelid as relation, d.adnum as number, e.refobjid as sequence
    from pg_attrdef d join pg_depend e on e.classid = 'pg_attrdef'::regclass and e.objid = d.oid
    where pg_get_expr(d.adbin, d.adrelid)
        ~ '^\(*nextval\(''([^'']|'''')*''::regclass\)\)*(::[\w ]+)?$'
    union
    select e.refobjid, e.refobjsubid, e.objid
    from pg_depend e
    where e.classid = 'pg_class'::regclass and e.deptype in ('a', 'i') and e.refobjsubid > 0
    and e.refclassid = 'pg_class'::regclass
    and not exists (
        select from pg_attrdef d where d.adrelid = e.refobjid and d.adnum = e.refobjsubid
    )
)
select sn.nspname::text, sc.relname::text, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle,
    rn.nspname::text, rc.relname::text, a.attname::text
from columns c join filled f on f.oid = c.relation
join pg_sequence s on s.seqrelid = c.sequence
join pg_class sc on sc.oid = c.sequence join pg_namespace sn on sn.oid = sc.relnamespace
join pg_class rc on rc.oid = c.relation join pg_namespace rn on rn.oid = rc.relnamespace
join pg_attribute a on a.attrelid = c.relation and a.attnum = c.number
join pg_type t on t.oid = a.atttypid
where coalesce(nullif(t.typbasetype, 0), t.oid) in ('int2'::regtype, 'int4'::regtype,
    'int8'::regtype, 'numeric'::regtype)
order by 1, 2, 7, 8, 9";

/// The sequences before a file is applied that sets sequences itself. Empty for any other file.
#[derive(Debug, Default)]
pub(super) struct Sequences(BTreeMap<RelationName, State>);

/// `last_value` and `is_called` of a sequence.
type State = (i64, bool);

impl Sequences {
    /// Reads the state of every sequence.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self> {
        let failed = |error| sql_error::failed("reading the sequences", error);
        let mut before = BTreeMap::new();
        for name in catalog::sequences(connection).await.map_err(failed)? {
            let state = state(connection, &name).await.map_err(failed)?;
            before.insert(name, state);
        }
        Ok(Self(before))
    }

    /// Moves each sequence of the filled tables behind their rows. `filled` has the names as
    /// reports print them.
    ///
    /// # Errors
    /// The rows leave no value to the sequence.
    pub(super) async fn move_behind(
        &self,
        connection: &mut PgConnection,
        file: &InputFile,
        filled: &[&str],
    ) -> Result<()> {
        let failed = |error| sql_error::failed("moving sequences behind the seeded rows", error);
        let columns = sqlx::query(SEQUENCE_COLUMNS)
            .bind(filled)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        for column in &columns {
            let column = SequenceColumn::of(column).map_err(failed)?;
            let now = state(connection, &column.sequence).await.map_err(failed)?;
            if self.is_set_by_file(&column.sequence, now) {
                continue;
            }
            match column.next_move(connection, now).await.map_err(failed)? {
                Move::None => {}
                Move::To(value) => column.set(connection, value).await.map_err(failed)?,
                Move::Exhausted(value) => return Err(column.exhausted(file, value)),
            }
        }
        Ok(())
    }

    fn is_set_by_file(&self, sequence: &RelationName, now: State) -> bool {
        self.0.get(sequence).is_some_and(|before| *before != now)
    }
}

/// A column, and the sequence of its values.
#[derive(Debug)]
struct SequenceColumn {
    sequence: RelationName,
    increment: i64,
    min: i64,
    max: i64,
    is_cycle: bool,
    table: RelationName,
    /// The column's name as SQL.
    column: String,
}

enum Move {
    None,
    To(i64),
    /// The next value is taken, and no free one follows it.
    Exhausted(i64),
}

impl SequenceColumn {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let column: String = row.try_get(8)?;
        Ok(Self {
            sequence: RelationName::of_row(row, 0)?,
            increment: row.try_get(2)?,
            min: row.try_get(3)?,
            max: row.try_get(4)?,
            is_cycle: row.try_get(5)?,
            table: RelationName::of_row(row, 6)?,
            column: Ident(&column).to_string(),
        })
    }

    /// Where the sequence must continue, given its state.
    ///
    /// A row with the very last value does not count: applications use it for a special row, and no
    /// value could follow.
    async fn next_move(
        &self,
        connection: &mut PgConnection,
        (last, is_called): State,
    ) -> Result<Move, sqlx::Error> {
        let (table, column) = (self.table.quoted(), &self.column);
        let (min, max, increment) = (self.min, self.max, self.increment);
        let is_ascending = increment > 0;
        let (farthest, final_value) = if is_ascending {
            let farthest = format!(
                "select ceil(max({column})::numeric)::int8 from {table} \
                 where {column} >= {min} and {column} < {max}"
            );
            (farthest, max)
        } else {
            let farthest = format!(
                "select floor(min({column})::numeric)::int8 from {table} \
                 where {column} > {min} and {column} <= {max}"
            );
            (farthest, min)
        };
        let farthest: Option<i64> = sqlx::query_scalar(AssertSqlSafe(farthest))
            .fetch_one(&mut *connection)
            .await?;
        let next = if is_called {
            i128::from(last) + i128::from(increment)
        } else {
            i128::from(last)
        };
        let is_behind = |value: i128, row: i64| {
            if is_ascending {
                value > i128::from(row)
            } else {
                value < i128::from(row)
            }
        };
        let Some(farthest) = farthest.filter(|row| !is_behind(next, *row)) else {
            return Ok(Move::None);
        };
        let after = i128::from(farthest) + i128::from(increment);
        let is_taken = async |connection: &mut PgConnection, value: i128| {
            let taken = format!("select exists (select from {table} where {column} = {value})");
            sqlx::query_scalar::<_, bool>(AssertSqlSafe(taken))
                .fetch_one(connection)
                .await
        };
        let has_room = !is_behind(after, final_value)
            && (after != i128::from(final_value) || !is_taken(connection, after).await?);
        if has_room {
            return Ok(Move::To(farthest));
        }
        // A sequence that begins again is expected to meet its rows.
        if self.is_cycle || !is_taken(connection, next).await? {
            return Ok(Move::None);
        }
        Ok(Move::Exhausted(farthest))
    }

    async fn set(&self, connection: &mut PgConnection, value: i64) -> Result<(), sqlx::Error> {
        tracing::debug!(sequence = %self.sequence, value, "moved behind the seeded rows");
        let set = format!(
            "select setval({}, {value})",
            Literal(&self.sequence.quoted())
        );
        sqlx::raw_sql(AssertSqlSafe(set))
            .execute(connection)
            .await
            .map(drop)
    }

    fn exhausted(&self, file: &InputFile, value: i64) -> Error {
        let (limit, bound) = if self.increment > 0 {
            ("MAXVALUE", self.max)
        } else {
            ("MINVALUE", self.min)
        };
        let message = format!(
            "{} {} must leave a value to the sequence {}, but its rows in {} reach {value}, and \
             {limit} is {bound}",
            file.noun, file.display_path, self.sequence, self.table
        );
        Error::new(ErrorKind::Seed, message).with_help(format!(
            "use ids farther from {bound}, or change {limit} in a migration; otherwise the first \
             insert of a test would collide with a seeded row"
        ))
    }
}

async fn state(
    connection: &mut PgConnection,
    sequence: &RelationName,
) -> Result<State, sqlx::Error> {
    let state = format!("select last_value, is_called from {}", sequence.quoted());
    sqlx::query_as(AssertSqlSafe(state))
        .fetch_one(connection)
        .await
}

/// Whether the SQL of a file sets a sequence: by `setval`, or by `RESTART` with a value.
pub(super) fn are_set_by(file: &InputFile) -> std::io::Result<bool> {
    if file.is_data() {
        return Ok(false);
    }
    let mut source = file.open()?;
    let mut text = Vec::new();
    loop {
        let read = source
            .by_ref()
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut text)?;
        if has_setting(&String::from_utf8_lossy(&text).to_ascii_lowercase()) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // What a chunk cuts in two is whole in the next one.
        text.drain(..text.len().saturating_sub(OVERLAP_BYTES));
    }
}

/// Whether the text, in lower case, sets a sequence.
fn has_setting(text: &str) -> bool {
    let is_with_value = |(at, word): (usize, &str)| {
        let rest = text[at + word.len()..].trim_start();
        let value = rest.strip_prefix("with").unwrap_or(rest).trim_start();
        value.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    };
    text.contains("setval") || text.match_indices("restart").any(is_with_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_sequences_by_setval_or_by_restart_with_a_value() {
        let far = " ".repeat(CHUNK_BYTES - 3);
        for (text, expected) in [
            ("select SETVAL('s', 3);".to_owned(), true),
            (format!("{far}select setval('s', 3);"), true),
            ("alter sequence s restart with 7;".to_owned(), true),
            ("alter table t alter id restart\n -7;".to_owned(), true),
            ("truncate t restart identity;".to_owned(), false),
            ("insert into t values (1);".to_owned(), false),
            (String::new(), false),
        ] {
            let file = InputFile::embedded("seed", "x.sql", &text);
            assert_eq!(are_set_by(&file).expect("it reads"), expected, "{text}");
        }
        let csv = InputFile::embedded("seed", "x.csv", "note\nsetval\n");
        assert!(!are_set_by(&csv).expect("it reads"));
    }
}

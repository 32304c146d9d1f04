//! A query for one kind of object.

use std::ops::Range;

use crate::guard_names::SCHEMA;

/// A query for one kind of object. All fields except `catalog`, `versions` and
/// `connections` are SQL expressions over the tables of `from`.
#[derive(Debug)]
pub(super) struct Query {
    /// The catalog whose objects are read.
    pub(super) catalog: &'static str,
    /// The versions, as in `server_version_num`, that have everything that the query reads.
    pub(super) versions: Range<u32>,
    /// The only roles for which the query is meant. `None` means all.
    pub(super) connections: Option<Connections>,
    /// A text: the name of an `ObjectKind`.
    pub(super) kind: &'static str,
    /// The identifier of the schema, or null.
    pub(super) namespace: &'static str,
    /// The identifier of the relation that the object belongs to, or 0.
    pub(super) relation: &'static str,
    pub(super) name: &'static str,
    /// What follows the name: the types of a function's arguments.
    pub(super) arguments: &'static str,
    pub(super) definition: &'static str,
    /// The identifier of the object.
    pub(super) object: &'static str,
    /// The number of the column, or 0, as in `pg_description`.
    pub(super) part: &'static str,
    /// What follows FROM, with the condition.
    pub(super) from: &'static str,
    /// The identifier of the owner, or null if the kind has none of its own.
    pub(super) owner: &'static str,
    /// The privileges, or null.
    pub(super) acl: &'static str,
    /// The privileges that the object has if nothing was granted or revoked, or null.
    pub(super) default_acl: &'static str,
    /// The identifier of the role that `acl` names as the owner.
    pub(super) grantor: &'static str,
    /// The comments of parts that are no objects of their own, or null.
    pub(super) more_comments: &'static str,
    /// The identifier of the tablespace, 0 for the database's own.
    pub(super) tablespace: &'static str,
    /// For a part of a partition: the identifier of the partitioned table, and the name of the part
    /// there. Null for all other objects.
    pub(super) parent_relation: &'static str,
    pub(super) parent_name: &'static str,
    /// A text that an `Aspect` of its own covers: an extension's version, or whether a materialized
    /// view has rows.
    pub(super) state: &'static str,
    /// A text that not every role may read, without passwords. Null if this role may not.
    pub(super) restricted: &'static str,
    /// The same text with its passwords. Only its hash is read.
    pub(super) digest: &'static str,
}

/// Whether the session's role may read `pg_subscription.subconninfo`, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::catalog) enum Connections {
    Readable,
    Hidden,
}

/// The columns of each query's rows, in this order.
#[derive(Debug, Clone, Copy)]
pub(in crate::catalog) enum RowColumn {
    Kind,
    Schema,
    RelationSchema,
    Relation,
    RelationKind,
    Name,
    Arguments,
    Definition,
    Comment,
    Owner,
    Privileges,
    Labels,
    Tablespace,
    ParentSchema,
    ParentRelation,
    ParentName,
    State,
    Restricted,
    Digest,
}

/// SQL: the privileges of `acl` as a text, one line for each grantee. The owner has no name here:
/// the role is compared as a property of its own.
macro_rules! privileges {
    ($acl:expr, $owner:expr) => {
        concat!(
            "coalesce((select string_agg(format('%s to %s%s', granted, grantee, grantor), e'\\n' \
                order by grantee, grantor, granted) from (select \
                string_agg(privilege_type || case when is_grantable then ' with grant option' \
                else '' end, ', ' \
                    order by privilege_type) as granted, \
                case e.grantee when ",
            $owner,
            " then 'the owner' when 0 then 'public' \
                    else quote_ident(pg_get_userbyid(e.grantee)) end as grantee, \
                case when e.grantor <> ",
            $owner,
            " then ' by ' || \
                quote_ident(pg_get_userbyid(e.grantor)) \
                    else '' end as grantor \
                from aclexplode(",
            $acl,
            ") e group by e.grantee, e.grantor) g), 'none')"
        )
    };
}
pub(super) use privileges;

impl Query {
    /// Null or nothing in each field.
    pub(super) const EMPTY: Self = Self {
        catalog: "",
        versions: 0..u32::MAX,
        connections: None,
        kind: "",
        namespace: "null::oid",
        relation: "0::oid",
        name: "",
        arguments: "''",
        definition: "''",
        object: "",
        part: "0",
        from: "",
        owner: "null::oid",
        acl: "null::aclitem[]",
        default_acl: "null::aclitem[]",
        grantor: "0::oid",
        more_comments: "null",
        tablespace: "0::oid",
        parent_relation: "null::oid",
        parent_name: "null",
        state: "null",
        restricted: "null",
        digest: "null",
    };

    /// The complete query. It adds comments, owners, privileges and labels, and names in place of
    /// identifiers.
    ///
    /// It leaves out what is not the user's own. An object may belong to an extension. It may also
    /// be an inner part of another object, such as the sequence of an identity column or the index
    /// of a constraint.
    pub(super) fn sql(&self) -> String {
        let Self {
            catalog,
            kind,
            namespace,
            relation,
            name,
            arguments,
            definition,
            object,
            part,
            from,
            owner,
            acl,
            default_acl,
            grantor,
            more_comments,
            tablespace,
            parent_relation,
            parent_name,
            state,
            restricted,
            digest,
            ..
        } = self;
        let inner = format!(
            "select {kind} as kind, {namespace} as namespace, {relation} as relation, \
             {name}::text as name, {arguments} as arguments, {definition} as definition, \
             {object} as object, {part} as part, {owner} as owner, {acl} as acl, \
             {default_acl} as default_acl, {grantor} as grantor, \
             {more_comments} as more_comments, {tablespace} as tablespace, \
             {parent_relation} as parent_relation, {parent_name} as parent_name, {state} as state, \
             {restricted} as restricted, {digest} as digest from {from}"
        );
        let privileges = privileges!("q.acl", "q.grantor");
        format!(
            "select q.kind, n.nspname::text, rn.nspname::text, r.relname::text, r.relkind::text, \
            q.name, q.arguments, \
             concat_ws(e'\\n', nullif(q.definition, ''), \
                (select 'depends on extension ' || string_agg(x.extname, ', ' order by x.extname) \
                    from pg_depend e join pg_extension x on x.oid = e.refobjid \
                    where e.classid = 'pg_catalog.{catalog}'::regclass and e.objid = q.object \
                    and e.refclassid = 'pg_extension'::regclass and e.deptype = 'x' \
                    having count(*) > 0)), \
             nullif(concat_ws(e'\\n', 'comment: ' || d.description, q.more_comments), ''), \
             'owner: ' || pg_get_userbyid(q.owner), \
             case when not (q.acl @> q.default_acl and q.acl <@ q.default_acl) \
                then 'privileges: ' || {privileges} end, \
             (select string_agg(format('security label for %s: %s', l.provider, l.label), e'\\n' \
                order by l.provider) from pg_seclabel l \
                where l.classoid = 'pg_catalog.{catalog}'::regclass and l.objoid = q.object \
                and l.objsubid = q.part), \
             (select 'tablespace: ' || spcname from pg_tablespace s where s.oid = q.tablespace), \
             bn.nspname::text, b.relname::text, q.parent_name, q.state, q.restricted, \
             md5(q.digest) \
             from ({inner}) q left join pg_namespace n on n.oid = q.namespace \
             left join pg_class r on r.oid = q.relation \
             left join pg_namespace rn on rn.oid = r.relnamespace \
             left join pg_class b on b.oid = q.parent_relation \
             left join pg_namespace bn on bn.oid = b.relnamespace \
             left join pg_description d \
                on d.classoid = 'pg_catalog.{catalog}'::regclass and d.objoid = q.object and \
                d.objsubid = q.part \
             where (n.nspname is null or n.nspname !~ '^pg_' and n.nspname not in \
             ('information_schema', '{SCHEMA}')) \
             and not exists (select from pg_depend e where e.classid = \
             'pg_catalog.{catalog}'::regclass \
                and e.objid = q.object and e.objsubid = 0 and e.deptype in ('e', 'i')) \
             and not exists (select from pg_depend e where e.classid = \
             'pg_catalog.pg_class'::regclass \
                and e.objid = q.relation and e.objsubid = 0 and e.deptype = 'e')"
        )
    }
}

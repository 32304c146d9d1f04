//! Types that cannot derive `PgEnum`.

#[derive(ebbtide::PgEnum)]
struct Row;

#[derive(ebbtide::PgEnum)]
#[pg_enum(name = "mood", rename_all = "lower")]
enum Mood {
    Sad,
    Happy(u8),
    #[pg_enum(label = "wild")]
    Wild,
}

#[derive(ebbtide::PgEnum)]
enum Twice {
    One,
    #[pg_enum(rename = "One")]
    Two,
}

fn main() {}

//! The body of every test in the comparison, and a macro that generates tests.

use sqlx::postgres::PgConnection;

/// Inserts an appointment and reads it back.
pub(crate) async fn book(connection: &mut PgConnection) {
    let before: i64 = sqlx::query_scalar("select count(*) from customers")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(before, 20);
    let room: i64 =
        sqlx::query_scalar("insert into rooms (name, previous) values ('blue', 3) returning id")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
    sqlx::query("insert into appointments (name, previous) values ('at ten', $1)")
        .bind(room)
        .execute(&mut *connection)
        .await
        .unwrap();
    let booked: i64 = sqlx::query_scalar("select count(*) from appointments")
        .fetch_one(connection)
        .await
        .unwrap();
    assert_eq!(booked, 1);
}

/// Generates 300 tests in the modules `m0` to `m9`, or 600 tests in those and in `n0` to `n9`. The
/// caller's macro generates a test.
macro_rules! generate {
    (@modules $make:ident $($module:ident)*) => {
        $(mod $module { $crate::support::generate!(@tests $make
            t00 t01 t02 t03 t04 t05 t06 t07 t08 t09 t10 t11 t12 t13 t14
            t15 t16 t17 t18 t19 t20 t21 t22 t23 t24 t25 t26 t27 t28 t29); })*
    };
    (@tests $make:ident $($test:ident)*) => {
        $($make!($test);)*
    };
    (300 $make:ident) => {
        $crate::support::generate!(@modules $make m0 m1 m2 m3 m4 m5 m6 m7 m8 m9);
    };
    (600 $make:ident) => {
        $crate::support::generate!(300 $make);
        $crate::support::generate!(@modules $make n0 n1 n2 n3 n4 n5 n6 n7 n8 n9);
    };
}
pub(crate) use generate;

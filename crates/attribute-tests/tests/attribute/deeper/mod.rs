//! Paths of fixtures are relative to the file that contains the test.

use ebbtide::Tx;

use crate::support::customers;

#[ebbtide::test(fixtures("pia"))]
async fn a_name_is_a_file_in_the_fixtures_directory_beside_this_file(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Pia"]);
}

#[ebbtide::test(fixtures("./nuria.sql", "../fixtures/laura.sql"))]
async fn a_path_is_relative_to_this_file(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Nuria", "Laura"]);
}

//! Fixtures are found beside the file that the test stands in.

use ebbtide::Tx;

use crate::support::customers;

#[ebbtide::test(fixtures("pia"))]
async fn a_name_means_the_directory_beside_this_file(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Pia"]);
}

#[ebbtide::test(fixtures("./nuria.sql", "../fixtures/laura.sql"))]
async fn a_path_begins_at_this_file(mut tx: Tx) {
    assert_eq!(customers(&mut *tx).await, ["Nuria", "Laura"]);
}

-- What was found in `devmatrix`: of 22 tables these sixteen were not there, and the ledger said head all the same.
-- The ledger is left alone. Nothing of what stays refers to what goes, so no CASCADE: one would take more.

DROP TABLE
    atomic_units, atom_dependencies, atom_retry_history,
    acceptance_tests, acceptance_test_results,
    dependency_graphs, execution_waves,
    human_review_queue, validation_results,
    masterplan_versions, masterplan_history,
    users, messages, conversations,
    user_usage, user_quotas;

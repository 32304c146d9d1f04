-- The state of `devmatrix`: these sixteen of 22 tables were missing, although the ledger claimed head.
-- The ledger stays unchanged. No remaining object depends on these tables, so CASCADE is not needed.
-- It would silently drop such objects, too.

DROP TABLE
    atomic_units, atom_dependencies, atom_retry_history,
    acceptance_tests, acceptance_test_results,
    dependency_graphs, execution_waves,
    human_review_queue, validation_results,
    masterplan_versions, masterplan_history,
    users, messages, conversations,
    user_usage, user_quotas;

//! An empty library: this package consists of its tests.

//! Nothing but a package for the tests beside it.

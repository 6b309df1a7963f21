//! Gathers the tables of every feature; the only file that names them all.

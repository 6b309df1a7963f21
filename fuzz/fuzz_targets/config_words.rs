//! A configuration line, and a whole file: no input may panic the reader.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| haring::config::words::fuzz_words(data));

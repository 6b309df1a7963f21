//! The `haring` binary; everything lives in the library.

fn main() -> std::process::ExitCode {
    haring::process::main()
}

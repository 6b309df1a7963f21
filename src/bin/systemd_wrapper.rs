//! The `haring-systemd-wrapper` binary; everything lives in the library.

fn main() -> std::process::ExitCode {
    haring::process::wrapper_main()
}

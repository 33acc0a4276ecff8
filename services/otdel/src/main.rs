//! The binary: everything is in the library, so that the tests run the very same.

fn main() -> std::process::ExitCode {
    otdel::main()
}

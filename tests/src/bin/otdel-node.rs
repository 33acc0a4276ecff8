//! The suite's binary for the tests, which cannot see another package's.

fn main() -> std::process::ExitCode {
    otdel::main()
}

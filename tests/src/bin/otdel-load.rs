//! The load generator: the suite beside pgbench, which writes the same rows.

fn main() -> std::process::ExitCode {
    otdel_tests::load::main()
}

//! The command `tcpdrop-otel`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tcpdrop_otel::cli::main()
}

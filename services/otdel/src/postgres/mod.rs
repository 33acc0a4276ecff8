//! The private PostgreSQL cluster of `otdel up` and of the tests: found, made, started, watched and stopped here.
//!
//! ```text
//! <data>/lock                held while a process runs the cluster
//! <data>/postgres/           the cluster
//! <data>/postgres.password   the superuser's password, mode 0600
//! <data>/postgres.log        what the server and initdb say
//! <data>/postgres.run/       the folder of the Unix socket, the only way in
//! <data>/postgres.socket     where the socket is instead, when the path above is too long for a socket
//! ```
//!
//! The server is a child process and not a daemon: it shall live exactly as long as the process that needs it. Three
//! things see to that. The [guard] asks the kernel to end the server when we die, however we die; the next start
//! ends whatever a machine without that possibility left behind; and the lock keeps two processes from doing either to
//! each other. A cluster appears under its name only when it is complete, so a power cut at any moment leaves either no
//! cluster or a whole one.
//!
//! Every start passes the three durability settings as `on` on the command line, where nothing overrides them. Nothing
//! here, tests included, ever runs a server that may lose an acknowledged commit.

mod account;
mod binaries;
mod cluster;
pub mod guard;
mod initdb;
mod install;
mod leftover;
mod lock;
mod password;
mod server;
mod settings;
mod socket;
mod throwaway;

#[cfg(test)]
mod tests;

pub use account::make_data_folder;
pub use binaries::{Binaries, OLDEST_MAJOR};
pub use cluster::Cluster;
pub use settings::{Guard, Settings};
pub use throwaway::{Throwaway, sweep};

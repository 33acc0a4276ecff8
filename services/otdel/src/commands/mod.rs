//! The operators' commands: one file each.

pub mod healthcheck;
pub mod import;
pub mod init;
pub mod migrate;
pub mod new_epoch;
pub mod report;
pub mod restore_finish;
pub mod serve;
pub mod token;
pub mod up;
pub mod verify;

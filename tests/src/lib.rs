//! Otdel's test harness: suites in both topologies, the story that they run, and the oracles that judge them.

pub mod cluster;
pub mod collector;
pub mod dice;
pub mod door;
pub mod eventually;
pub mod http;
pub mod issuer;
pub mod load;
pub mod operator;
pub mod oracle;
pub mod papers;
pub mod proxy;
pub mod raw;
pub mod refusal;
pub mod split;
pub mod staff;
pub mod story;
pub mod suite;

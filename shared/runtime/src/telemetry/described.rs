//! Every metric that a process exports, and what it says. One list, so that an operator finds all of them in one place
//! and none is forgotten; a scenario holds a running suite against it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

type Described = &'static [(&'static str, Unit, &'static str)];

const COUNTERS: Described = &[
    (
        "otdel_connections_refused_total",
        Unit::Count,
        "Connections that were closed at once because too many were open.",
    ),
    ("otdel_feed_events_total", Unit::Count, "Events that this process numbered."),
    ("otdel_feed_failures_total", Unit::Count, "Looks for events to number that failed and are tried again."),
    ("otdel_follow_data_loss_total", Unit::Count, "Times that a source was found restored to an earlier state."),
    ("otdel_follow_digests_differ_total", Unit::Count, "Rebuilds whose digest was not the live one's."),
    ("otdel_follow_events_total", Unit::Count, "Events of other services whose effects were committed."),
    ("otdel_follow_troubles_total", Unit::Count, "Times that a follower could not go on, by what held it up."),
    ("otdel_refusals_total", Unit::Count, "Refused calls by the reason that their callers were told."),
    ("otdel_rpc_retries_total", Unit::Count, "Calls to other services that were tried once more."),
    ("otdel_task_panics_total", Unit::Count, "Panics of what a service does by itself; it begins again each time."),
    ("otdel_worker_failures_total", Unit::Count, "Batches of due work that failed and are tried again."),
];

const GAUGES: Described = &[
    ("otdel_build_info", Unit::Count, "1, with the version of the binary."),
    (
        "otdel_certificate_expires_seconds",
        Unit::Seconds,
        "Until when the certificate that a role has read is good, since 1970: for the other roles or for callers.",
    ),
    ("otdel_connections", Unit::Count, "Open connections to a listener."),
    ("otdel_database_connections", Unit::Count, "Connections to the database, by pool and by whether one works."),
    ("otdel_database_connections_limit", Unit::Count, "The most connections that a pool opens."),
    ("otdel_due_overdue_seconds", Unit::Seconds, "How long the oldest due work of a worker has waited, 0 for none."),
    ("otdel_feed_position", Unit::Count, "The position of the last numbered event that this process knows of."),
    ("otdel_feed_unnumbered", Unit::Count, "Events that the last look found without a number."),
    ("otdel_follow_position", Unit::Count, "The position of the last event whose effect a follower has committed."),
    ("otdel_ready", Unit::Count, "Whether a role is ready for calls: 1 or 0."),
    ("otdel_units_limit", Unit::Count, "The most units of work that a role runs at once."),
    ("otdel_units_under_way", Unit::Count, "Units of work under way, of calls and of workers."),
    ("rpc_server_calls_in_flight", Unit::Count, "Calls that came in and are not answered yet, streams included."),
];

const HISTOGRAMS: Described = &[
    ("otdel_feed_lag_seconds", Unit::Seconds, "From an event to its number, for the oldest event of a look."),
    ("otdel_follow_lag_seconds", Unit::Seconds, "From an event to its effect, for the last event of a batch."),
    ("otdel_hand_on_lateness_seconds", Unit::Seconds, "From a lead's response deadline until it was handed on."),
    (
        "rpc_client_call_duration_seconds",
        Unit::Seconds,
        "From a call to another service to its answer; a stream's first.",
    ),
    ("rpc_server_call_duration_seconds", Unit::Seconds, "From a call's arrival to the last byte of its answer."),
];

/// Describes all of them to the recorder that was installed.
pub(super) fn describe() {
    for (name, unit, text) in COUNTERS {
        describe_counter!(*name, *unit, *text);
    }
    for (name, unit, text) in GAUGES {
        describe_gauge!(*name, *unit, *text);
    }
    for (name, unit, text) in HISTOGRAMS {
        describe_histogram!(*name, *unit, *text);
    }
}

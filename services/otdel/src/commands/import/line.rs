use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use otdel_api::leads as pb;
use otdel_runtime::convert::timestamp;
use otdel_types::Zone;
use prost::Message as _;
use ring::digest::{SHA256, digest};
use uuid::Builder;

use super::{file::Line, mapping::Mapping};

/// A line as the request that it makes.
#[derive(Debug)]
pub(super) struct Submission {
    /// With a request id that follows from everything else in it.
    pub(super) request: pb::SubmitLeadRequest,
    /// What of the line cannot be put into a request.
    pub(super) violations: Vec<Violation>,
}

/// Something wrong with a line: the field and what it must be.
pub(super) type Violation = (String, String);

/// Reads a line.
pub(super) fn submission(mapping: &Mapping, zone: Zone, line: &Line, columns: usize) -> Submission {
    let value = |field| mapping.value(field, &line.cells);
    let mut violations = Vec::new();
    let mut wrong = |field: &str, text: String| violations.push((field.to_owned(), text));
    if line.cells.len() != columns {
        wrong("line", format!("has {} values where the first line names {columns} columns", line.cells.len()));
    }
    let channel = pb::Channel::from_str_name(&format!("CHANNEL_{}", value("channel").to_uppercase()));
    let channel = channel.filter(|channel| *channel != pb::Channel::Unspecified);
    if channel.is_none() {
        wrong("channel", "must be phone, email, social, site or walk_in".to_owned());
    }
    let receive_time = instant(&value("receive_time"), zone);
    if receive_time.is_err() {
        wrong("receive_time", format!("must be a time such as 2026-01-31 12:00 that there is in {zone}"));
    }
    let mut request = pb::SubmitLeadRequest {
        request_id: String::new(),
        channel: channel.unwrap_or_default().into(),
        origin: value("origin"),
        source_ref: value("source_ref"),
        contact: Some(pb::LeadContact {
            display_name: value("display_name"),
            phone: value("phone"),
            email: value("email"),
        }),
        text: value("text"),
        receive_time: receive_time.ok().flatten().map(timestamp),
    };
    request.request_id = request_id(&request);
    Submission { request, violations }
}

/// The same for the same request, in any run and on any machine: a UUID of version 8 from the SHA-256 of the rest.
fn request_id(request: &pb::SubmitLeadRequest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(&SHA256, &request.encode_to_vec()).as_ref()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// A time that is not one.
#[derive(Debug, PartialEq, Eq)]
struct NoTime;

/// An instant, with its offset or in the zone. Empty: none. Of a time that there is twice the first; of a date its
/// beginning.
fn instant(text: &str, zone: Zone) -> Result<Option<DateTime<Utc>>, NoTime> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(Some(instant.to_utc()));
    }
    let times = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"];
    let time = times.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let date = || ["%Y-%m-%d", "%d.%m.%Y"].iter().find_map(|form| NaiveDate::parse_from_str(text, form).ok());
    let (date, instant) = match time {
        Some(time) => (time.date(), zone.first_instant_of(time)),
        None => date().map(|date| (date, beginning(date, zone))).ok_or(NoTime)?,
    };
    // The year of a date that is written with two digits would be the first century's.
    let instant = instant.filter(|_| date >= NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or_default());
    instant.map(Some).ok_or(NoTime)
}

/// The first instant of a date. It is not midnight where clocks go forward then, by quarters of an hour.
fn beginning(date: NaiveDate, zone: Zone) -> Option<DateTime<Utc>> {
    (0..96).find_map(|quarter| zone.first_instant_of(date.and_time(NaiveTime::MIN) + TimeDelta::minutes(15 * quarter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    #[test]
    fn a_time_is_read_as_people_and_programs_write_it() {
        let moscow = zone("Europe/Moscow");
        for text in [
            "2026-01-31T12:00:00+03:00",
            "2026-01-31T09:00:00Z",
            "2026-01-31 12:00:00",
            "2026-01-31 12:00",
            "2026-01-31T12:00:00",
            "31.01.2026 12:00",
        ] {
            let read = instant(text, moscow).unwrap().unwrap();
            assert_eq!(read.to_rfc3339(), "2026-01-31T09:00:00+00:00", "{text}");
        }
        for text in ["2026-01-31", "31.01.2026"] {
            assert_eq!(instant(text, moscow).unwrap().unwrap().to_rfc3339(), "2026-01-30T21:00:00+00:00", "{text}");
        }
        // Clocks go from 00:00 to 01:00 there; and there the whole day was left out.
        let cairo = instant("24.04.2026", zone("Africa/Cairo")).unwrap().unwrap();
        assert_eq!(cairo.to_rfc3339(), "2026-04-23T22:00:00+00:00");
        assert_eq!(instant("2011-12-30", zone("Pacific/Apia")), Err(NoTime));
        assert_eq!(instant("", moscow), Ok(None));
        // A clock goes from 02:00 to 03:00 there.
        for text in ["31.02.2026", "31.01.26", "yesterday", "2026-01-31 25:00", "2026-03-29 02:30"] {
            assert_eq!(instant(text, zone("Europe/Berlin")), Err(NoTime), "{text}");
        }
    }

    #[test]
    fn the_same_line_is_the_same_request_and_another_is_another() {
        let columns = ["channel", "source_ref", "display_name", "email", "receive_time"].map(ToOwned::to_owned);
        let mapping = Mapping::new(&columns, &[]).unwrap();
        let of = |cells: &[&str]| {
            let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
            submission(&mapping, zone("UTC"), &Line { cells, ..Line::default() }, columns.len())
        };
        let one = of(&["site", "a", "Анна", "a@example.org", ""]);
        assert_eq!(one.request.request_id, of(&["SITE", " a", "Анна ", "a@example.org", ""]).request.request_id);
        assert_ne!(one.request.request_id, of(&["site", "a", "Анна", "b@example.org", ""]).request.request_id);
        assert!(one.violations.is_empty());
        let fields =
            |submission: Submission| submission.violations.into_iter().map(|(field, _)| field).collect::<Vec<_>>();
        assert_eq!(fields(of(&["fax", "a", "Анна", "", "soon"])), ["channel", "receive_time"]);
        assert_eq!(fields(of(&["site", "a"])), ["line"]);
    }
}

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Cursor, Read},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::sync::mpsc;

/// A file of separated values whose first line was read.
pub(super) struct File {
    /// The names of its columns.
    pub(super) columns: Vec<String>,
    /// What separates them.
    pub(super) separator: u8,
    /// How long it is. None: it comes from a pipe.
    pub(super) bytes: Option<u64>,
    reader: csv::Reader<Box<dyn Read + Send>>,
}

/// A record of the file: usually a line, more where a quoted value has line breaks.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// The line at which it begins.
    pub(super) number: u64,
    /// The line after it.
    pub(super) next: u64,
    /// How many bytes of the file are read behind it.
    pub(super) end: u64,
    /// Its values.
    pub(super) cells: Vec<String>,
}

const MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// How many lines wait to be sent.
const AHEAD: usize = 256;

/// Opens a file, or the standard input as `-`, and reads the names of its columns.
pub(super) fn open(path: &Path, separator: Option<u8>) -> Result<File> {
    if path == Path::new("-") {
        return read(Box::new(io::stdin()), None, separator);
    }
    let opened = fs::File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (bytes, file) = opened.with_context(|| format!("{} cannot be read", path.display()))?;
    read(Box::new(file), Some(bytes), separator).with_context(|| path.display().to_string())
}

fn read(from: Box<dyn Read + Send>, bytes: Option<u64>, separator: Option<u8>) -> Result<File> {
    let mut from = BufReader::new(from);
    let mut first = Vec::new();
    from.read_until(b'\n', &mut first)?;
    if UTF_16.iter().any(|mark| first.starts_with(mark)) {
        bail!("the file is in UTF-16: save it as UTF-8");
    }
    let first = first.strip_prefix(MARK).map_or(first.clone(), <[u8]>::to_vec);
    let separator = separator.unwrap_or_else(|| most_of(&first));
    let whole: Box<dyn Read + Send> = Box::new(Cursor::new(first).chain(from));
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(whole);
    let names = reader.byte_headers()?.clone();
    let columns = names.iter().map(|name| text(name, 1).map(|name| name.trim().to_owned()));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    if columns.iter().all(String::is_empty) {
        bail!("the first line names no columns");
    }
    for (at, column) in columns.iter().enumerate() {
        if !column.is_empty() && columns[..at].contains(column) {
            bail!("the first line names {column} twice");
        }
    }
    Ok(File { columns, separator, bytes, reader })
}

/// Which separator a line has most of, outside of quotes.
fn most_of(line: &[u8]) -> u8 {
    let (mut counts, mut quoted) = ([(b',', 0), (b';', 0), (b'\t', 0)], false);
    for byte in line {
        quoted ^= *byte == b'"';
        if !quoted && let Some((_, count)) = counts.iter_mut().find(|(separator, _)| separator == byte) {
            *count += 1;
        }
    }
    // The first of equal ones.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

fn text(bytes: &[u8], line: u64) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        anyhow!(
            "line {line} is not UTF-8: convert the file first, where it is in windows-1251 with \
             `iconv -f windows-1251 -t utf-8`"
        )
    })
}

/// The records of the file from a line on, read ahead in a thread of their own.
pub(super) fn lines(file: File, from_line: u64) -> mpsc::Receiver<Result<Line>> {
    let (send, receive) = mpsc::channel(AHEAD);
    let mut reader = file.reader;
    tokio::task::spawn_blocking(move || {
        let mut record = csv::ByteRecord::new();
        loop {
            let line = match next(&mut reader, &mut record) {
                Ok(None) => return,
                Ok(Some(line)) if line.number < from_line => continue,
                Ok(Some(line)) => Ok(line),
                Err(error) => Err(error),
            };
            let last = line.is_err();
            if send.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    receive
}

fn next<R: Read>(reader: &mut csv::Reader<R>, record: &mut csv::ByteRecord) -> Result<Option<Line>> {
    if !reader.read_byte_record(record)? {
        return Ok(None);
    }
    let next = reader.position().line();
    // Where the record before ended, or behind the empty lines after it.
    let breaks = record.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
    let number = record.position().map_or(0, csv::Position::line).max(next.saturating_sub(breaks + 1));
    let cells = record.iter().map(|cell| text(cell, number)).collect::<Result<_>>()?;
    Ok(Some(Line { number, next, end: reader.position().byte(), cells }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> Result<File> {
        read(Box::new(Cursor::new(content.to_vec())), None, None)
    }

    fn all(content: &[u8]) -> Vec<Result<Line>> {
        let mut file = file(content).unwrap();
        let mut record = csv::ByteRecord::new();
        std::iter::from_fn(|| next(&mut file.reader, &mut record).transpose()).collect()
    }

    #[test]
    fn a_mark_and_the_separator_of_a_spreadsheet_are_understood() {
        let file = file("\u{feff}канал;\"имя, полное\";phone\r\nsite;Анна;1\r\n".as_bytes()).unwrap();
        assert_eq!((file.columns, file.separator), (vec!["канал".into(), "имя, полное".into(), "phone".into()], b';'));
        assert_eq!(super::tests::file(b"a\tb\n").unwrap().columns, ["a", "b"]);
        assert_eq!(super::tests::file(b"alone\n").unwrap().columns, ["alone"]);
    }

    #[test]
    fn a_record_knows_its_lines() {
        let lines: Vec<_> = all(b"a,b\n1,\"two\nlines\"\n3,4,5\n\n6,7\n").into_iter().map(Result::unwrap).collect();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!(lines[0].cells, ["1", "two\nlines"]);
        assert_eq!((lines[0].next, lines[1].cells.len()), (4, 3));
    }

    #[test]
    fn what_is_not_utf_8_is_said_with_its_line() {
        let found = all(b"a,b\n1,2\n\xc0\xed\xed\xe0,3\n").pop().unwrap().unwrap_err().to_string();
        assert!(found.starts_with("line 3 is not UTF-8"), "{found}");
        for (content, says) in [
            (b"\xff\xfea\0".as_slice(), "UTF-16"),
            (b"\xea\xe0\xed\xe0\xeb;b\n", "line 1 is not UTF-8"),
            (b"", "names no columns"),
            (b"a,b,a\n", "names a twice"),
        ] {
            let Err(error) = file(content) else { panic!("{says}") };
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Cursor, Read},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tokio::sync::mpsc;

/// A file of separated values whose first line was read.
pub(super) struct File {
    /// The names of its columns.
    pub(super) columns: Vec<String>,
    /// What separates them.
    pub(super) separator: u8,
    /// How long it is. None: it comes from a pipe.
    pub(super) bytes: Option<u64>,
    reader: csv::Reader<Source>,
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

/// The longest record, in bytes: far more than a request may have, and little enough to be held.
const LONGEST: usize = 1 << 20;

/// The bytes of the file, so many for each record and no more: a quote that is not closed would make one of all the rest.
struct Source {
    from: Box<dyn Read + Send>,
    /// How many bytes may still be read for this record.
    left: usize,
    /// Whether there are no more.
    ended: bool,
    /// The last of them.
    last: u8,
}

impl Source {
    fn new(from: Box<dyn Read + Send>) -> Self {
        Self { from, left: LONGEST, ended: false, last: b'\n' }
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("is longer than 1 MiB: a quote may not be closed"));
        }
        let most = into.len().min(self.left);
        let read = self.from.read(&mut into[..most])?;
        self.left -= read;
        self.ended = read == 0;
        self.last = into[..read].last().copied().unwrap_or(self.last);
        Ok(read)
    }
}

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
    from.by_ref().take(LONGEST as u64).read_until(b'\n', &mut first)?;
    if UTF_16.iter().any(|mark| first.starts_with(mark)) {
        bail!("the file is in UTF-16: save it as UTF-8");
    }
    ensure!(!has_lone_returns(&first), "the file's lines end with CR alone: save it with LF or CRLF");
    let first = first.strip_prefix(MARK).map_or(first.clone(), <[u8]>::to_vec);
    let separator = separator.unwrap_or_else(|| most_of(&first));
    let whole = Source::new(Box::new(Cursor::new(first).chain(from)));
    // LF alone ends a line, and what stands before it is taken off the last value: were CR an end too, the lines of a file
    // with CRLF could not be counted by what they end with.
    let mut form = csv::ReaderBuilder::new();
    let form = form.delimiter(separator).flexible(true).terminator(csv::Terminator::Any(b'\n'));
    let mut reader = form.from_reader(whole);
    let names = reader.byte_headers().context("line 1")?.clone();
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

/// Whether a line has a CR that no LF follows.
fn has_lone_returns(line: &[u8]) -> bool {
    line.iter().enumerate().any(|(at, byte)| *byte == b'\r' && line.get(at + 1) != Some(&b'\n'))
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

/// The next record that has anything in it.
fn next(reader: &mut csv::Reader<Source>, record: &mut csv::ByteRecord) -> Result<Option<Line>> {
    loop {
        reader.get_mut().left = LONGEST;
        let begins = reader.position().line();
        if !reader.read_byte_record(record).with_context(|| format!("line {begins}"))? {
            return Ok(None);
        }
        // An empty line that ends with CRLF.
        if record.len() != 1 || record.as_slice() != b"\r" {
            return line(reader, record).map(Some);
        }
    }
}

fn line(reader: &csv::Reader<Source>, record: &csv::ByteRecord) -> Result<Line> {
    let source = reader.get_ref();
    let breaks = |cell: &[u8]| cell.split(|byte| *byte == b'\n').skip(1).count() as u64;
    // The last record may end where the file does, without a line's end.
    let next = reader.position().line() + u64::from(source.ended);
    let number = next - record.iter().map(breaks).sum::<u64>() - 1;
    let last = record.len().saturating_sub(1);
    if source.ended && source.last != b'"' && record.get(last).is_some_and(|cell| breaks(cell) > 0) {
        bail!("line {number}: a quote is not closed");
    }
    let cells = record.iter().enumerate().map(|(at, cell)| match cell.strip_suffix(b"\r") {
        Some(cell) if at == last => text(cell, number),
        _ => text(cell, number),
    });
    let cells = cells.collect::<Result<_>>()?;
    Ok(Line { number, next, end: reader.position().byte(), cells })
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
    fn lines_are_the_same_however_they_end() {
        let lf = "a,b\n1,2\n\n3,\"two\nlines\"\n5,\"6\"\n";
        for text in [lf.to_owned(), lf.trim_end().to_owned(), lf.replace('\n', "\r\n")] {
            let lines: Vec<_> = all(text.as_bytes()).into_iter().map(Result::unwrap).collect();
            let numbers: Vec<_> = lines.iter().map(|line| (line.number, line.next)).collect();
            assert_eq!(numbers, [(2, 3), (4, 6), (6, 7)], "{text:?}");
            assert_eq!((&lines[0].cells[1], &lines[2].cells[1]), (&"2".into(), &"6".into()), "{text:?}");
        }
        assert_eq!(all(b"a,b\r\n,\r\n").pop().unwrap().unwrap().cells, ["", ""]);
        let Err(error) = file(b"a,b\r1,2\r") else { panic!("taken for one line") };
        assert!(error.to_string().contains("CR alone"), "{error}");
    }

    #[test]
    fn a_quote_that_is_not_closed_is_said_before_it_swallows_the_rest() {
        let whole = "a,b\n1,2\n3,\"4\n".to_owned() + &"5,6\n".repeat(10);
        let error = all(whole.as_bytes()).pop().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "line 3: a quote is not closed");
        let longer = whole + &"7,8\n".repeat(LONGEST);
        let error = all(longer.as_bytes()).pop().unwrap().unwrap_err();
        assert_eq!(format!("{error:#}"), "line 3: is longer than 1 MiB: a quote may not be closed");
        for closed in ["a,b\n1,\"2\n3\"", "a,b\n1,\"2\n3\"\n", "a,b\n1,5\" wide"] {
            assert!(all(closed.as_bytes()).pop().unwrap().is_ok(), "{closed:?}");
        }
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

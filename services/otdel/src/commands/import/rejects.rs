use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{file::Line, line::Violation, mapping::OWN};

/// The lines that were refused, in a file that only its owner reads: it names people. It is there only if it has a line.
pub(super) struct Rejects {
    path: PathBuf,
    separator: u8,
    columns: Vec<String>,
    /// Which columns of the file are written: not those that an earlier rejects file added.
    kept: Vec<usize>,
    writer: Option<csv::Writer<File>>,
}

impl Rejects {
    /// For a file that is not there yet. It is made with the first line.
    pub(super) fn new(path: PathBuf, separator: u8, columns: &[String]) -> Self {
        let kept = (0..columns.len()).filter(|at| !columns[*at].starts_with(OWN)).collect();
        Self { path, separator, columns: columns.to_vec(), kept, writer: None }
    }

    /// Writes a line with everything that is wrong with it.
    pub(super) fn write(&mut self, line: &Line, violations: &[Violation]) -> Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(begin(&self.path, self.separator, &self.columns, &self.kept)?),
        };
        let texts: Vec<String> = violations.iter().map(|(field, text)| format!("{field}: {text}")).collect();
        let (number, wrong) = (line.number.to_string(), texts.join("; "));
        let cells = self.kept.iter().map(|at| line.cells.get(*at).map_or("", String::as_str));
        writer.write_record([number.as_str(), wrong.as_str()].into_iter().chain(cells))?;
        Ok(())
    }

    /// Ends the file and tells where it is, if there is one.
    pub(super) fn finish(self) -> Result<Option<PathBuf>> {
        let Some(mut writer) = self.writer else { return Ok(None) };
        writer.flush()?;
        Ok(Some(self.path))
    }
}

fn begin(path: &Path, separator: u8, columns: &[String], kept: &[usize]) -> Result<csv::Writer<File>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(file);
    let (line, violations) = (format!("{OWN}line"), format!("{OWN}violations"));
    let names = kept.iter().map(|at| columns[*at].as_str());
    writer.write_record([line.as_str(), violations.as_str()].into_iter().chain(names))?;
    Ok(writer)
}

//! [`Reader`]: reads a recording, line by line. Any bytes may be given to it.

use super::format::{self, End, Header, Line, VERSION};
use super::layout::Converter;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, Read};

/// No line of a recording is as long: the longest is the last, with the kernel's table of sites.
const MOST_BYTES: u64 = 1 << 20;

/// Why a recording can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file can't be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is something else.
    #[error(
        "it is no recording of tcpdrop-otel: the first line is not the header that `tcpdrop-otel record` writes ({0})"
    )]
    Foreign(String),
    /// It was written by a later version.
    #[error(
        "it has the version {0} of the format, and this program reads version {VERSION}: use the program that wrote it"
    )]
    Version(u64),
    /// It was made on a machine of the other byte order.
    #[error("its events have the byte order of another machine ({0}-endian): replay it on one of that kind")]
    ByteOrder(String),
    /// The header contradicts itself.
    #[error("its header is damaged: {0}")]
    Header(String),
    /// A line is damaged.
    #[error("line {line} is damaged: {what}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

/// What comes after a header.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// A line. The bytes of an event are as this program's probe would have sent them.
    Line(Line),
    /// The file ends without its last line.
    CutShort,
}

/// Reads a recording.
pub struct Reader<R> {
    input: R,
    header: Header,
    header_text: Vec<u8>,
    converter: Converter,
    line: u64,
    events: u64,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If there is none that this version understands.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Version {
            tcpdrop_otel_recording: u64,
        }
        let text = read_line(&mut input)?.text;
        let version: Version = parse(&text).map_err(ReadError::Foreign)?;
        if version.tcpdrop_otel_recording != u64::from(VERSION) {
            return Err(ReadError::Version(version.tcpdrop_otel_recording));
        }
        let header: Header = parse(&text).map_err(ReadError::Header)?;
        if header.byte_order != format::native_byte_order() {
            return Err(ReadError::ByteOrder(header.byte_order));
        }
        if let Some(flaw) = header.event.flaw() {
            return Err(ReadError::Header(flaw));
        }
        Ok(Self::after(header, text, input))
    }

    /// Reads on after a header.
    pub(crate) fn after(header: Header, header_text: Vec<u8>, input: R) -> Self {
        let converter = Converter::from(&header.event);
        Self { input, header, header_text, converter, line: 1, events: 0, ended: false }
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The first line's text: the same for the same recording, and for no other.
    pub fn header_text(&self) -> &[u8] {
        &self.header_text
    }

    /// Number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next line; `None` after the end.
    ///
    /// # Errors
    /// If the line is damaged; there is no reading on after that.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let read = read_line(&mut self.input)?;
        // A last line without its end is what a crash or a full disk leaves.
        if !read.is_whole && !read.is_too_long {
            self.ended = true;
            return Ok(Some(Item::CutShort));
        }
        self.line += 1;
        let line = self.understand(&read).map_err(|what| ReadError::Line { line: self.line, what })?;
        Ok(Some(Item::Line(line)))
    }

    fn understand(&mut self, read: &TextLine) -> Result<Line, String> {
        if read.is_too_long {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
        let line = parse(&read.text)?;
        match line {
            Line::Event(format::Bytes(bytes)) => {
                self.events += 1;
                let short = || format!("its event has {} bytes, fewer than the header says", bytes.len());
                self.converter
                    .convert(&bytes)
                    .map(|bytes| Line::Event(format::Bytes(bytes)))
                    .ok_or_else(short)
            }
            Line::End(end) => self.check_end(end).map(Line::End),
            line => Ok(line),
        }
    }

    fn check_end(&mut self, end: End) -> Result<End, String> {
        self.ended = true;
        if end.events != self.events {
            return Err(format!("it counts {} events, but {} stand before it", end.events, self.events));
        }
        match self.input.fill_buf() {
            Ok([]) => Ok(end),
            Ok(_) => Err("it is the last line of a recording, but more follows".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

struct TextLine {
    text: Vec<u8>,
    is_whole: bool,
    is_too_long: bool,
}

fn read_line(input: &mut impl BufRead) -> io::Result<TextLine> {
    let mut text = Vec::new();
    input.take(MOST_BYTES + 1).read_until(b'\n', &mut text)?;
    let is_whole = text.pop_if(|last| *last == b'\n').is_some();
    let is_too_long = text.len() as u64 > MOST_BYTES;
    Ok(TextLine { text, is_whole, is_too_long })
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| {
        // The line is said by who reads the file; the parser only knows the column.
        error.to_string().replace(" at line 1 column", " at column").replace("line 1 column", "column")
    })
}

//! As much of HTTP as the tests speak.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// `GET path` at `server`.
///
/// # Errors
/// If nobody answers in five seconds.
pub fn get(server: SocketAddr, path: &str) -> io::Result<Response> {
    exchange(server, &format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n"))
}

/// `POST path` at `server`, with a JSON body.
///
/// # Errors
/// If nobody answers in five seconds.
pub fn post_json(server: SocketAddr, path: &str, body: &str) -> io::Result<Response> {
    let length = body.len();
    exchange(
        server,
        &format!(
            "POST {path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// HTTP/1.0: the answer comes in one piece, and ends when the server closes.
fn exchange(server: SocketAddr, request: &str) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer.clone()))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\nnot yet";
        assert_eq!(parse(answer), Some(Response { status: 503, body: "not yet".to_owned() }));
        assert_eq!(parse("HTTP/1.0"), None);
    }
}

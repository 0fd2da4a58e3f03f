//! An OTLP/HTTP receiver that costs as little as can be: it takes every request, and keeps what came, and when.

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A request for `/v1/logs`.
#[derive(Debug)]
struct Request {
    arrived: u64,
    gzip: bool,
    body: Vec<u8>,
}

/// A log record as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The whole request had come, in nanoseconds since the Unix epoch.
    pub arrived: u64,
    /// The record.
    pub record: LogRecord,
}

impl Arrival {
    /// An attribute that is an integer.
    pub fn number(&self, name: &str) -> Option<u64> {
        let attribute = self.record.attributes.iter().find(|attribute| attribute.key == name)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::IntValue(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// A receiver on 127.0.0.1, until the process ends.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// Starts it.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let address = listener.local_addr().expect("address of the listener");
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let kept = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                // A connection that breaks off is the sender's to deal with.
                std::thread::spawn(move || serve(&stream, &kept));
            }
        });
        Self { address, requests }
    }

    /// Base URL for the agent.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The log records that came since the last call.
    pub fn take(&self) -> Vec<Arrival> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        requests.iter().flat_map(arrivals).collect()
    }
}

fn arrivals(request: &Request) -> Vec<Arrival> {
    let mut unpacked = Vec::new();
    let body = if request.gzip {
        GzDecoder::new(request.body.as_slice()).read_to_end(&mut unpacked).expect("unpack a request");
        unpacked.as_slice()
    } else {
        request.body.as_slice()
    };
    let decoded = ExportLogsServiceRequest::decode(body).expect("decode a request");
    let scopes = decoded.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    let records = scopes.flat_map(|scope| scope.log_records);
    records.map(|record| Arrival { arrived: request.arrived, record }).collect()
}

fn serve(stream: &TcpStream, kept: &Mutex<Vec<Request>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length = header("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if head.starts_with("post /v1/logs ") {
            let gzip = header("content-encoding:") == Some("gzip");
            let request = Request { arrived: unix_nanos(), gzip, body };
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        }
        writer.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )?;
    }
}

fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

//! A server of the files below a directory, with ranges.
//!
//! - **No blocking call**: opening, asking and reading are operations, by the kernel or by worker threads.
//! - **A file is read as its client takes it**, 64 KiB at a time, with a buffer only then.
//! - **Nothing outside is served**: a path is opened part by part, each in the directory before it and none through a
//!   symbolic link. Names that begin with a dot are not there.

mod range;

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use bytes::Bytes;
use clap::Parser;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use hyper::header::{HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use proact::operation::{Open, Read, Stat};
use proact::resource::{Address, File, FileKind, Metadata, OpenFlags};
use proact::status::{Code, Result};
use proact_async::adapt::Adapted;
use proact_async::{Stop, operation};
use proact_examples::{Content, HttpFailure, Limits, http, line, serve, whole};

use self::range::{Asked, asked};

/// An HTTP server of files
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    listen: Address,
    #[command(flatten)]
    limits: Limits,
    /// The directory whose files are served
    root: PathBuf,
}

/// Bytes that are read at once.
const PIECE: u64 = 64 << 10;

fn main() -> ExitCode {
    let options = Options::parse();
    proact_examples::run(async move {
        let root = operation(Open::new(&options.root, OpenFlags::READ | OpenFlags::DIRECTORY)).await.1.result;
        let root = Rc::new(root.map_err(|status| format!("{}: {status}", options.root.display()))?);
        let stop = Stop::new();
        serve(options.listen, &options.limits, &stop, |stream, peer| {
            let (stop, root) = (stop.clone(), root.clone());
            async move {
                let service = service_fn(move |request| answer(root.clone(), request));
                if let Err(failure) = http(Adapted::new(stream), &stop, service).await {
                    eprintln!("{peer}: {failure}");
                }
            }
        })
        .await?;
        Ok(())
    })
}

async fn answer(root: Rc<File>, request: Request<Incoming>) -> std::result::Result<Response<Content>, HttpFailure> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = line(StatusCode::METHOD_NOT_ALLOWED, "files are only read here");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let Some(parts) = parts(request.uri().path()) else {
        return Ok(line(StatusCode::NOT_FOUND, "there is no such file"));
    };
    match find(&root, &parts).await {
        Ok((file, metadata)) if metadata.kind == FileKind::File => respond(&request, &parts, file, &metadata),
        Ok(_) => Ok(line(StatusCode::NOT_FOUND, "there is no such file")),
        Err(status) => Ok(match status.code() {
            // A link, or a file where a directory should be, is as good as nothing.
            Code::NotFound | Code::FailedPrecondition => line(StatusCode::NOT_FOUND, "there is no such file"),
            Code::PermissionDenied => line(StatusCode::FORBIDDEN, "this file may not be read"),
            Code::ResourceExhausted => line(StatusCode::SERVICE_UNAVAILABLE, "too many files are open"),
            _ => {
                eprintln!("{}: {status}", request.uri().path());
                line(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read")
            }
        }),
    }
}

/// The names that a path consists of, decoded. `None` for one that has names that are not served.
fn parts(path: &str) -> Option<Vec<String>> {
    let names = path.split('/').filter(|name| !name.is_empty()).map(|name| {
        let name = decode(name)?;
        (!name.starts_with('.') && !name.contains(['/', '\0'])).then_some(name)
    });
    let names: Vec<_> = names.collect::<Option<_>>()?;
    (!names.is_empty() && !path.ends_with('/')).then_some(names)
}

/// `%41` is `A`.
fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        let hexadecimal = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(match byte {
            b'%' => (hexadecimal(rest.next()?)? * 16 + hexadecimal(rest.next()?)?) as u8,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Opens what the names lead to, and asks what it is.
async fn find(root: &File, parts: &[String]) -> Result<(File, Metadata)> {
    let mut at = root.clone();
    for (index, name) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let kind = if last { OpenFlags::empty() } else { OpenFlags::DIRECTORY };
        at = operation(Open::at(at, name, OpenFlags::READ | OpenFlags::NO_FOLLOW | kind)).await.1.result?;
    }
    let (_, outcome) = operation(Stat::new(at.clone())).await;
    Ok((at, outcome.result?))
}

fn respond(
    request: &Request<Incoming>,
    parts: &[String],
    file: File,
    metadata: &Metadata,
) -> std::result::Result<Response<Content>, HttpFailure> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (size, seconds, nanoseconds) = (metadata.size, metadata.modified_seconds, metadata.modified_nanoseconds);
    // Another when the file has changed.
    let tag = format!("\"{size:x}-{seconds:x}-{nanoseconds:x}\"");
    let builder = Response::builder().header(ETAG, &tag).header(ACCEPT_RANGES, "bytes");
    if header(IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|other| [&tag, "*"].contains(&other.trim()))) {
        return Ok(builder.status(StatusCode::NOT_MODIFIED).body(whole(""))?);
    }
    // A part is of use only with the rest of the same file.
    let same = header(IF_RANGE).is_none_or(|other| other == tag);
    let (builder, part) = match asked(header(RANGE).filter(|_| same), size) {
        Asked::Whole => (builder, 0..size),
        Asked::Part(part) => {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            (builder.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, range), part)
        }
        Asked::Outside => {
            let builder = builder.status(StatusCode::RANGE_NOT_SATISFIABLE);
            return Ok(builder.header(CONTENT_RANGE, format!("bytes */{size}")).body(whole(""))?);
        }
    };
    let builder = builder.header(CONTENT_LENGTH, part.end - part.start);
    let builder = builder.header(CONTENT_TYPE, content_type(parts.last().map_or("", String::as_str)));
    let body = if request.method() == Method::HEAD { whole("") } else { content(file, part) };
    Ok(builder.body(body)?)
}

/// Part of a file, read piece by piece when hyper has room for one more.
fn content(file: File, part: std::ops::Range<u64>) -> Content {
    let pieces = stream::try_unfold(part.start, move |at| {
        let (file, left) = (file.clone(), part.end - at);
        async move {
            if left == 0 {
                return Ok(None);
            }
            let buffer = vec![0; left.min(PIECE) as usize];
            // All of it: a file that has become shorter meanwhile is a failure, by which the client sees that.
            let (read, outcome) = operation(Read::exact(file, at, buffer)).await;
            let count = outcome.result?;
            Ok::<_, HttpFailure>(Some((Frame::data(Bytes::from(read.buffer)), at + count as u64)))
        }
    });
    Box::pin(StreamBody::new(pieces))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css",
        "js" => "text/javascript",
        "json" => "application/json",
        "md" | "txt" => "text/plain; charset=utf-8",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

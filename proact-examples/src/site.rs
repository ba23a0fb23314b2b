//! What the servers `http` and `https` have to say.

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};

use crate::http::{Content, HttpFailure, line, whole};

/// Bytes of one piece of a long body.
const PIECE: u64 = 64 << 10;

/// - `GET /`: a greeting;
/// - `GET /bytes/N`: so many bytes, made piece by piece as the client takes them: `abc...z`, again and again;
/// - `POST /echo`: what was sent, while it comes, so that a client that does not read cannot send either.
///
/// # Errors
/// None; what goes wrong within a body is the body's.
pub async fn site(request: Request<Incoming>) -> Result<Response<Content>, HttpFailure> {
    let path = request.uri().path();
    Ok(match (request.method(), path) {
        (&Method::GET | &Method::HEAD, "/") => Response::new(whole("Hello, world!\n")),
        (&Method::POST, "/echo") => {
            let body: Content = Box::pin(request.into_body().map_err(HttpFailure::from));
            Response::new(body)
        }
        (&Method::GET, path) => match path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
            Some(count) => Response::new(alphabet(count)),
            None => line(StatusCode::NOT_FOUND, "there is nothing here"),
        },
        _ => line(StatusCode::METHOD_NOT_ALLOWED, "not here"),
    })
}

fn alphabet(count: u64) -> Content {
    let pieces = stream::unfold(0, move |at: u64| async move {
        let piece: Vec<u8> = (at..count.min(at + PIECE)).map(|at| b'a' + (at % 26) as u8).collect();
        (!piece.is_empty()).then(|| (Ok(Frame::data(Bytes::from(piece))), at + PIECE))
    });
    Box::pin(StreamBody::new(pieces))
}

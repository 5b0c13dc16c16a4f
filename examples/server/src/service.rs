//! The routes: one answer as JSON, and one piece by piece as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::available_parallelism;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bake::{Chat, ErrorKind};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;

/// The longest request, in bytes.
const LONGEST_REQUEST: usize = 16 << 10;

/// How many pieces wait for a slow client before the model has to.
const WAITING_PIECES: usize = 16;

/// What all requests share.
#[derive(Clone)]
struct Service {
    /// A loaded model is cheap to clone and can be asked by many threads.
    chat: Chat,
    /// How many answers may be computed at once; other requests wait.
    computing: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct ChatRequest {
    question: String,
}

#[derive(Serialize)]
struct ChatResponse {
    answer: String,
}

/// What a client is told when there is no answer.
struct Refusal(StatusCode, String);

pub fn routes(chat: Chat) -> Router {
    let at_once = available_parallelism().map_or(1, usize::from);
    let service = Service { chat, computing: Arc::new(Semaphore::new(at_once)) };
    Router::new()
        .route("/ask", post(ask))
        .route("/stream", post(stream))
        .layer(DefaultBodyLimit::max(LONGEST_REQUEST))
        .with_state(service)
}

/// A whole answer.
async fn ask(
    State(service): State<Service>,
    asked: Result<Json<ChatRequest>, JsonRejection>,
) -> Result<Json<ChatResponse>, Refusal> {
    let question = question(asked)?;
    let permit = service.permit().await?;
    let (sender, receiver) = oneshot::channel();
    // Answering blocks, so it runs on a thread for blocking work. If the client goes away, this
    // function is dropped, and with it the receiver.
    spawn_blocking(move || {
        let _permit = permit;
        if let Some(answer) = answer(&service.chat, &question, || sender.is_closed()) {
            // If nobody is waiting any more, nobody needs to be told.
            let _ = sender.send(answer);
        }
    });
    let answer = receiver.await.map_err(|_| Refusal::internal("the answer was abandoned"))??;
    Ok(Json(ChatResponse { answer }))
}

/// The answer to a question; none if it is given up.
fn answer(
    chat: &Chat,
    question: &str,
    is_given_up: impl Fn() -> bool,
) -> Option<Result<String, bake::Error>> {
    let pieces = match chat.stream(question) {
        Ok(pieces) => pieces,
        Err(error) => return Some(Err(error)),
    };
    let mut text = String::new();
    for piece in pieces {
        if is_given_up() {
            return None;
        }
        match piece {
            Ok(piece) => text.push_str(&piece),
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(text.trim().to_owned()))
}

/// An answer piece by piece: events without a name, and one named `error` if it fails.
async fn stream(
    State(service): State<Service>,
    asked: Result<Json<ChatRequest>, JsonRejection>,
) -> Result<Sse<ReceiverStream<Result<Event, Infallible>>>, Refusal> {
    let question = question(asked)?;
    let permit = service.permit().await?;
    let (sender, receiver) = mpsc::channel(WAITING_PIECES);
    let (begun, first) = oneshot::channel();
    spawn_blocking(move || {
        let _permit = permit;
        let pieces = match service.chat.stream(&question) {
            Ok(pieces) => pieces,
            Err(error) => return drop(begun.send(Err(error))),
        };
        // Only now is it certain that there will be an answer.
        let _ = begun.send(Ok(()));
        for piece in pieces {
            let event = match piece {
                Ok(piece) => Event::default().data(one_kind_of_line_end(&piece)),
                Err(error) => Event::default().event("error").data(error.to_string()),
            };
            // When the client has gone, so has the receiver, and no further tokens are computed.
            if sender.blocking_send(Ok(event)).is_err() {
                break;
            }
        }
    });
    first.await.map_err(|_| Refusal::internal("the answer was abandoned"))??;
    Ok(Sse::new(ReceiverStream::new(receiver)))
}

/// Server-sent events know `\n` only.
fn one_kind_of_line_end(piece: &str) -> String {
    piece.replace("\r\n", "\n").replace('\r', "\n")
}

/// The question of a request.
fn question(asked: Result<Json<ChatRequest>, JsonRejection>) -> Result<String, Refusal> {
    let Json(ChatRequest { question }) =
        asked.map_err(|rejection| Refusal(rejection.status(), rejection.body_text()))?;
    if question.trim().is_empty() {
        return Err(Refusal(StatusCode::BAD_REQUEST, "the question is empty".to_owned()));
    }
    Ok(question)
}

impl Service {
    async fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = Arc::clone(&self.computing).acquire_owned().await;
        permit.map_err(|_| Refusal::internal("the server is shutting down"))
    }
}

impl Refusal {
    /// What does not concern the client is reported to whoever runs the server.
    fn internal(why: &str) -> Self {
        eprintln!("a request failed: {why}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "the server could not answer".to_owned())
    }
}

impl From<bake::Error> for Refusal {
    fn from(error: bake::Error) -> Self {
        match error.kind() {
            ErrorKind::Context => Self(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            _ => Self::internal(&error.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Refused {
            error: String,
        }
        let Self(status, error) = self;
        (status, Json(Refused { error })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use bake::Model;
    use tower::ServiceExt as _;

    use super::*;

    /// The response of a server that has read two sections.
    async fn said(path: &str, kind: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let document = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
        let routes = routes(Chat::new(Model::tiny().unwrap(), document));
        let request = Request::post(path).header("content-type", kind).body(body.into()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_question_is_answered() {
        let body = r#"{"question": "I lost my key"}"#;
        let (status, text) = said("/ask", "application/json", body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(text, r#"{"answer":"Ask Bob in the blue office."}"#);

        let (status, text) = said("/stream", "application/json", body).await;
        assert_eq!(status, StatusCode::OK);
        let pieces: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("data: ")).collect();
        assert!(pieces.len() > 1, "{text}");
        assert_eq!(pieces.concat().trim(), "Ask Bob in the blue office.");
    }

    #[tokio::test]
    async fn bad_requests_are_refused_with_a_reason() {
        let long = serde_json::json!({ "question": "key ".repeat(2000) }).to_string();
        let huge = serde_json::json!({ "question": "key ".repeat(20_000) }).to_string();
        for path in ["/ask", "/stream"] {
            for (kind, body, want, why) in [
                (
                    "text/plain",
                    "I lost my key",
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "application/json",
                ),
                ("application/json", "{", StatusCode::BAD_REQUEST, "JSON"),
                ("application/json", "{}", StatusCode::UNPROCESSABLE_ENTITY, "question"),
                ("application/json", r#"{"question": " "}"#, StatusCode::BAD_REQUEST, "is empty"),
                ("application/json", long.as_str(), StatusCode::UNPROCESSABLE_ENTITY, "context"),
                ("application/json", huge.as_str(), StatusCode::PAYLOAD_TOO_LARGE, "limit"),
            ] {
                let (status, text) = said(path, kind, body.to_owned()).await;
                assert_eq!(status, want, "{path}: {text}");
                let refused: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert!(refused["error"].as_str().unwrap().contains(why), "{path}: {text}");
            }
        }
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_given_up() {
        let chat = Chat::new(Model::tiny().unwrap(), "## Lost key\nAsk Bob in the blue office.");
        assert!(answer(&chat, "I lost my key", || true).is_none());
        assert!(answer(&chat, "I lost my key", || false).unwrap().unwrap().contains("Bob"));
    }
}

//! One request of a connection in a crowd: while its body is still on the way nothing is owed to its sender.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, SizeHint};

use crate::crowd::Guest;

/// Has a request answered. From the end of its body until the answer the connection is not taken away.
pub async fn attend<B, F>(
    guest: &Arc<Guest>,
    request: Request<B>,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Response
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
    F: Future<Output = Response>,
{
    let whole = request.body().is_end_stream();
    guest.busy();
    if !whole {
        // From now on: it did something, and others may have been idle for longer.
        guest.idle();
    }
    let arriving = |body| Body::new(Arriving { body: Body::new(body), guest: guest.clone() });
    let response = answer(request.map(arriving)).await;
    // What has no known length is still being made.
    if response.body().size_hint().exact().is_some() {
        guest.idle();
    } else {
        guest.busy();
    }
    response
}

/// A body that says when all of it is there.
struct Arriving {
    body: Body,
    guest: Arc<Guest>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.body.is_end_stream() {
            self.guest.busy();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::Crowd;

    /// Whether a newcomer may take the place of the only one there.
    async fn gives_way(guest: &Guest, crowd: &Crowd) -> bool {
        tokio::select! {
            biased;
            _ = crowd.enter() => {}
            () = std::future::ready(()) => {}
        }
        tokio::select! {
            biased;
            () = guest.dismissed() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_sender_of_half_a_body_gives_way_and_one_of_a_whole_body_stays() {
        let crowd = Crowd::new(1);
        let guest = Arc::new(crowd.enter().await);
        let request = Request::new(Body::from("whole"));
        let response = attend(&guest, request, |request| async {
            axum::body::to_bytes(request.into_body(), 10).await.unwrap();
            assert!(!gives_way(&guest, &crowd).await);
            Response::new(Body::empty())
        });
        response.await;
        let request = Request::new(Body::from("half"));
        let response = attend(&guest, request, |_| async {
            assert!(gives_way(&guest, &crowd).await);
            Response::new(Body::empty())
        });
        response.await;
    }
}

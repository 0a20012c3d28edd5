//! The body of an answer to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::drain::Kept;
use crate::resume::{Resumed, Watched};
use crate::server::AsideBody;

/// Bytes we made ourselves, a provider's answer on its way through, or what stands beside both.
pub(crate) enum Body {
    Full(Option<Bytes>),
    Relay(Kept),
    /// The same, of a stream that can be resumed.
    Watched(Watched),
    /// A stream that was kept, given again.
    Resumed(Box<Resumed>),
    /// What is answered beside the data plane.
    Aside(AsideBody),
}

/// Why a body ended early. The connection is broken off for it, which is what a client must see.
#[derive(Debug, thiserror::Error)]
#[error("the provider's answer broke off")]
pub(crate) struct Broken;

impl Body {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(kept) => match kept.relay() {
                Some(relay) => relay.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data))),
                None => Poll::Ready(None),
            },
            Self::Watched(watched) => {
                watched.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data)))
            }
            Self::Resumed(again) => again.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data))),
            Self::Aside(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Relay(kept) => kept.is_finished(),
            Self::Watched(watched) => watched.is_finished(),
            Self::Resumed(_) => false,
            Self::Aside(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            // The provider's own `content-length`, if any, is already among the headers.
            Self::Relay(_) | Self::Watched(_) | Self::Resumed(_) => SizeHint::default(),
            Self::Aside(body) => body.size_hint(),
        }
    }
}

//! What carries a client's messages: WebSocket frames, or a stream of events.

use bytes::{Bytes, BytesMut};

use crate::close::Close;
use crate::sse;
use crate::websocket::{Incoming, WebSocket};
use crate::wire::{self, Opcode};

#[expect(
    clippy::large_enum_variant,
    reason = "a box would cost every WebSocket an allocation"
)]
pub(super) enum Framing {
    WebSocket(WebSocket),
    /// Server-Sent Events, one way.
    Events,
}

impl Framing {
    /// Takes from `input` up to the end of the next message. `None` when it holds no whole one.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, Close> {
        match self {
            Self::WebSocket(websocket) => websocket.receive(input, replies),
            Self::Events => {
                // Behind its request the client has nothing to say.
                *input = &[];
                Ok(None)
            }
        }
    }

    /// The last bytes: the protocol's own `farewell`, then why.
    pub(super) fn goodbye(&self, farewell: Option<Bytes>, close: Close) -> Bytes {
        match self {
            Self::WebSocket(_) => {
                let mut bytes = BytesMut::new();
                if let Some(farewell) = farewell {
                    bytes.extend(wire::frame(Opcode::Binary, &[&farewell]));
                }
                bytes.extend(wire::close(close));
                bytes.freeze()
            }
            Self::Events => sse::goodbye(close, None),
        }
    }
}

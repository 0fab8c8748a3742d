use super::line::Anchor;
use crate::mailbox::Standing;
use crate::net::reader::{EventReader, Scratch};
use crate::net::session::End;
use async_trait::async_trait;
use distbus_transport::{ClientInbound, ClientInbox, DropReason, TransportError};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long events may still come after the broker has closed one of the other connections.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The receiving half of a client's link. It reads the SUB connection itself, so that a batch goes from the socket to the
/// engine without a task in between.
pub(crate) struct ZmtpClientInbound {
    anchor: Arc<Anchor>,
    /// `None` once it is over.
    reader: Option<EventReader>,
    scratch: Scratch,
    last_words: Option<Pin<Box<Sleep>>>,
}

impl ZmtpClientInbound {
    pub(crate) fn new(anchor: Arc<Anchor>, reader: EventReader) -> Self {
        Self {
            anchor,
            reader: Some(reader),
            scratch: Scratch::default(),
            last_words: None,
        }
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut ClientInbox,
    ) -> Poll<Result<(), TransportError>> {
        let line = self.anchor.0.clone();
        self.scratch.rewind();
        let before = (inbox.frames.len(), inbox.signals.len());
        let bound = inbox.frames.len() + ClientInbox::BOUND;
        loop {
            let standing = line
                .mailbox
                .collect(&mut inbox.signals, &mut Vec::new(), &mut Vec::new());
            if standing == Standing::Closed {
                self.reader = None;
            }
            while let Some(reader) = self.reader.as_mut() {
                let some = inbox.frames.len() > before.0;
                if inbox.frames.len() >= bound || some && self.scratch.is_full() {
                    break;
                }
                match reader.poll_events(cx, &mut self.scratch, &mut inbox.frames, &line.counters) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Pending => break,
                    Poll::Ready(Err(end)) => self.over(&end),
                }
            }
            if before != (inbox.frames.len(), inbox.signals.len()) {
                return Poll::Ready(Ok(()));
            }
            if self.reader.is_none() || self.waited_for_last_words(cx, standing) {
                self.reader = None;
                line.sub.close(DropReason::Disconnected);
                return Poll::Ready(Err(TransportError::Closed));
            }
            if line.mailbox.park(cx, standing) {
                return Poll::Pending;
            }
        }
    }

    fn over(&mut self, end: &End) {
        self.reader = None;
        let line = &self.anchor.0;
        if let Some((reject, why)) = end.fault() {
            line.counters.rejected.add(reject, 1);
            tracing::warn!(reason = %reject, "the connection to the broker is over: {why}");
        }
        // Without events there is no link: what is pushed from now on fails too.
        line.dealer.close(DropReason::Disconnected);
        line.push.close(DropReason::Disconnected);
        line.sub.close(DropReason::Disconnected);
    }

    /// A broker that closes hands over what it has queued for this client; it comes, or the end of it, soon.
    fn waited_for_last_words(&mut self, cx: &mut Context<'_>, standing: Standing) -> bool {
        if standing == Standing::Open {
            return false;
        }
        let timer = self.last_words.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
        timer.as_mut().poll(cx).is_ready()
    }
}

#[async_trait]
impl ClientInbound for ZmtpClientInbound {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        poll_fn(|cx| self.poll_recv(cx, inbox)).await
    }
}

//! Our client, put through everything against a broker of somebody else's.

use super::support::{id, within};
use bytes::Bytes;
use distbus_transport::{Batch, ClientInbox, ClientLink, ClientSignal, Endpoint, Frame, Limits, Transport};
use distbus_zmtp::Zmtp;
use std::time::Duration;
use tokio::time::timeout;

pub(crate) struct Ours {
    link: ClientLink,
    inbox: ClientInbox,
}

impl Ours {
    pub(crate) async fn connect(zmtp: &Zmtp, endpoint: &Endpoint, name: &'static str) -> Self {
        let (me, limits) = (id(name), Limits::default());
        let link = within("connecting", zmtp.connect(endpoint, &me, &limits)).await;
        Self {
            link: link.unwrap(),
            inbox: ClientInbox::default(),
        }
    }

    pub(crate) async fn push(&mut self, frames: &[Frame]) {
        within("pushing", self.link.outbound.push(Batch::from(frames).all()))
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Frame {
        within("an event", async {
            while self.inbox.frames.is_empty() {
                self.link.inbound.recv(&mut self.inbox).await.unwrap();
            }
        })
        .await;
        self.inbox.frames.take(1).remove(0)
    }

    pub(crate) async fn echo(&mut self) {
        for n in 0..100 {
            let message = Bytes::from(format!("echo {n}"));
            self.link.outbound.control(message.clone()).await.unwrap();
            within("a reply", async {
                while self.inbox.signals.is_empty() {
                    self.link.inbound.recv(&mut self.inbox).await.unwrap();
                }
            })
            .await;
            assert_eq!(
                self.inbox.signals.drain(..).collect::<Vec<_>>(),
                [ClientSignal::Control(message)]
            );
        }
    }

    pub(crate) async fn subscribe(&mut self, prefix: String) {
        self.link.outbound.subscribe(prefix.into()).await.unwrap();
    }

    /// Pushes probes until one comes back, then takes the others out of the way.
    pub(crate) async fn until_live(&mut self, topic: &'static str) {
        within("a probe", async {
            while self.inbox.frames.is_empty() {
                self.push(&[Frame::sealed(topic, "probe")]).await;
                let waiting = self.link.inbound.recv(&mut self.inbox);
                let _ = timeout(Duration::from_millis(20), waiting).await;
            }
        })
        .await;
        self.push(&[Frame::sealed(topic, "last probe")]).await;
        while &self.next().await.body()[..] != b"last probe" {}
    }

    /// `count` small ones in order, then some of every size.
    pub(crate) async fn everything_comes_back(&mut self, count: u32) {
        for first in (0..count).step_by(500) {
            let frames: Vec<_> = (first..first + 500)
                .map(|n| Frame::sealed("our.many", n.to_string()))
                .collect();
            self.push(&frames).await;
            for sent in frames {
                assert_eq!(self.next().await, sent);
            }
        }
        for size in [0, 1, 255, 256, 65_536, 8 << 20] {
            let sent = Frame::sealed("our.large", vec![size as u8; size]);
            self.push(std::slice::from_ref(&sent)).await;
            assert_eq!(self.next().await, sent);
        }
    }

    pub(crate) async fn thousands_of_subscriptions(&mut self) {
        for n in 0..5000 {
            self.subscribe(format!("topic.{n}.")).await;
        }
        self.until_live("topic.4999.").await;
        for n in (0..5000).step_by(7) {
            self.push(&[Frame::sealed(format!("topic.{n}.x"), n.to_string())])
                .await;
            assert_eq!(&self.next().await.body()[..], n.to_string().as_bytes());
        }
        for n in 0..4999 {
            let prefix = format!("topic.{n}.").into();
            self.link.outbound.unsubscribe(prefix).await.unwrap();
        }
        self.until_live("topic.4999.").await;
        self.push(&[
            Frame::sealed("topic.7.x", "unwanted"),
            Frame::sealed("topic.4999.", "wanted"),
        ])
        .await;
        assert_eq!(&self.next().await.body()[..], b"wanted");
    }

    /// Nothing happens for a while: no event, and no end.
    pub(crate) async fn rest(&mut self, time: Duration) {
        let heard = timeout(time, self.link.inbound.recv(&mut self.inbox)).await;
        assert!(heard.is_err(), "it was quiet, but: {heard:?}");
    }

    pub(crate) async fn until_ended(&mut self) {
        within("the end of the link", async {
            while self.link.inbound.recv(&mut self.inbox).await.is_ok() {
                self.inbox.clear();
            }
        })
        .await;
    }
}

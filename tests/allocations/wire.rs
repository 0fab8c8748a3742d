use distbus_transport::{Batch, ClientInbox, ClientLink, Endpoint, Frame, Limits, PeerId, Transport};
use std::time::Duration;
use tokio::time::timeout;

/// Events that travel together.
const BATCH: u64 = 1000;

/// Two bare connections to one broker: what goes in at one comes out at the other.
pub(crate) struct Wire {
    pusher: ClientLink,
    taker: ClientLink,
    inbox: ClientInbox,
    batch: Batch,
}

impl Wire {
    pub(crate) async fn through(transport: &impl Transport, endpoint: &Endpoint, limits: &Limits) -> Self {
        let connect = |name: &'static str| async move {
            let peer = PeerId::new(name).expect("a short name");
            let link = transport.connect(endpoint, &peer, limits).await;
            link.expect("the broker listens")
        };
        let (mut pusher, mut taker) = (connect("pusher").await, connect("taker").await);
        taker.outbound.subscribe("lab.".into()).await.expect("it is open");
        let mut inbox = ClientInbox::default();
        // The first few may come before the subscription; the last of them comes back.
        let probe = Batch::from(Frame::sealed("lab.probe", ""));
        for _ in 0..1000 {
            pusher.outbound.push(probe.all()).await.expect("it is open");
            let back = timeout(Duration::from_millis(50), taker.inbound.recv(&mut inbox)).await;
            if back.is_ok() {
                break;
            }
        }
        assert!(!inbox.frames.is_empty(), "nothing comes back from {endpoint}");
        let frame = Frame::sealed("lab.temp", vec![7; 64]);
        Self {
            pusher,
            taker,
            inbox,
            batch: std::iter::repeat_n(frame, BATCH as usize).collect(),
        }
    }

    /// Sends so many events through the broker, and takes them.
    pub(crate) async fn carry(&mut self, events: u64) {
        for _ in 0..events / BATCH {
            self.pusher
                .outbound
                .push(self.batch.all())
                .await
                .expect("it is open");
            let mut taken = 0;
            while taken < BATCH {
                self.inbox.clear();
                let received = self.taker.inbound.recv(&mut self.inbox).await;
                received.expect("it is open");
                let frames = self.inbox.frames.iter();
                taken += frames.filter(|frame| frame.topic() == b"lab.temp").count() as u64;
            }
        }
    }
}

use super::*;
use crate::net::stream::Stream;
use distbus_transport::Frame;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LIMIT: usize = 64 << 20;

async fn outlet() -> (Outlet, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (ours, _) = listener.accept().await.unwrap();
    let (_, write) = Stream::tcp(ours).unwrap().split();
    let policy = SlowConsumer::Block(Duration::from_secs(1));
    (
        Outlet::new(Some(write), Arc::default(), LIMIT, policy, Arc::default()),
        peer,
    )
}

fn fill(outlet: &Outlet) {
    let mut chunk = Chunk::default();
    while chunk.push(Frame::sealed("load", vec![7; 16 << 10]).view()) {}
    while outlet.lock().queue.bytes() <= outlet.crowd() {
        assert_eq!(outlet.offer(&chunk, &mut vec![chunk.all()]), Offer::Settled);
    }
}

/// Reads until the queue is empty.
async fn drain(outlet: &Outlet, peer: &mut TcpStream) {
    let mut buffer = vec![0; 1 << 20];
    let all = async {
        while outlet.has_backlog() {
            tokio::select! {
                written = outlet.write_some() => assert!(written.is_ok()),
                read = peer.read(&mut buffer) => assert!(read.unwrap() > 0),
            }
        }
    };
    timeout(Duration::from_secs(30), all)
        .await
        .expect("the queue drains");
}

#[tokio::test]
async fn a_long_queue_is_waited_for_until_that_was_in_vain() {
    let (outlet, mut peer) = outlet().await;
    assert!(!outlet.is_crowded(1), "it is empty");
    fill(&outlet);
    assert!(outlet.is_crowded(1) && outlet.is_crowded(2));
    outlet.stop_waiting();
    assert!(!outlet.is_crowded(1), "it did not read");
    fill(&outlet);
    assert!(!outlet.is_crowded(1), "nor does it now");
    drain(&outlet, &mut peer).await;
    fill(&outlet);
    assert!(outlet.is_crowded(1), "it has read everything since");
}

#[tokio::test]
async fn whoever_waits_for_a_shorter_queue_is_told() {
    let (outlet, mut peer) = outlet().await;
    fill(&outlet);
    assert!(outlet.is_crowded(1));
    drain(&outlet, &mut peer).await;
    timeout(Duration::from_secs(30), outlet.room.notified())
        .await
        .expect("a write makes room");
    assert!(!outlet.is_crowded(2));
}

//! What each thing that can be wrong with a link does.

#![allow(
    clippy::unwrap_used,
    reason = "the scenarios of a test fail it where they fail"
)]

mod support;

use distbus::{Client, ClosedBy, Error, Limits, Reject, SlowConsumer};
use distbus_sim::{Injected, Latency, LinkConfig, On, Sim, Verdict, What};
use std::time::Duration;
use support::{Log, MS, SECOND, listener, play};

/// A hub, a sensor, and a display that logs the numbers on `n`.
async fn lab(sim: &Sim) -> (Client, Client, Log) {
    sim.broker("hub").ready().await;
    let sensor = sim.at("sensor").connect("hub").await.unwrap();
    let (display, log) = listener(sim, "display", "n").await;
    (sensor, display, log)
}

async fn emit(client: &Client, numbers: std::ops::Range<u64>) {
    for number in numbers {
        client.emit("n", &number).await.unwrap();
    }
}

fn config() -> LinkConfig {
    LinkConfig::default()
}

#[test]
fn latency_delays_each_way() {
    play(1, |sim| async move {
        let (sensor, _display, log) = lab(&sim).await;
        sim.link("sensor", "hub")
            .one_way()
            .set(config().with_latency(30 * MS));
        sim.link("hub", "display")
            .one_way()
            .set(config().with_latency(12 * MS));
        let start = sim.now().as_millis();
        emit(&sensor, 0..1).await;
        sim.advance(SECOND).await;
        emit(&sensor, 1..2).await;
        // The echo comes back without delay.
        sensor.flush().await.unwrap();
        assert_eq!(sim.now().as_millis() - start, 1030);
        sim.advance(SECOND).await;
        assert_eq!(log.all(), [(start + 42, 0), (start + 1042, 1)]);
    });
}

#[test]
fn an_uneven_latency_keeps_the_order() {
    let latencies = [
        Latency::uniform(MS, 50 * MS),
        Latency::exponential(MS, 20 * MS),
        Latency::log_normal(20 * MS, 1.0),
    ];
    for latency in latencies {
        play(2, move |sim| async move {
            let (sensor, _display, log) = lab(&sim).await;
            sim.network().set_default(config().with_latency(latency));
            for number in 0..200 {
                emit(&sensor, number..number + 1).await;
                sim.advance(MS).await;
            }
            sim.advance(60 * SECOND).await;
            assert_eq!(log.numbers(), (0..200).collect::<Vec<_>>());
            let times: Vec<_> = log
                .all()
                .iter()
                .map(|(at, number)| at - u128::from(*number))
                .collect();
            assert!(
                times.iter().any(|time| *time != times[0]),
                "an even latency: {times:?}"
            );
        });
    }
}

#[test]
fn bandwidth_spaces_events_out_and_holds_the_publisher_up() {
    play(3, |sim| async move {
        let (sensor, _display, log) = lab(&sim).await;
        sim.link("sensor", "hub")
            .one_way()
            .set(config().with_bandwidth(Some(100_000)).with_window(10_000));
        let payload = vec![7_u8; 1000];
        let start = sim.now();
        for _ in 0..2000 {
            sensor.emit("bulk", &payload[..]).await.unwrap();
        }
        // The client holds 256 KiB itself, so not all is through; more than half must be.
        let emitting = sim.now() - start;
        assert!(
            emitting > 10 * SECOND,
            "{emitting:?} for 2 MB or more at 100 kB/s"
        );
        emit(&sensor, 0..1).await;
        sensor.flush_within(120 * SECOND).await.unwrap();
        // The marker was sent again and again meanwhile.
        sim.advance(10 * SECOND).await;
        let flow = sim.link("sensor", "hub").flow();
        assert!(flow.adds_up() && flow.in_flight == 0, "{flow:?}");
        assert_eq!(log.numbers(), [0]);
    });
}

#[test]
fn a_partition_delays_and_heals() {
    play(4, |sim| async move {
        let (sensor, display, log) = lab(&sim).await;
        sim.network().set_default(config().with_latency(10 * MS));
        let start = sim.now().as_millis();
        let link = sim.link("hub", "display");
        link.partition();
        assert!(link.is_partitioned());
        emit(&sensor, 0..10).await;
        sim.advance(20 * SECOND).await;
        assert_eq!(log.len(), 0);
        assert_eq!(
            link.flow().in_flight,
            10 + 1,
            "ten events and a pulse: {:?}",
            link.flow()
        );
        link.heal();
        sim.advance(SECOND).await;
        assert_eq!(log.numbers(), (0..10).collect::<Vec<_>>());
        assert!(
            log.all().iter().all(|(at, _)| *at == start + 20_010),
            "{:?}",
            log.all()
        );
        assert!(!display.is_closed() && display.stats().missing == 0);
    });
}

#[test]
fn one_way_leaves_the_other_open() {
    play(5, |sim| async move {
        let (sensor, display, log) = lab(&sim).await;
        // The display hears, and is not heard.
        sim.link("display", "hub").one_way().partition();
        emit(&sensor, 0..1).await;
        display.emit("up", &1).await.unwrap();
        sim.advance(SECOND).await;
        assert_eq!(log.numbers(), [0]);
        let up = sim.link("display", "hub").flow();
        assert_eq!(up.in_flight, 1, "{up:?}");
        // And then the other way round.
        sim.heal("display", "hub");
        sim.link("hub", "display").one_way().partition();
        emit(&sensor, 1..2).await;
        display.emit("up", &2).await.unwrap();
        sim.advance(SECOND).await;
        assert_eq!(log.numbers(), [0]);
        assert_eq!(sim.link("display", "hub").flow().in_flight, 0);
    });
}

#[test]
fn a_partition_that_lasts_breaks_the_connection_and_nobody_connects() {
    play(6, |sim| async move {
        let hub = sim.broker("hub");
        hub.ready().await;
        let node = sim.at("sensor");
        let sensor = node.connect("hub").await.unwrap();
        sim.partition("sensor", "hub");
        emit(&sensor, 0..3).await;
        let start = sim.now();
        let ClosedBy::Lost(why) = sensor.closed().await else {
            panic!("closed for another reason");
        };
        assert_eq!(
            (sim.now() - start, why.as_str()),
            (60 * SECOND, "the connection broke")
        );
        assert_eq!(hub.stats().transport.clients, 0, "the broker heard of it");
        let flow = sim.link("sensor", "hub").flow();
        assert!(flow.adds_up() && flow.count(Injected::Cut) == 3, "{flow:?}");
        let again = node.connect("hub").await;
        assert!(matches!(again, Err(Error::ConnectTimeout { .. })), "{again:?}");
        // A client that waits gets through once it is healed.
        let (connected, ()) = tokio::join!(node.connect("hub"), async {
            sim.advance(SECOND).await;
            sim.heal("sensor", "hub");
        });
        connected.unwrap();
    });
}

#[test]
fn a_partition_without_end_breaks_nothing_when_told_so() {
    play(7, |sim| async move {
        sim.network().set_default(config().with_break_after(None));
        let (sensor, display, log) = lab(&sim).await;
        sim.link("sensor", "hub").one_way().partition();
        emit(&sensor, 0..1).await;
        sim.advance(3600 * SECOND).await;
        assert!(!sensor.is_closed() && !display.is_closed());
        sim.heal("sensor", "hub");
        sim.advance(SECOND).await;
        assert_eq!(log.numbers(), [0]);
    });
}

#[test]
fn a_clog_delays_and_breaks_nothing() {
    play(8, |sim| async move {
        let (sensor, _display, log) = lab(&sim).await;
        let start = sim.now().as_millis();
        sim.link("sensor", "hub").clog(100 * SECOND);
        emit(&sensor, 0..5).await;
        sim.advance(99 * SECOND).await;
        assert_eq!(log.len(), 0);
        sim.advance(2 * SECOND).await;
        assert_eq!(log.numbers(), (0..5).collect::<Vec<_>>());
        assert!(
            log.all().iter().all(|(at, _)| *at == start + 100_000),
            "{:?}",
            log.all()
        );
    });
}

#[test]
fn a_disconnect_is_heard_on_both_sides_and_counted() {
    play(9, |sim| async move {
        let hub = sim.broker("hub");
        hub.ready().await;
        let sensor = sim.at("sensor").connect("hub").await.unwrap();
        sim.network().set_default(config().with_latency(100 * MS));
        emit(&sensor, 0..4).await;
        sim.advance(50 * MS).await;
        sim.link("sensor", "hub").disconnect();
        assert!(matches!(sensor.closed().await, ClosedBy::Lost(_)));
        sim.advance(MS).await;
        assert_eq!(hub.stats().transport.clients, 0);
        let flow = sim.link("sensor", "hub").flow();
        assert!(flow.adds_up() && flow.count(Injected::Cut) == 4, "{flow:?}");
        assert!(sim.network().totals().adds_up());
    });
}

#[test]
fn lost_events_are_seen_as_gaps_and_counted() {
    play(10, |sim| async move {
        let (sensor, display, log) = lab(&sim).await;
        // What is lost before the first that comes was never this subscriber's.
        emit(&sensor, 0..1).await;
        sensor.flush().await.unwrap();
        sim.link("hub", "display").one_way().set(config().with_loss(0.2));
        emit(&sensor, 1..1000).await;
        sensor.flush().await.unwrap();
        sim.link("hub", "display").reset();
        // The last of a stream shows what is missing before it.
        emit(&sensor, 1000..1001).await;
        sim.advance(SECOND).await;
        let flow = sim.link("hub", "display").flow();
        let lost = flow.count(Injected::Lost);
        assert!(flow.adds_up() && (150..250).contains(&lost), "{flow:?}");
        assert_eq!((log.len() as u64, display.stats().missing), (1001 - lost, lost));
        assert!(log.numbers().is_sorted());
    });
}

#[test]
fn doubled_and_overtaken_events_are_seen_and_counted() {
    play(11, |sim| async move {
        let (sensor, display, log) = lab(&sim).await;
        sim.link("hub", "display")
            .one_way()
            .set(config().with_duplicate(0.1));
        emit(&sensor, 0..1000).await;
        sim.advance(SECOND).await;
        let twice = sim.link("hub", "display").flow().count(Injected::Duplicated);
        assert!((50..150).contains(&twice));
        assert_eq!(
            (log.len() as u64, display.stats().repeated),
            (1000 + twice, twice)
        );
        sim.link("hub", "display")
            .one_way()
            .set(config().with_reorder(0.1));
        for number in 1000..2000 {
            emit(&sensor, number..number + 1).await;
            sim.advance(MS).await;
        }
        sim.advance(SECOND).await;
        let stats = display.stats();
        assert!(stats.late > 50 && stats.missing == 0, "{stats:?}");
        assert!(sim.link("hub", "display").flow().adds_up());
    });
}

#[test]
fn damaged_events_reach_no_handler() {
    play(12, |sim| async move {
        let hub = sim.broker("hub");
        hub.ready().await;
        let sensor = sim.at("sensor").connect("hub").await.unwrap();
        let (display, log) = listener(&sim, "display", "n").await;
        let damage = config().with_corrupt(0.1).with_truncate(0.1);
        sim.link("sensor", "hub").one_way().set(damage.clone());
        sim.link("hub", "display").one_way().set(damage);
        emit(&sensor, 0..1000).await;
        sim.advance(SECOND).await;
        let (stats, seen) = (hub.stats(), display.stats());
        let refused = stats.rejected_by(Reject::Checksum);
        let refused_there: u64 = seen.rejected.iter().map(|(_, count)| count).sum();
        assert!(refused > 100 && refused_there > 100, "{stats:?} {seen:?}");
        assert_eq!(log.len() as u64, 1000 - refused - refused_there);
        assert!(log.numbers().is_sorted());
    });
}

#[test]
fn rules_decide_before_the_line_does() {
    let run = play(13, |sim| async move {
        let (sensor, _display, log) = lab(&sim).await;
        let hold = On::every(Verdict::Delay(500 * MS))
            .topic("n")
            .from("sensor")
            .nth(4);
        let rule = sim.network().add_rule(hold);
        sim.network()
            .add_rule(On::every(Verdict::Drop).topic("n").to("display").times(2));
        let start = sim.now().as_millis();
        emit(&sensor, 0..8).await;
        sim.advance(SECOND).await;
        // The first two that came to the display are lost, the fourth and the eighth come late.
        assert_eq!(log.numbers(), [2, 4, 5, 6, 3, 7]);
        assert!(
            log.all()[4..].iter().all(|(at, _)| *at == start + 500),
            "{:?}",
            log.all()
        );
        assert!(sim.network().remove_rule(rule) && !sim.network().remove_rule(rule));
        emit(&sensor, 8..12).await;
        sim.advance(MS).await;
        assert_eq!(log.len(), 10);
    });
    let held = |what: &What| matches!(what, What::Injected(Injected::Delayed, _));
    assert_eq!(run.trace.iter().filter(|record| held(&record.what)).count(), 2);
}

#[test]
fn a_rule_may_break_the_connection() {
    play(14, |sim| async move {
        let (sensor, display, log) = lab(&sim).await;
        sim.network().add_rule(
            On::every(Verdict::Disconnect)
                .topic("n")
                .to("display")
                .nth(3)
                .times(1),
        );
        emit(&sensor, 0..5).await;
        assert!(matches!(display.closed().await, ClosedBy::Lost(_)));
        assert!(log.len() <= 2);
        assert!(!sensor.is_closed());
        let flow = sim.link("hub", "display").flow();
        assert!(flow.adds_up(), "{flow:?}");
    });
}

#[test]
fn a_slow_reader_is_felt_by_its_broker_and_by_nobody_else() {
    play(15, |sim| async move {
        let limits = Limits::default()
            .with_queue_bytes(20_000)
            .with_slow_consumer(SlowConsumer::DropOldest);
        let hub = sim.broker_with("hub", move |builder| builder.limits(limits.clone()));
        hub.ready().await;
        sim.network().set_default(config().with_window(10_000));
        let sensor = sim.at("sensor").connect("hub").await.unwrap();
        let (slow, slowly) = listener(&sim, "slow", "n").await;
        let (_fast, quickly) = listener(&sim, "fast", "n").await;
        sim.slow_reader("slow", Some(2000));
        for number in 0..2000 {
            emit(&sensor, number..number + 1).await;
            sim.advance(5 * MS).await;
        }
        assert_eq!(quickly.numbers(), (0..2000).collect::<Vec<_>>());
        // Ten seconds at 2000 bytes a second; an event is 150 bytes or so.
        let read = slowly.len();
        assert!((80..250).contains(&read), "{read}");
        let dropped = hub.stats().transport.total_dropped();
        assert!(dropped > 1000, "{dropped}");
        sim.slow_reader("slow", None);
        sim.advance(SECOND).await;
        let stats = slow.stats();
        assert_eq!(slowly.len() as u64 + stats.missing, 2000, "{stats:?}");
        assert_eq!(stats.missing, dropped);
    });
}

#[test]
fn a_stalled_node_neither_reads_nor_writes() {
    play(16, |sim| async move {
        let (sensor, display, log) = lab(&sim).await;
        sim.stall("display", 10 * SECOND);
        let start = sim.now().as_millis();
        emit(&sensor, 0..3).await;
        display.emit("up", &1).await.unwrap();
        sim.advance(9 * SECOND).await;
        assert_eq!((log.len(), sim.link("display", "hub").flow().in_flight), (0, 0));
        let before = sim.link("display", "hub").flow().entered;
        sim.advance(2 * SECOND).await;
        assert!(log.all().iter().all(|(at, _)| *at == start + 10_000) && log.len() == 3);
        assert_eq!(sim.link("display", "hub").flow().entered, before + 1);
        // A broker, too: the client only waits.
        sim.stall("hub", 10 * SECOND);
        emit(&sensor, 3..4).await;
        sim.advance(9 * SECOND).await;
        assert_eq!(log.len(), 3);
        sim.advance(2 * SECOND).await;
        assert_eq!(log.len(), 4);
    });
}

#[test]
fn healing_ends_everything() {
    play(17, |sim| async move {
        let (sensor, _display, log) = lab(&sim).await;
        sim.link("sensor", "hub").set(config().with_loss(1.0));
        sim.network().add_rule(On::every(Verdict::Drop));
        sim.partition("display", "hub");
        sim.stall("display", Duration::from_secs(1_000_000));
        sim.slow_reader("display", Some(1));
        emit(&sensor, 0..1).await;
        sim.advance(SECOND).await;
        sim.heal_all();
        emit(&sensor, 1..2).await;
        sim.eventually(SECOND, "the display having what was sent after healing", || {
            log.len() == 1
        })
        .await;
        assert_eq!(log.numbers(), [1]);
    });
}

#[test]
fn promises_are_what_the_links_keep() {
    use distbus_transport::{Loss, Ordering, Transport};
    play(18, |sim| async move {
        let network = sim.network();
        assert!(network.guarantees().missing().is_empty());
        network.set_default(config().with_latency(MS).with_bandwidth(Some(1)));
        assert!(network.guarantees().missing().is_empty());
        sim.link("a", "b").set(config().with_reorder(0.1));
        assert_eq!(network.guarantees().ordering, Ordering::None);
        assert_eq!(network.guarantees().loss, Loss::OnlySlowConsumers);
        sim.link("a", "b").set(config().with_loss(0.1));
        assert_eq!(network.guarantees().ordering, Ordering::PerPublisher);
        assert_eq!(network.guarantees().loss, Loss::UnderLoad);
        sim.heal_all();
        assert!(network.guarantees().missing().is_empty());
        network.add_rule(On::every(Verdict::Pass));
        assert_eq!(network.guarantees().missing().len(), 3);
    });
}

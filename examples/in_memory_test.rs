//! A program of several nodes, tested in one process and in virtual time: half a day passes in an instant, and each run is the same.
//!
//! `cargo run --example in_memory_test` plays the scenario, `cargo test --example in_memory_test` is how you would test your own.
//!
//! Two things make it so: the nodes take a [`Client`], and do not care what is below it; and they ask `tokio::time` for the time.

use distbus::{Broker, Client, ClosedBy, Error, Memory, Subscription};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, interval};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Heater {
    On,
    Off,
}

/// A node: measures once a minute. The room warms by half a degree a minute while it is heated, and cools at half that rate.
async fn room(bus: Client, mut celsius: f64, minutes: u32) -> Result<(), Error> {
    let heater = Arc::new(Mutex::new(Heater::Off));
    let switch = Arc::clone(&heater);
    let set = move |to: Heater| *switch.lock().unwrap_or_else(PoisonError::into_inner) = to;
    bus.on_sync("room.heater", set).await?;
    let mut clock = interval(MINUTE);
    for _ in 0..minutes {
        clock.tick().await;
        let heated = *heater.lock().unwrap_or_else(PoisonError::into_inner) == Heater::On;
        celsius += if heated { 0.5 } else { -0.25 };
        bus.emit("room.temp", &celsius).await?;
    }
    Ok(())
}

/// Another: keeps the room between 19 and 21 degrees, and says something only when that needs a change.
async fn thermostat(bus: Client, mut temps: Subscription<f64>) -> Result<(), Error> {
    let mut heater = Heater::Off;
    while let Some(celsius) = temps.next().await {
        let wanted = match *celsius {
            cold if cold < 19.0 => Heater::On,
            warm if warm > 21.0 => Heater::Off,
            _ => heater,
        };
        if wanted != heater {
            heater = wanted;
            bus.emit("room.heater", &heater).await?;
        }
    }
    Ok(())
}

/// What is seen on the bus: minutes since the start, and what was done.
type Switches = Vec<(u64, Heater)>;

/// The whole program on a network in memory, for twelve hours. Returns the first switches, and how many there were.
async fn twelve_hours() -> Result<(Switches, usize), Error> {
    let network = Memory::new();
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("mem://house")
        .await?;
    let join = || {
        Client::builder()
            .transport(network.clone())
            .connect("mem://house")
    };
    let (sensor, control, observer) = (join().await?, join().await?, join().await?);

    let start = Instant::now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    observer
        .on_sync("room.heater", move |to: Heater| {
            let minute = start.elapsed().as_secs() / 60;
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((minute, to));
        })
        .await?;
    // Its subscription is there before anybody measures.
    let temps = control.subscribe("room.temp").await?;
    let controlling = tokio::spawn(thermostat(control.clone(), temps));
    room(sensor.clone(), 20.0, 12 * 60).await?;

    // The end of the program is part of the scenario: the broker goes, everybody notices, nobody hangs.
    sensor.flush().await?;
    broker.close().await;
    assert_eq!(control.closed().await, ClosedBy::Broker);
    // Its stream has ended, and with it the thermostat.
    assert!(matches!(controlling.await, Ok(Ok(()) | Err(Error::Closed))));
    observer.close().await;
    assert_eq!(observer.stats().missing, 0, "a gap in what was seen");
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((seen[..4].to_vec(), seen.len()))
}

/// By hand: from 20 degrees it falls below 19 at minute 4, and then takes 5 minutes up and 10 down.
fn expected() -> (Switches, usize) {
    let first = vec![
        (4, Heater::On),
        (9, Heater::Off),
        (19, Heater::On),
        (24, Heater::Off),
    ];
    (first, 2 * 48)
}

// One thread and a paused clock: whenever all nodes wait, time jumps to the next thing that is due.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Error> {
    let start = Instant::now();
    let (first, count) = twelve_hours().await?;
    println!("{:?} have passed in virtual time", start.elapsed());
    for (minute, heater) in &first {
        println!("minute {minute:2}: heater {heater:?}");
    }
    println!("... {count} switches in all");
    assert_eq!((first, count), expected());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_heater_goes_on_when_it_is_cold_and_off_when_it_is_warm() {
        assert_eq!(twelve_hours().await.unwrap(), expected());
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_day_is_the_same_each_time() {
        assert_eq!(twelve_hours().await.unwrap(), twelve_hours().await.unwrap());
    }
}

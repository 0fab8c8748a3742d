//! `distbus sim`: seeds of the swarm, and the line at the end.

mod support;

use support::Program;

/// The figures, which are all that stdout has.
async fn figures(args: &[&str]) -> Vec<(String, f64)> {
    figures_in(args, &[]).await
}

async fn figures_in(args: &[&str], environment: &[(&str, &str)]) -> Vec<(String, f64)> {
    let args = [&["sim"], args].concat();
    let program = Program::start_with(&args, environment.iter().copied());
    let ended = program.end().await;
    ended.succeeded();
    assert_eq!(ended.err, "", "{args:?}");
    let line = ended
        .out
        .strip_suffix('\n')
        .unwrap_or_else(|| panic!("{ended:?}"));
    assert!(!line.contains('\n'), "{line}");
    let figure = |text: &str| {
        let text = text.strip_suffix(" s").unwrap_or(text);
        let (name, number) = text.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        (
            name.to_owned(),
            number.parse().unwrap_or_else(|_| panic!("{line}")),
        )
    };
    line.split(", ").map(figure).collect()
}

#[tokio::test]
async fn seeds_end_with_one_line_of_figures() {
    let all = figures(&["--seeds", "3"]).await;
    let names: Vec<_> = all.iter().map(|(name, _)| &**name).collect();
    assert_eq!(
        names,
        [
            "seeds",
            "simulated",
            "events",
            "faults injected",
            "real",
            "events/s"
        ]
    );
    assert_eq!(all[0].1, 3.0);
    assert!(all.iter().all(|(_, number)| *number > 0.0), "{all:?}");
}

#[tokio::test]
async fn a_seed_alone_does_the_same_each_time() {
    let (first, second) = (figures(&["--seed", "5"]).await, figures(&["--seed", "5"]).await);
    assert_eq!(first[..4], second[..4]);
    assert_eq!(first[0].1, 1.0);
    // What the environment says to tests is not for this program.
    let other = [("DISTBUS_SIM_SEED", "4"), ("DISTBUS_SIM_FAULTS", "0")];
    assert_eq!(figures_in(&["--seed", "5"], &other).await[..4], first[..4]);
    let spared = figures(&["--seed", "5", "--faults", ""]).await;
    assert_eq!(spared[3].1, 0.0);
}

#[tokio::test]
async fn minutes_are_real_ones() {
    let all = figures(&["--minutes", "0.02"]).await;
    assert!(all[0].1 >= 1.0 && all[4].1 >= 1.2, "{all:?}");
}

#[tokio::test]
async fn it_can_be_ended() {
    let program = Program::start(&["sim", "--minutes", "10"]);
    // It answers to the signal from its first moments; before that the signal ends it, too.
    program.signal("TERM").await;
    let ended = program.end().await;
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, "", "{ended:?}");
}

use crate::broker_node::BrokerNode;
use crate::condition::Life;
use crate::sim::{Entry, State};
use crate::trace::{Place, What};
use crate::{LinkControl, Node, Sim, Skew};
use distbus::{BrokerBuilder, Codec, DefaultCodec, Outcome};
use futures_util::future::BoxFuture;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Nodes: starting them, and taking them down.
impl Sim {
    /// Starts a broker with the defaults, as a node of its own. Clients connect to `mem://<name>`.
    ///
    /// # Panics
    /// When there is a node of that name.
    pub fn broker(&self, name: &str) -> BrokerNode {
        self.broker_with(name, |builder| builder)
    }

    /// As [`broker`](Self::broker), built as you like, again for each run.
    ///
    /// # Panics
    /// When there is a node of that name.
    pub fn broker_with<C: Codec>(
        &self,
        name: &str,
        build: impl Fn(BrokerBuilder<DefaultCodec>) -> BrokerBuilder<C> + Send + Sync + 'static,
    ) -> BrokerNode<C> {
        let broker = BrokerNode::new(name);
        let serving = broker.clone();
        self.state().brokers.insert(name.into());
        self.node(name, move |node| {
            let builder = build(node.broker());
            serving.clone().serve(node, builder)
        });
        broker
    }

    /// Starts a node: the factory makes its program, now and after each crash. An error that the program returns ends the node and is in the trace;
    /// a panic fails the scenario.
    ///
    /// # Panics
    /// When there is a node of that name.
    pub fn node<F, Fut>(&self, name: &str, factory: F)
    where
        F: Fn(Node) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let program = move |node: Node| -> BoxFuture<'static, _> {
            let program = factory(node);
            Box::pin(async move { program.await.into_result() })
        };
        let entry = Entry {
            life: self.life(name, 0),
            program: Some(Arc::new(program)),
            running: false,
        };
        let old = self.state().nodes.insert(name.into(), entry);
        assert!(
            old.is_none(),
            "there is a node {name} already; nodes have names of their own"
        );
        self.start(name);
    }

    /// A node that the scenario itself plays: an observer, or a user. A new run of it after a crash.
    ///
    /// For a node that has a factory, its present run.
    pub fn at(&self, name: &str) -> Node {
        let life = {
            let mut state = self.state();
            let fresh = |run| self.life(name, run);
            let entry = state.nodes.entry(name.into()).or_insert_with(|| Entry {
                life: fresh(1),
                program: None,
                running: true,
            });
            if entry.program.is_none() && entry.life.is_dead() {
                entry.life = fresh(entry.life.run + 1);
                entry.running = true;
            }
            entry.life.clone()
        };
        Node::new(&self.inner, life)
    }

    /// The node of this name ends without a word: its connections are gone with all that was on its way, and its program is dropped before time goes on.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn crash(&self, name: &str) {
        let life = {
            let mut state = self.state();
            let entry = entry(&mut state, name);
            entry.running = false;
            entry.life.clone()
        };
        if !life.is_dead() {
            self.network().net.kill(&life);
        }
    }

    /// Runs the factory of this node again; if it runs, it crashes first.
    ///
    /// # Panics
    /// When there is no such node, or the scenario plays it.
    pub fn restart(&self, name: &str) {
        self.crash(name);
        self.start(name);
    }

    fn start(&self, name: &str) {
        let (life, program) = {
            let mut state = self.state();
            let entry = entry(&mut state, name);
            let program = entry.program.clone();
            let program = program
                .unwrap_or_else(|| panic!("the scenario plays {name} itself; call at({name:?}) again"));
            entry.life = self.life(name, entry.life.run + 1);
            entry.running = true;
            (entry.life.clone(), program)
        };
        self.record(&Place::Node(life.name().clone()), What::Started(life.run));
        let node = Node::new(&self.inner, life.clone());
        let playing = node.clone().play(program(node), true);
        let sim = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            playing.await;
            if let Some(inner) = sim.upgrade() {
                Self { inner }.ended(&life);
            }
        });
    }

    fn life(&self, name: &str, run: u64) -> Arc<Life> {
        Life::new(self.seed(), self.network().net.node(name), run)
    }

    fn ended(&self, life: &Life) {
        let mut state = self.state();
        if let Some(entry) = state.nodes.get_mut(life.name())
            && entry.life.run == life.run
        {
            entry.running = false;
        }
    }

    /// Whether the node's program runs: it has neither ended nor crashed.
    pub fn is_running(&self, name: &str) -> bool {
        self.state().nodes.get(name).is_some_and(|entry| entry.running)
    }

    /// The names of all nodes that have a factory, in their order.
    pub fn nodes(&self) -> Vec<String> {
        let state = self.state();
        let with_program = state.nodes.iter().filter(|(_, entry)| entry.program.is_some());
        with_program.map(|(name, _)| name.to_string()).collect()
    }

    /// Of these, the brokers that [`broker`](Self::broker) started.
    pub fn brokers(&self) -> Vec<String> {
        self.state().brokers.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn next_fault_draw(&self) -> u64 {
        let mut state = self.state();
        state.fault_draws += 1;
        state.fault_draws
    }
}

/// What goes wrong, by hand.
impl Sim {
    /// The link between two nodes.
    pub fn link(&self, a: &str, b: &str) -> LinkControl {
        self.network().link(a, b)
    }

    /// Shuts the link between two nodes: see [`LinkControl::partition`].
    pub fn partition(&self, a: &str, b: &str) {
        self.link(a, b).partition();
    }

    /// Opens the link between two nodes: see [`LinkControl::heal`].
    pub fn heal(&self, a: &str, b: &str) {
        self.link(a, b).heal();
    }

    /// Shuts the links between this node and all others that there are now.
    pub fn isolate(&self, name: &str) {
        for node in self.network().net.nodes() {
            if *node.name != *name && *node.name != *"local" {
                self.partition(name, &node.name);
            }
        }
    }

    /// A node neither computes, sends nor receives for so long; what is sent to it waits. Handlers that run already run on.
    pub fn stall(&self, name: &str, time: Duration) {
        self.network().stall(name, time);
    }

    /// A node reads no more than so many bytes a second; `None` ends that.
    pub fn slow_reader(&self, name: &str, bytes_per_second: Option<u64>) {
        self.network().slow_reader(name, bytes_per_second);
    }

    /// A node's wall clock is off by this, from now on; [`Duration::ZERO`] sets it right.
    pub fn skew(&self, name: &str, skew: impl Into<Skew>) {
        let skew = skew.into();
        self.network().net.node(name).set_skew_micros(skew.micros());
        let what = format!("its clock is off: {skew:?}");
        self.network().net.fault(&Place::Node(name.into()), what);
    }

    /// Ends everything that is wrong: faults that were injected, with what they keep down, and what [`Faulty::heal_all`](crate::Faulty::heal_all)
    /// ends. Nodes that the scenario crashed stay down.
    pub fn heal_all(&self) {
        std::mem::take(&mut self.state().until_healed).cancel();
        self.network().heal_all();
    }
}

fn entry<'a>(state: &'a mut State, name: &str) -> &'a mut Entry {
    match state.nodes.get_mut(name) {
        Some(entry) => entry,
        None => panic!("there is no node {name}"),
    }
}

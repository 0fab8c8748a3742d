use super::error::Error;
use super::event::Event;
use super::handler::Outcome;
use super::local::{EntryPoint, Handler};
use super::topic::{Pattern, TopicError};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;

/// Handlers declared apart from any bus, and attached later, as often as you like, each time with a `self` of their own: an `Arc<S>` that
/// goes before the other argument.
///
/// Handlers are declared in a namespace, and attached a namespace at a time: what follows [`in_namespace`](Self::in_namespace) belongs to
/// that one, what comes before to the default one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{LocalBus, Registry, TopicError};
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::sync::Arc;
///
/// #[derive(Default)]
/// struct Lab {
///     rpm: AtomicU32,
/// }
///
/// impl Lab {
///     async fn start(self: Arc<Self>, rpm: Arc<u32>) {
///         self.rpm.store(*rpm, Ordering::Relaxed);
///     }
///     fn stop(&self, _: &()) {
///         self.rpm.store(0, Ordering::Relaxed);
///     }
///     fn registry() -> Result<Registry<Self>, TopicError> {
///         Registry::new()
///             .on("pump.start", Self::start)?
///             .on_sync("pump.stop", Self::stop)
///     }
/// }
///
/// let lab = Arc::new(Lab::default());
/// let bus = LocalBus::new();
/// bus.entry("lab").use_registry(&Lab::registry()?, Arc::clone(&lab))?;
/// bus.emit("pump.start", 500_u32).await?;
/// assert_eq!(lab.rpm.load(Ordering::Relaxed), 500);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "registry")]
pub struct Registry<S = ()> {
    namespace: Arc<str>,
    declared: Vec<Declared<S>>,
}

struct Declared<S> {
    namespace: Arc<str>,
    pattern: Pattern,
    bind: Bind<S>,
}

/// Makes the handler of one `self`.
type Bind<S> = Box<dyn Fn(Arc<S>) -> Handler + Send + Sync>;

impl<S: Send + Sync + 'static> Registry<S> {
    /// The namespace of what is declared in none.
    pub const DEFAULT_NAMESPACE: &'static str = "default";

    /// An empty one.
    pub fn new() -> Self {
        Self {
            namespace: Self::DEFAULT_NAMESPACE.into(),
            declared: Vec::new(),
        }
    }

    /// What follows is declared in this namespace.
    ///
    /// ```
    /// use distbus::Registry;
    /// use std::sync::Arc;
    ///
    /// let registry = Registry::<()>::new()
    ///     .in_namespace("pumps")
    ///     .on("pump.start", |_, rpm: Arc<u32>| async move { println!("{rpm}") })?
    ///     .in_namespace("lamps")
    ///     .on_sync("lamp.on", |_: &(), level: &f32| println!("{level}"))?;
    /// assert_eq!(registry.namespaces().collect::<Vec<_>>(), ["pumps", "lamps"]);
    /// # Ok::<(), distbus::TopicError>(())
    /// ```
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The namespaces that have handlers, in the order of their first.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        let all = self.declared.iter().enumerate();
        all.filter(|(i, one)| {
            self.declared[..*i]
                .iter()
                .all(|other| other.namespace != one.namespace)
        })
        .map(|(_, one)| &*one.namespace)
    }

    /// Declares an asynchronous handler of the data.
    ///
    /// # Errors
    /// For what is no pattern.
    pub fn on<T, F, Fut>(self, pattern: &str, handler: F) -> Result<Self, TopicError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(Arc<S>, Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.declare(pattern, move |this| shared(&handler, this))
    }

    /// Declares a synchronous handler of the data. The fastest kind; it must not block.
    ///
    /// # Errors
    /// For what is no pattern.
    pub fn on_sync<T, F, O>(self, pattern: &str, handler: F) -> Result<Self, TopicError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(&S, &T) -> O + Send + Sync + 'static,
        O: Outcome,
    {
        let handler = Arc::new(handler);
        self.declare(pattern, move |this| {
            let handler = Arc::clone(&handler);
            Handler::by_ref(move |value: &T| handler(&this, value))
        })
    }

    /// Declares an asynchronous handler of the event.
    ///
    /// # Errors
    /// For what is no pattern.
    pub fn on_event<F, Fut>(self, pattern: &str, handler: F) -> Result<Self, TopicError>
    where
        F: Fn(Arc<S>, Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.declare(pattern, move |this| of_event(&handler, this))
    }

    /// As [`on`](Self::on); the next event does not wait for it.
    ///
    /// # Errors
    /// For what is no pattern.
    #[doc(alias = "create_task")]
    pub fn on_detached<T, F, Fut>(self, pattern: &str, handler: F) -> Result<Self, TopicError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(Arc<S>, Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.declare(pattern, move |this| shared(&handler, this).detached())
    }

    /// As [`on_event`](Self::on_event); the next event does not wait for it.
    ///
    /// # Errors
    /// For what is no pattern.
    #[doc(alias = "create_task")]
    pub fn on_event_detached<F, Fut>(self, pattern: &str, handler: F) -> Result<Self, TopicError>
    where
        F: Fn(Arc<S>, Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.declare(pattern, move |this| of_event(&handler, this).detached())
    }

    fn declare(
        mut self,
        pattern: &str,
        bind: impl Fn(Arc<S>) -> Handler + Send + Sync + 'static,
    ) -> Result<Self, TopicError> {
        self.declared.push(Declared {
            namespace: Arc::clone(&self.namespace),
            pattern: pattern.parse()?,
            bind: Box::new(bind),
        });
        Ok(self)
    }

    /// The handlers of a namespace, bound to `this`, in the order of their declaration.
    ///
    /// # Errors
    /// [`Error::NotRegistered`] for a namespace without any.
    pub(crate) fn bound(&self, namespace: &str, this: &Arc<S>) -> Result<Vec<(Pattern, Handler)>, Error> {
        let declared = self.declared.iter().filter(|one| *one.namespace == *namespace);
        let bound: Vec<_> = declared
            .map(|one| (one.pattern.clone(), (one.bind)(Arc::clone(this))))
            .collect();
        if bound.is_empty() {
            return Err(Error::NotRegistered(namespace.to_owned()));
        }
        Ok(bound)
    }
}

fn shared<S, T, F, Fut>(handler: &Arc<F>, this: Arc<S>) -> Handler
where
    S: Send + Sync + 'static,
    T: DeserializeOwned + Send + Sync + 'static,
    F: Fn(Arc<S>, Arc<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    let handler = Arc::clone(handler);
    Handler::shared(move |value| handler(Arc::clone(&this), value))
}

fn of_event<S, F, Fut>(handler: &Arc<F>, this: Arc<S>) -> Handler
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    let handler = Arc::clone(handler);
    Handler::event(move |event| handler(Arc::clone(&this), event))
}

impl<S: Send + Sync + 'static> Default for Registry<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> std::fmt::Debug for Registry<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let declared = self.declared.iter();
        f.debug_list()
            .entries(declared.map(|one| format!("{}: {}", one.namespace, one.pattern)))
            .finish()
    }
}

impl EntryPoint {
    /// Attaches the handlers of a registry's default namespace, with `this` as their first argument.
    ///
    /// # Errors
    /// [`Error::NotRegistered`] when it has none; [`Error::Closed`].
    pub fn use_registry<S>(&self, registry: &Registry<S>, this: Arc<S>) -> Result<(), Error>
    where
        S: Send + Sync + 'static,
    {
        self.use_namespace(registry, Registry::<S>::DEFAULT_NAMESPACE, this)
    }

    /// As [`use_registry`](Self::use_registry), for another namespace.
    ///
    /// # Errors
    /// As [`use_registry`](Self::use_registry).
    pub fn use_namespace<S>(&self, registry: &Registry<S>, namespace: &str, this: Arc<S>) -> Result<(), Error>
    where
        S: Send + Sync + 'static,
    {
        let bound = registry.bound(namespace, &this)?;
        bound
            .into_iter()
            .try_for_each(|(pattern, handler)| self.add(pattern, handler))
    }
}

use crate::Latency;
use std::time::Duration;

/// What one direction of a link is like.
///
/// The default is a perfect line. As long as all probabilities are 0 it stays *lossless and ordered*, as TCP is: it delays, slows down and
/// breaks, and what arrives is right, complete and in order up to there. The probabilities are for transports that are not like that;
/// [`guarantees`](distbus_transport::Transport::guarantees) then say what is no longer promised.
///
/// ```
/// use distbus_sim::{Latency, LinkConfig};
/// use std::time::Duration;
///
/// let mobile = LinkConfig::default()
///     .with_latency(Latency::log_normal(Duration::from_millis(60), 0.7))
///     .with_bandwidth(Some(250_000));
/// assert!(mobile.is_lossless());
/// assert!(!mobile.with_loss(0.01).is_lossless());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// How long everything is on its way. Default: no time.
    pub latency: Latency,
    /// Bytes a second that the line takes; `None`, the default, is any number.
    pub bandwidth: Option<u64>,
    /// Bytes on their way before the sender waits, which is how a slow receiver is felt at the other end. One frame always passes an empty
    /// line. Default 256 KiB.
    pub window: usize,
    /// How long a partition may last before connections break. `None`: they never do. Default 60 s.
    pub break_after: Option<Duration>,
    /// The probability that a frame is lost.
    pub loss: f64,
    /// The probability that a frame comes twice.
    pub duplicate: f64,
    /// The probability that a frame is overtaken by those after it.
    pub reorder: f64,
    /// By how much such a frame is late, at most. Default 100 ms.
    pub reorder_by: Duration,
    /// The probability that bits of a frame's body or checksum change. Its topic stays: the checksum does not cover it.
    pub corrupt: f64,
    /// The probability that the end of a frame's body is missing.
    pub truncate: f64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            latency: Latency::NONE,
            bandwidth: None,
            window: 256 << 10,
            break_after: Some(Duration::from_secs(60)),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(100),
            corrupt: 0.0,
            truncate: 0.0,
        }
    }
}

macro_rules! setters {
    ($($with:ident $field:ident: $type:ty,)*) => {
        impl LinkConfig {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $with(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*}
    };
}

setters! {
    with_bandwidth bandwidth: Option<u64>,
    with_window window: usize,
    with_break_after break_after: Option<Duration>,
    with_loss loss: f64,
    with_duplicate duplicate: f64,
    with_reorder reorder: f64,
    with_reorder_by reorder_by: Duration,
    with_corrupt corrupt: f64,
    with_truncate truncate: f64,
}

impl LinkConfig {
    /// Sets [`latency`](Self::latency).
    #[must_use]
    pub fn with_latency(mut self, latency: impl Into<Latency>) -> Self {
        self.latency = latency.into();
        self
    }

    /// Whether nothing is lost, doubled, overtaken or changed while the connection lives.
    pub fn is_lossless(&self) -> bool {
        let probabilities = [
            self.loss,
            self.duplicate,
            self.reorder,
            self.corrupt,
            self.truncate,
        ];
        probabilities.iter().all(|p| p.is_nan() || *p <= 0.0)
    }
}

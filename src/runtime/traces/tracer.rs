//! What makes the spans of this process, once somebody wants them.

use std::sync::OnceLock;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use super::queue::{EndedSpans, queue};

/// The longest list of links of one span: so many sampled alerts of a batch are named.
pub const LINKS_MAX: u32 = 128;

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// How spans are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TracerSettings {
    /// The share of traces that begin here and are recorded.
    pub sample_ratio: f64,
    /// Whether a producer's own decision holds.
    pub follow_producers: bool,
    /// Ended spans that may wait to be exported.
    pub queue_max: usize,
    /// Whether spans say whose they are.
    pub user_ids: bool,
    /// What `messaging.system` says.
    pub messaging_system: &'static str,
}

/// Makes spans.
#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) sdk: SdkTracer,
    sample_ratio: f64,
    follow_producers: bool,
    pub(super) user_ids: bool,
    pub(super) messaging_system: &'static str,
}

impl Tracer {
    pub(super) fn new(settings: TracerSettings) -> (Self, EndedSpans) {
        let (processor, spans) = queue(settings.queue_max);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            // What is not sampled never comes here.
            .with_sampler(Sampler::AlwaysOn)
            .with_max_links_per_span(LINKS_MAX)
            .build();
        // The tracer keeps its provider.
        let sdk = provider.tracer("watchbell");
        let TracerSettings { sample_ratio, follow_producers, user_ids, messaging_system, .. } = settings;
        (Self { sdk, sample_ratio, follow_producers, user_ids, messaging_system }, spans)
    }

    /// Whether a trace is recorded of which this process is the first of ours to know. `chance` is from 0 to below 1.
    pub(super) fn samples(&self, is_sampled_by_producer: Option<bool>, chance: impl FnOnce() -> f64) -> bool {
        match is_sampled_by_producer.filter(|_| self.follow_producers) {
            Some(is_sampled) => is_sampled,
            None => chance() < self.sample_ratio,
        }
    }
}

/// Makes spans from now on. Call it once, before the workers begin. `None`: somebody did before.
pub fn install(settings: TracerSettings) -> Option<EndedSpans> {
    let (tracer, spans) = Tracer::new(settings);
    TRACER.set(tracer).ok().map(|()| spans)
}

/// The process's tracer, if spans are wanted: one load and one branch.
pub(super) fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

//! What readiness sees of the broker, the store and the live frames of a process.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use watchbell::{
    broker::{LiveControl, SharedBroker},
    runtime::health::{Check, Part, Seen},
    store::Store,
};

/// What readiness sees of the broker.
pub(crate) fn broker_check(broker: SharedBroker) -> Check {
    let asked = broker.clone();
    let look = move || {
        let seen = broker.obstacle().map_or(Seen::Ok, Seen::Failing);
        Box::pin(async { vec![(Part::Broker, seen)] }) as BoxFuture<'static, _>
    };
    let failed_calls = Arc::new(move || asked.failed_calls());
    Check { parts: &[Part::Broker], look: Arc::new(look), failed_calls }
}

/// What readiness sees of the store and its schema.
pub(crate) fn store_check(store: Store) -> Check {
    let asked = store.clone();
    let look = move || {
        let store = store.clone();
        Box::pin(async move {
            let look = store.look().await;
            vec![(Part::Store, look.store), (Part::Schema, look.schema)]
        }) as BoxFuture<'static, _>
    };
    let failed_calls = Arc::new(move || asked.failed_calls());
    Check { parts: &[Part::Store, Part::Schema], look: Arc::new(look), failed_calls }
}

/// What readiness sees of this pod's live frames.
pub(crate) fn live_check(live: Arc<dyn LiveControl>) -> Check {
    let look = move || {
        let seen = live.obstacle().map_or(Seen::Ok, Seen::Failing);
        Box::pin(async { vec![(Part::Live, seen)] }) as BoxFuture<'static, _>
    };
    // What is missed is healed from the store, and no call fails.
    Check { parts: &[Part::Live], look: Arc::new(look), failed_calls: Arc::new(|| 0) }
}

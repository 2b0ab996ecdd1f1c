//! How much of an alert a push carries: the section `[push]`, and what it leaves of an alert.
//!
//! What holds here:
//! - A tenant's rule goes before everybody's, and the rule of a severity before the one of all.
//! - What is left out is left out for every push service, before a payload is written. Ids stay, so that the app can fetch the alert.
//! - The fields of `data` that a producer encrypted for the app pass as they are, or not at all.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use watchbell::domain::{Severity, Tenant};

use crate::channel::message::AlertContent;

/// How much of an alert a push carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushDetail {
    /// Everything that fits.
    #[default]
    Full,
    /// The title, the address and the buttons, without the text and the picture.
    Title,
    /// A sentence that is the same for every alert, and ids.
    None,
}

/// `[push]`: how much of an alert a push carries, for all three services.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushSection {
    /// How much of an alert a push carries: `full`; `title`, without the text and the picture; or `none`, a sentence that is the same
    /// for every alert, and ids with which the app fetches it.
    pub content: PushDetail,
    /// The same for alerts of one severity, before `content`.
    pub content_by_severity: BTreeMap<String, PushDetail>,
    /// Fields of an alert's `data` that pushes carry as they are, whatever `content` says: what the producer encrypted for the app. All of
    /// them together have 2,048 bytes, or they are left out.
    pub data: Vec<String>,
    /// Tenants with rules of their own, by name.
    pub tenants: BTreeMap<String, PushTenantSection>,
}

/// `[push.tenants.NAME]`: what is different for one tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushTenantSection {
    /// How much of an alert a push to its users carries.
    pub content: Option<PushDetail>,
    /// The same for its alerts of one severity, before everything else.
    pub content_by_severity: BTreeMap<String, PushDetail>,
}

impl PushSection {
    pub(in crate::channel) fn check(&self) -> anyhow::Result<()> {
        check_severities(&self.content_by_severity)?;
        for (name, own) in &self.tenants {
            Tenant::parse(name).with_context(|| format!("tenants.{name}"))?;
            check_severities(&own.content_by_severity).with_context(|| format!("tenants.{name}"))?;
        }
        Ok(())
    }

    /// How much of an alert of this tenant and severity a push carries.
    fn detail(&self, tenant: &str, severity: Severity) -> PushDetail {
        let severity = severity.as_str();
        let own = self.tenants.get(tenant);
        own.and_then(|own| own.content_by_severity.get(severity).copied().or(own.content))
            .or_else(|| self.content_by_severity.get(severity).copied())
            .unwrap_or(self.content)
    }

    /// What a push shows of the alert.
    pub(super) fn applied(&self, alert: AlertContent, locale: Option<&str>) -> AlertContent {
        let data = alert.data.into_iter().filter(|(name, _)| self.data.contains(name)).collect();
        let alert = AlertContent { data, ..alert };
        match self.detail(&alert.tenant, alert.severity) {
            PushDetail::Full => alert,
            PushDetail::Title => AlertContent { body: None, image: None, ..alert },
            PushDetail::None => AlertContent {
                title: nothing_said(locale).to_owned(),
                body: None,
                image: None,
                url: None,
                actions: Vec::new(),
                answers_at: None,
                category: None,
                collapse_key: silent_key(&alert),
                ..alert
            },
        }
    }
}

fn check_severities(by_severity: &BTreeMap<String, PushDetail>) -> anyhow::Result<()> {
    for severity in by_severity.keys() {
        severity.parse::<Severity>().with_context(|| format!("content_by_severity.{severity}"))?;
    }
    Ok(())
}

/// By what a later push replaces this one. A producer's own key may be a text that says something.
fn silent_key(alert: &AlertContent) -> String {
    match alert.collapse_key == alert.alert {
        true => alert.collapse_key.clone(),
        false => Uuid::new_v5(&Uuid::NAMESPACE_OID, alert.collapse_key.as_bytes()).to_string(),
    }
}

/// What stands in place of a title, in the reader's language where we have it.
fn nothing_said(locale: Option<&str>) -> &'static str {
    let language = locale.unwrap_or_default().split(['-', '_']).next().unwrap_or_default();
    match language.to_ascii_lowercase().as_str() {
        "ar" => "تنبيه جديد",
        "de" => "Neue Meldung",
        "es" => "Nueva alerta",
        "fr" => "Nouvelle alerte",
        "ja" => "新しいアラート",
        _ => "New alert",
    }
}

#[cfg(test)]
#[path = "detail_tests.rs"]
mod tests;

//! Where a person answers or acknowledges an alert from a message without a login: the signed addresses of its buttons.

use watchbell::{
    domain::{AlertId, Timestamp, UserKey},
    runtime::Config,
    wire::answer_link::{AnswerLink, AnswerLinks, AnsweredBy},
};

use super::{
    link,
    message::{AlertContent, Button},
};

/// Signs the addresses. There are none without the secret of links and a public address.
pub(super) struct AnswerAddresses {
    links: AnswerLinks,
    base: String,
}

impl AnswerAddresses {
    pub(super) fn from_config(shared: &Config) -> Option<Self> {
        let base = shared.http.public_url.as_deref().and_then(link::web_url)?;
        let links = AnswerLinks::new(shared.auth.unsubscribe_secret.as_ref()?);
        Some(Self { links, base: base.into() })
    }

    /// Where this person acknowledges this alert.
    pub(super) fn to_acknowledge(&self, alert: &str, user: &UserKey, now: Timestamp) -> Option<String> {
        let (alert, by) = (AlertId::parse(alert).ok()?, AnsweredBy::Page);
        let written = AnswerLink { user: user.clone(), alert, written_at: now, by };
        Some(self.links.address(&self.base, &written, None))
    }

    /// The alert with an address for each button that answers, which leads a person to a page, and with one for programs, by which
    /// they acknowledge as well. A summary
    /// of several alerts has no buttons.
    pub(super) fn written_into(&self, alert: AlertContent, user: &UserKey, now: Timestamp) -> AlertContent {
        let has_answers = alert.actions.iter().any(|button| button.answer.is_some());
        let Ok(id) = AlertId::parse(&alert.alert) else { return alert };
        if !has_answers && !alert.is_to_acknowledge {
            return alert;
        }
        let written = |by| AnswerLink { user: user.clone(), alert: id.clone(), written_at: now, by };
        let of_page = written(AnsweredBy::Page);
        let buttons = alert.actions.into_iter().map(|button| match button.answer {
            Some(_) => {
                Button { link: Some(self.links.address(&self.base, &of_page, Some(&button.id))), ..button }
            }
            None => button,
        });
        let answers_at = self.links.address(&self.base, &written(AnsweredBy::Program), None);
        AlertContent { actions: buttons.collect(), answers_at: Some(answers_at), ..alert }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::{BodyFormat, Secret, Severity, Status, Tenant, UserId};

    use super::*;

    fn about(alert: &str, actions: Vec<Button>) -> AlertContent {
        AlertContent {
            alert: alert.into(),
            user: "ana".into(),
            tenant: "acme".into(),
            title: "Grow?".into(),
            body: None,
            body_format: BodyFormat::Text,
            url: None,
            image: None,
            actions,
            answers_at: None,
            is_mandatory: false,
            is_to_acknowledge: false,
            severity: Severity::Info,
            status: Status::Firing,
            data: serde_json::Map::new(),
            category: None,
            collapse_key: "a".into(),
            group_key: None,
            expires_at: Timestamp::UNIX_EPOCH,
            occurred_at: Timestamp::UNIX_EPOCH,
            unread: 1,
        }
    }

    #[test]
    fn a_button_that_answers_leads_to_a_link_of_its_person_and_alert() {
        let button = |id: &str, link: Option<&str>, answer: Option<&str>| Button {
            id: id.into(),
            title: "t".into(),
            link: link.map(str::to_owned),
            answer: answer.map(str::to_owned),
        };
        let (approve, look) =
            (button("approve", None, Some("yes")), button("look", Some("https://a.example"), None));
        let mut shared = Config::default();
        shared.http.public_url = Some("https://alerts.example".into());
        assert!(AnswerAddresses::from_config(&shared).is_none(), "there is no secret");
        shared.auth.unsubscribe_secret = Some(Secret::from("a secret of thirty-two bytes and more"));
        let addresses = AnswerAddresses::from_config(&shared).unwrap();
        let user = UserKey::new(Tenant::parse("acme").unwrap(), UserId::parse("ana").unwrap());

        let written = addresses.written_into(
            about("disk-7", vec![approve, look.clone()]),
            &user,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(written.actions[1], look, "it leads where it led");
        let links = AnswerLinks::new(shared.auth.unsubscribe_secret.as_ref().unwrap());
        let pressed = written.actions[0].link.as_deref().unwrap().strip_suffix("?action=approve").unwrap();
        for (address, by) in
            [(pressed, AnsweredBy::Page), (written.answers_at.as_deref().unwrap(), AnsweredBy::Program)]
        {
            let token = address.strip_prefix("https://alerts.example/v1/answers/").unwrap();
            let read = links.read(token, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!((read.user, read.alert.as_str(), read.by), (user.clone(), "disk-7", by));
        }

        let without = addresses.written_into(about("disk-7", vec![look]), &user, Timestamp::UNIX_EPOCH);
        assert_eq!(without.answers_at, None, "nothing to answer");
        let acknowledged = addresses.to_acknowledge("disk-7", &user, Timestamp::UNIX_EPOCH);
        assert_eq!(acknowledged.as_deref(), Some(pressed), "the link without an action");
        assert_eq!(addresses.to_acknowledge("", &user, Timestamp::UNIX_EPOCH), None);
    }
}

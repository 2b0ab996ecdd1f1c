//! What tests ask a whole fleet over HTTP: as a producer, as a user, and of the simulator.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fleet::Fleet;

impl Fleet {
    /// Publishes over HTTP, with whatever answer.
    ///
    /// # Errors
    /// No answer.
    pub async fn publish(&self, body: &Value) -> anyhow::Result<(u16, Value)> {
        self.producer(reqwest::Method::POST, "/v1/alerts", Some(body)).await
    }

    /// Publishes over HTTP and insists on 202; gives the id.
    ///
    /// # Errors
    /// Another answer.
    pub async fn send(&self, alert: &Value) -> anyhow::Result<String> {
        let (status, answer) = self.publish(alert).await?;
        ensure!(status == 202, "answered {status}: {answer}");
        Ok(answer["id"].as_str().unwrap_or_default().to_owned())
    }

    /// A request with the producer's key.
    ///
    /// # Errors
    /// No answer.
    pub async fn producer(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let request =
            self.http.request(method, format!("{}{path}", self.url("ingest")?)).bearer_auth(&self.key);
        answer(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// A request with a user's token.
    ///
    /// # Errors
    /// No answer.
    pub async fn user(
        &self,
        user: &str,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url("socket-1")?))
            .bearer_auth(self.token(user)?);
        answer(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// A user's whole inbox, newest change first.
    ///
    /// # Errors
    /// No answer, or another than 200.
    pub async fn inbox(&self, user: &str) -> anyhow::Result<Vec<Value>> {
        let (mut rows, mut before) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/inbox?limit=200{before}");
            let (status, page) = self.user(user, reqwest::Method::GET, &path, None).await?;
            ensure!(status == 200, "answered {status}: {page}");
            rows.extend(page["alerts"].as_array().cloned().unwrap_or_default());
            match page["next_before"].as_u64() {
                Some(seq) => before = format!("&before={seq}"),
                None => return Ok(rows),
            }
        }
    }

    /// What happened to an alert for one user, as producers are told; `null` for somebody who did not get it.
    ///
    /// # Errors
    /// No answer, or another than 200.
    pub async fn timeline(&self, alert: &str, user: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/alerts/{alert}/timeline?user={user}");
        let (status, mut timeline) = self.producer(reqwest::Method::GET, &path, None).await?;
        ensure!(status == 200, "answered {status}: {timeline}");
        Ok(timeline["recipients"].get_mut(0).map(Value::take).unwrap_or_default())
    }

    /// Makes a user known, with a mailbox and an iPhone.
    ///
    /// # Errors
    /// One of the calls was refused.
    pub async fn furnish(&self, user: &str) -> anyhow::Result<()> {
        let contact = json!({"email": format!("{user}@watchbell.test")});
        let (status, problem) =
            self.producer(reqwest::Method::PUT, &format!("/v1/users/{user}"), Some(&contact)).await?;
        ensure!(status == 204, "{problem}");
        let hex: String = format!("{user}-phone").bytes().map(|byte| format!("{byte:02x}")).collect();
        let device = json!({"service": "apns", "token": format!("{hex:0>64}")});
        let path = format!("/v1/devices/{user}-phone");
        let (status, problem) = self.user(user, reqwest::Method::PUT, &path, Some(&device)).await?;
        ensure!(status == 204, "{problem}");
        Ok(())
    }

    /// The subscription that a simulated browser would give to a page.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub async fn subscription(&self, browser: &str) -> anyhow::Result<Value> {
        Ok(answer(self.http.get(format!("{}/webpush/{browser}", self.simulator))).await?.1)
    }

    /// What arrived at the simulator for one user: pushes and emails.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub async fn arrivals(&self, user: &str) -> anyhow::Result<Vec<Value>> {
        let (_, body) = answer(self.http.get(format!("{}/arrivals?user={user}", self.simulator))).await?;
        Ok(body.as_array().cloned().unwrap_or_default())
    }

    /// What arrived at the simulator for everybody.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub async fn all_arrivals(&self) -> anyhow::Result<Vec<Value>> {
        let (_, body) = answer(self.http.get(format!("{}/arrivals", self.simulator))).await?;
        Ok(body.as_array().cloned().unwrap_or_default())
    }

    /// From now on, the simulator's phones say at this server that pushes arrived, and Android's that Google lowered the priority of each
    /// or of none.
    ///
    /// # Errors
    /// The simulator does not answer, or takes it for no address.
    pub async fn confirm_pushes_at(&self, server: &str, lowers_priority: bool) -> anyhow::Result<()> {
        let request = self.http.put(format!("{}/extension", self.simulator));
        let said_to = serde_json::json!({"server": server, "lowers_priority": lowers_priority});
        let (status, body) = answer(request.json(&said_to)).await?;
        anyhow::ensure!(status == 200, "{status}: {body}");
        Ok(())
    }

    /// Clears every phone and mailbox of the simulator.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub async fn forget_arrivals(&self) -> anyhow::Result<()> {
        let (status, problem) = answer(self.http.delete(format!("{}/arrivals", self.simulator))).await?;
        ensure!(status < 300, "{problem}");
        Ok(())
    }

    /// Asks the simulator for something of its own, such as a reply to a mail, and gives its answer.
    ///
    /// # Errors
    /// It refused.
    pub async fn simulate(&self, path: &str, asked: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.simulator)).json(asked);
        let (status, said) = answer(request).await?;
        ensure!(status < 300, "{said}");
        Ok(said)
    }

    /// Injects faults into the simulator.
    ///
    /// # Errors
    /// It refused them.
    pub async fn faults(&self, faults: &Value) -> anyhow::Result<()> {
        let (status, problem) =
            answer(self.http.put(format!("{}/faults", self.simulator)).json(faults)).await?;
        ensure!(status < 300, "{problem}");
        Ok(())
    }
}

/// The status and the body of whatever answer: JSON, or else text.
///
/// # Errors
/// No answer.
pub async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let response = request.send().await?;
    let (status, text) = (response.status().as_u16(), response.text().await?);
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

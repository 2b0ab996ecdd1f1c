//! Why a session ended, as a WebSocket close code. The range tells a client what to do, the code tells people why.
//! `tests/fixtures/close_codes.json` holds the same table for the browser client.

/// Close codes of `watchbell.v1`, in the range that RFC 6455 leaves to applications (4000 to 4999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 4000: a frame that is not of the protocol.
    Protocol,
    /// 4001: the token is not one of ours.
    BadToken,
    /// 4003: the token is good, but not for this.
    Forbidden,
    /// 4004: an operator ended it.
    Kicked,
    /// 4008: no `auth` frame came in time.
    NoAuth,
    /// 4100: this pod has enough to do.
    Overloaded,
    /// 4101: this user or address has enough sessions.
    TooManyConnections,
    /// 4102: nothing was heard for too long.
    NoPong,
    /// 4103: the client does not read.
    Slow,
    /// 4104: the client says more than it may.
    TooManyMessages,
    /// 4200: this pod is leaving.
    Drain,
    /// 4201: another pod is better placed.
    Rebalance,
    /// 4300: the token's time is over.
    TokenExpired,
}

/// What a client does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseClass {
    /// Coming back would end the same way: stop.
    Stop,
    /// Come back later, slower each time.
    BackOff,
    /// Come back within the window that `goaway` announced.
    Resume,
    /// Get a new token, then come back.
    NewToken,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::Protocol,
        Self::BadToken,
        Self::Forbidden,
        Self::Kicked,
        Self::NoAuth,
        Self::Overloaded,
        Self::TooManyConnections,
        Self::NoPong,
        Self::Slow,
        Self::TooManyMessages,
        Self::Drain,
        Self::Rebalance,
        Self::TokenExpired,
    ];

    /// The number and the reason sent with it.
    pub fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Protocol => (4000, "protocol"),
            Self::BadToken => (4001, "bad token"),
            Self::Forbidden => (4003, "forbidden"),
            Self::Kicked => (4004, "kicked"),
            Self::NoAuth => (4008, "no auth"),
            Self::Overloaded => (4100, "overloaded"),
            Self::TooManyConnections => (4101, "too many connections"),
            Self::NoPong => (4102, "no pong"),
            Self::Slow => (4103, "slow"),
            Self::TooManyMessages => (4104, "too many messages"),
            Self::Drain => (4200, "drain"),
            Self::Rebalance => (4201, "rebalance"),
            Self::TokenExpired => (4300, "token expired"),
        }
    }

    /// What a client does after it: decided by the range alone, so that old clients understand new codes.
    pub fn class(self) -> CloseClass {
        match self.parts().0 {
            4100..4200 => CloseClass::BackOff,
            4200..4300 => CloseClass::Resume,
            4300..4400 => CloseClass::NewToken,
            _ => CloseClass::Stop,
        }
    }
}

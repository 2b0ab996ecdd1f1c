//! kill -9 between the attempt's row, the provider's call and its outcome (I6).

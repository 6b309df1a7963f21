//! Waiting with a deadline on the session's one timer.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::base::time::Mono;

use super::list::Alarm;

/// What `poll` gives, or `None` when `deadline` came first. Data that is ready wins over the deadline.
pub(super) async fn until<T>(
    timer: &mut Alarm,
    deadline: Mono,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    timer.set(deadline);
    poll_fn(|cx| match poll(cx) {
        Poll::Ready(v) => Poll::Ready(Some(v)),
        Poll::Pending => timer.poll_expired(cx).map(|()| None),
    })
    .await
}
